//! The authority that box and service centre trust: its certificate, and its key wherever that is kept.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{Issuer, PublicKeyData, SignatureAlgorithm, SigningKey, SubjectPublicKeyInfo};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;

use super::ProvisionError;
use crate::keys::{BOX_NAME, Passphrase, PrivateKey};

/// Its files' name.
const NAME: &str = "centre-ca";

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    /// Towards the service centre.
    Client,
    /// Towards agents.
    Server,
}

/// An authority that can sign.
pub struct Authority {
    pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, Signer>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("pem", &self.pem)
            .finish_non_exhaustive()
    }
}

/// Its key.
pub(super) struct Signer {
    public: SubjectPublicKeyInfo,
    key: PrivateKey,
}

impl PublicKeyData for Signer {
    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.public.algorithm()
    }
}

impl SigningKey for Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        // rcgen has no room for a reason.
        self.key.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

impl Authority {
    /// The one in a directory.
    ///
    /// # Errors
    /// When certificate or key are not there or cannot be used.
    pub fn load(directory: &Path, passphrase: &Passphrase) -> Result<Self, ProvisionError> {
        let path = directory.join(format!("{NAME}.crt"));
        let certificates = rap_core::identity::certificates(&path);
        let certificates =
            certificates.map_err(|error| ProvisionError::Authority(path.clone(), Box::new(error)))?;
        let no_authority = |error| ProvisionError::NoAuthority(path.clone(), error);
        let certificate = certificates.into_iter().next();
        let certificate = certificate.ok_or_else(|| no_authority(rcgen::Error::CouldNotParseCertificate))?;
        let key = PrivateKey::load(directory, NAME, None, passphrase)?;
        let public = SubjectPublicKeyInfo::from_pem(key.public_pem()).map_err(ProvisionError::NoPublic)?;
        let signer = Signer { public, key };
        let issuer = Issuer::from_ca_cert_der(&certificate, signer).map_err(no_authority)?;
        Ok(Self {
            pem: pem(&certificate),
            certificate,
            issuer,
        })
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, Signer> {
        &self.issuer
    }

    /// Its certificate.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// Whether who trusts this authority alone would accept a certificate now.
    pub(super) fn accepts(
        &self,
        certificate: &CertificateDer<'_>,
        usage: Usage,
        now: Timestamp,
    ) -> Result<(), ProvisionError> {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.certificate.clone())
            .map_err(ProvisionError::Refused)?;
        let (roots, provider) = (Arc::new(roots), rap_core::identity::provider());
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let other = |error: rustls::client::VerifierBuilderError| {
            ProvisionError::Refused(rustls::Error::General(error.to_string()))
        };
        let verdict = match usage {
            Usage::Client => WebPkiClientVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(other)?
                .verify_client_cert(certificate, &[], now)
                .map(drop),
            Usage::Server => {
                let name = ServerName::try_from(BOX_NAME)
                    .map_err(|error| ProvisionError::Refused(rustls::Error::General(error.to_string())))?;
                WebPkiServerVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(other)?
                    .verify_server_cert(certificate, &[], &name, &[], now)
                    .map(drop)
            }
        };
        verdict.map_err(ProvisionError::Refused)
    }
}

/// A certificate in PEM (RFC 7468).
fn pem(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

//! Whom the collector is to be, and who we are to it: TLS with certificates on both sides (RFC 5425, 4.2.1).
//!
//! The collector is believed by an authority and its name, or by the fingerprint of its own certificate (RFC 5425, 4.2.2).
//! We show the certificate that the service centre is shown.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::digest::Sha256;
use crate::identity::{self, IdentityError, Pair, Reader};
use crate::provision::COLLECTOR_CA;
use crate::site::Audit;

/// TLS towards the site's collector with the identity in `directory`.
///
/// # Errors
/// The first file that cannot be used.
pub(super) fn of(directory: &Path, audit: &Audit) -> Result<ClientConfig, IdentityError> {
    let (chain, key) = identity::files(directory, Reader::Forward, "device.crt");
    let device = Pair::load(&chain, &key)?;
    let unusable = |path: &Path, usage| {
        let path = path.to_owned();
        move |source| IdentityError::Unusable { path, usage, source }
    };
    let provider = identity::provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable(&key, "a key for TLS"))?;
    let builder = match audit.fingerprint {
        Some(fingerprint) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned {
                fingerprint,
                provider,
            })),
        None => {
            let path = directory.join(COLLECTOR_CA);
            let roots = identity::root_store(&identity::certificates(&path)?, &path)?;
            builder.with_root_certificates(roots)
        }
    };
    let mut config = builder
        .with_client_auth_cert(device.chain, device.key)
        .map_err(unusable(&key, "the key of device.crt"))?;
    // Certificates are shown each time: a collector may have been told of another one meanwhile.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Believes one certificate, whoever issued it and until when.
#[derive(Debug)]
struct Pinned {
    fingerprint: Sha256,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if Sha256::of(certificate) == self.fingerprint {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

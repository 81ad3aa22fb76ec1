//! The box's keys and certificates, read from a directory and checked before anything uses them.
//!
//! | file | is |
//! |---|---|
//! | `device.crt`, `device.key` | the client certificate (chain) and key towards the service centre |
//! | `centre-ca.crt` | the only roots the service centre's certificate may come from |
//! | `ingest.crt`, `ingest.key` | the server certificate (chain) and key towards the instruments |
//!
//! All PEM. Invariants: an [`Identity`] exists only when every certificate parses and every key fits its
//! certificate; there is one cryptographic provider in a process.

mod validity;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};

pub use validity::Validity;

/// Why an identity cannot be used. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file is missing or unreadable.
    #[error(
        "{path}: cannot be read; the identity needs device.crt, device.key, centre-ca.crt, ingest.crt and ingest.key"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file has not what it should have.
    #[error("{path}: found no {expected} in PEM form")]
    Missing {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
    /// PEM that cannot be decoded.
    #[error("{path}: not valid PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A certificate or key that cannot be used.
    #[error("{path}: cannot be used as {usage}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What it was to be used as.
        usage: &'static str,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// A certificate chain, leaf first, with its key.
#[derive(Debug)]
pub struct Pair {
    /// The certificates.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first.
    pub key: PrivateKeyDer<'static>,
}

/// Everything in the identity directory, checked.
#[derive(Debug)]
pub struct Identity {
    centre: TlsConfig,
    ingest: Arc<ServerConfig>,
    device_validity: Option<Validity>,
}

/// Makes the one provider (AWS-LC, its FIPS module with feature `fips`) the process's default and returns it.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "fips")]
    let provider = rustls::crypto::default_fips_provider();
    #[cfg(not(feature = "fips"))]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    // The second call finds the first one's provider: the same.
    let _ = provider.install_default();
    CryptoProvider::get_default().map_or_else(
        || Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        Arc::clone,
    )
}

impl Identity {
    /// Loads and checks the files in `directory` ([`crate::paths::IDENTITY`] on the box).
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load(directory: &Path) -> Result<Self, IdentityError> {
        let device = Pair::load(&directory.join("device.crt"), &directory.join("device.key"))?;
        let roots = certificates(&directory.join("centre-ca.crt"))?;

        let store = root_store(&roots, &directory.join("centre-ca.crt"))?;
        // Only to find a key that does not fit its certificate now: ureq would panic later.
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .and_then(|b| {
                b.with_root_certificates(store)
                    .with_client_auth_cert(device.chain.clone(), device.key)
            })
            .map_err(|source| unusable(&directory.join("device.key"), "the key of device.crt", source))?;
        let key = ureq_key(&directory.join("device.key"))?;
        Ok(Self {
            centre: centre_tls(&device.chain, key, &roots),
            ingest: ingest_tls(directory)?,
            device_validity: device.chain.first().and_then(Validity::of),
        })
    }

    /// TLS towards the instruments: no client certificates, TLS 1.3 and 1.2.
    #[must_use]
    pub fn ingest_tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.ingest)
    }

    /// TLS towards the service centre for `ureq`: our certificate, and no root but the service centre's.
    #[must_use]
    pub fn centre_tls(&self) -> TlsConfig {
        self.centre.clone()
    }

    /// When `device.crt` is valid, where that can be told. It is used all the same: the clock may be wrong.
    #[must_use]
    pub fn device_validity(&self) -> Option<Validity> {
        self.device_validity
    }
}

/// TLS towards the instruments, for who has no more of the identity than `ingest.crt` and `ingest.key` in `directory`.
///
/// # Errors
/// When one of them cannot be used.
pub fn ingest_tls(directory: &Path) -> Result<Arc<ServerConfig>, IdentityError> {
    let ingest = Pair::load(&directory.join("ingest.crt"), &directory.join("ingest.key"))?;
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|b| b.with_no_client_auth().with_single_cert(ingest.chain, ingest.key))
        .map_err(|source| unusable(&directory.join("ingest.key"), "the key of ingest.crt", source))?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(server))
}

impl Pair {
    /// Reads a chain and its key; whether they fit is checked by who uses them.
    ///
    /// # Errors
    /// When a file is missing or holds no certificate or key.
    pub fn load(chain: &Path, key: &Path) -> Result<Self, IdentityError> {
        Ok(Self {
            chain: certificates(chain)?,
            key: private_key(key)?,
        })
    }
}

/// Makes a root store of certificates read from `path`.
///
/// # Errors
/// When one of them is not a usable root: unlike in `ureq`, none is ignored silently.
pub fn root_store(roots: &[CertificateDer<'static>], path: &Path) -> Result<RootCertStore, IdentityError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store
            .add(root.clone())
            .map_err(|source| unusable(path, "a root certificate", source))?;
    }
    Ok(store)
}

/// Reads all certificates of a PEM file, at least one.
///
/// # Errors
/// When the file is missing, is not PEM or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let found: Vec<_> = pem_items(path)?
        .into_iter()
        .filter_map(|item| match item {
            rustls_pemfile::Item::X509Certificate(der) => Some(der),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(IdentityError::Missing {
            path: path.to_owned(),
            expected: "certificate",
        });
    }
    Ok(found)
}

/// Reads the one public key of a PEM file, as a SubjectPublicKeyInfo in DER.
///
/// # Errors
/// When the file is missing, is not PEM or holds none.
pub fn public_key(path: &Path) -> Result<Vec<u8>, IdentityError> {
    let mut items = pem_items(path)?.into_iter();
    let key = items.find_map(|item| match item {
        rustls_pemfile::Item::SubjectPublicKeyInfo(key) => Some(key.to_vec()),
        _ => None,
    });
    key.ok_or_else(|| IdentityError::Missing {
        path: path.to_owned(),
        expected: "public key",
    })
}

fn centre_tls(
    chain: &[CertificateDer<'static>],
    key: PrivateKey<'static>,
    roots: &[CertificateDer<'static>],
) -> TlsConfig {
    let of_ureq = |certificates: &[CertificateDer<'static>]| -> Vec<_> {
        certificates
            .iter()
            .map(|c| Certificate::from_der(c).to_owned())
            .collect()
    };
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(provider())
        .client_cert(Some(ClientCert::new_with_certs(&of_ureq(chain), key)))
        .root_certs(RootCerts::new_with_certs(&of_ureq(roots)))
        .build()
}

/// `ureq` takes a key only as PEM; it is the one [`private_key`] found before.
fn ureq_key(path: &Path) -> Result<PrivateKey<'static>, IdentityError> {
    let pem = std::fs::read(path).map_err(|source| IdentityError::Read {
        path: path.to_owned(),
        source,
    })?;
    PrivateKey::from_pem(&pem).map_err(|error| IdentityError::Pem {
        path: path.to_owned(),
        source: std::io::Error::other(error),
    })
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityError> {
    pem_items(path)?
        .into_iter()
        .find_map(|item| match item {
            rustls_pemfile::Item::Pkcs1Key(key) => Some(key.into()),
            rustls_pemfile::Item::Pkcs8Key(key) => Some(key.into()),
            rustls_pemfile::Item::Sec1Key(key) => Some(key.into()),
            _ => None,
        })
        .ok_or_else(|| IdentityError::Missing {
            path: path.to_owned(),
            expected: "private key",
        })
}

/// The one place that knows the PEM crate, which is archived.
fn pem_items(path: &Path) -> Result<Vec<rustls_pemfile::Item>, IdentityError> {
    let bytes = std::fs::read(path).map_err(|source| IdentityError::Read {
        path: path.to_owned(),
        source,
    })?;
    rustls_pemfile::read_all(&mut bytes.as_slice())
        .collect::<Result<_, _>>()
        .map_err(|source| IdentityError::Pem {
            path: path.to_owned(),
            source,
        })
}

fn unusable(path: &Path, usage: &'static str, source: rustls::Error) -> IdentityError {
    IdentityError::Unusable {
        path: path.to_owned(),
        usage,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_pair(directory: &Path, name: &str) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        std::fs::write(directory.join(format!("{name}.crt")), certificate.pem()).unwrap();
        std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for name in ["device", "ingest", "centre-ca"] {
            write_pair(directory.path(), name);
        }
        directory
    }

    #[test]
    fn a_whole_identity_loads() {
        let directory = directory();
        let identity = Identity::load(directory.path()).unwrap();
        assert!(identity.centre_tls().client_cert().is_some());
    }

    #[test]
    fn each_missing_or_wrong_file_is_named() {
        for name in [
            "device.crt",
            "device.key",
            "centre-ca.crt",
            "ingest.crt",
            "ingest.key",
        ] {
            let directory = directory();
            std::fs::write(directory.path().join(name), "hello").unwrap();
            let error = Identity::load(directory.path()).unwrap_err();
            assert!(matches!(error, IdentityError::Missing { .. }), "{error}");
            assert!(error.to_string().contains(name), "{error}");
            std::fs::remove_file(directory.path().join(name)).unwrap();
            let error = Identity::load(directory.path()).unwrap_err();
            assert!(
                error.to_string().contains(&format!("{name}: cannot be read")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_key_that_does_not_fit_is_found_before_use() {
        for name in ["device.key", "ingest.key"] {
            let directory = directory();
            let other = rcgen::KeyPair::generate().unwrap();
            std::fs::write(directory.path().join(name), other.serialize_pem()).unwrap();
            let error = Identity::load(directory.path()).unwrap_err();
            assert!(matches!(error, IdentityError::Unusable { .. }), "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

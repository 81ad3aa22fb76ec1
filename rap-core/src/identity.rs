//! The box's keys and certificates, read from a directory and checked before anything uses them.
//!
//! | file | is |
//! |---|---|
//! | `device.crt`, `device.key` | the client certificate (chain) and key towards the service centre |
//! | `centre-ca.crt` | the only roots the service centre's certificate may come from |
//! | `ingest.crt`, `ingest.key` | the server certificate (chain) and key towards the instruments |
//!
//! What the box made itself ([`crate::enrol`]) goes before what it was given, key and chain in one file:
//!
//! | file | instead of |
//! |---|---|
//! | `made/forward/device.pem` | `device.crt`, `device.key` |
//! | `made/forward/ingest.pem`, `made/web/ingest.pem` | `ingest.crt`, `ingest.key`, for the forwarder and the local page |
//! | `made/forward/centre-ca.crt` | `centre-ca.crt`, where that is not there |
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

/// The folder of what the box made itself, in the identity's.
pub const MADE: &str = "made";
/// Key and chain towards the service centre, made on the box.
pub(crate) const DEVICE: &str = "device.pem";
/// Key and chain towards the instruments, made on the box.
pub(crate) const INGEST: &str = "ingest.pem";
/// The authority's certificate.
pub(crate) const AUTHORITY: &str = "centre-ca.crt";

/// Who reads what the box made itself; each has a folder of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The forwarder, and the updater.
    Forward,
    /// The local page.
    Web,
}

impl Reader {
    /// Its folder's name.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Web => "web",
        }
    }
}

/// Why an identity cannot be used. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is none yet, and the box has made its keys.
    #[error("{}", crate::enrol::status::WAITS)]
    Waits,
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
        let (chain, key) = files(directory, Reader::Forward, "device.crt");
        if !chain.exists() && directory.join(MADE).is_dir() {
            return Err(IdentityError::Waits);
        }
        let device = Pair::load(&chain, &key)?;
        let roots = authority(directory)?;
        let store = root_store(&roots, &authority_file(directory))?;
        // Only to find a key that does not fit its certificate now: ureq would panic later.
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .and_then(|b| {
                b.with_root_certificates(store)
                    .with_client_auth_cert(device.chain.clone(), device.key)
            })
            .map_err(|source| unusable(&key, "the key of device.crt", source))?;
        let key = ureq_key(&read(&key)?, &key)?;
        Ok(Self {
            centre: centre_tls(&device.chain, key, &roots),
            ingest: ingest_for(directory, Reader::Forward)?,
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

/// Where the chain and the key of `name` are, `device.crt` or `ingest.crt`: in one file where the box made them.
#[must_use]
pub fn files(directory: &Path, reader: Reader, name: &str) -> (PathBuf, PathBuf) {
    let base = name.strip_suffix(".crt").unwrap_or(name);
    let made = directory.join(MADE).join(reader.folder());
    let made = made.join(format!("{base}.pem"));
    if made.exists() {
        (made.clone(), made)
    } else {
        (directory.join(name), directory.join(format!("{base}.key")))
    }
}

/// The only roots the service centre's certificate may come from.
///
/// # Errors
/// When there are none that can be read.
pub fn authority(directory: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    certificates(&authority_file(directory))
}

/// What was given on the desk goes before what came with an answer.
fn authority_file(directory: &Path) -> PathBuf {
    let made = directory.join(MADE).join(Reader::Forward.folder());
    let (given, made) = (directory.join(AUTHORITY), made.join(AUTHORITY));
    if !given.exists() && made.exists() {
        made
    } else {
        given
    }
}

/// TLS towards the service centre that shows this key and chain instead of the ones in use, all in PEM but the roots.
///
/// # Errors
/// When the key is none.
pub fn shown(
    key: &str,
    chain: &[CertificateDer<'static>],
    roots: &[CertificateDer<'static>],
) -> Result<TlsConfig, IdentityError> {
    let key = ureq_key(key.as_bytes(), Path::new("the new key"))?;
    Ok(centre_tls(chain, key, roots))
}

/// TLS towards the instruments, for the local page, which has no more of the identity in `directory` than that.
///
/// # Errors
/// When key or certificate cannot be used.
pub fn ingest_tls(directory: &Path) -> Result<Arc<ServerConfig>, IdentityError> {
    ingest_for(directory, Reader::Web)
}

fn ingest_for(directory: &Path, reader: Reader) -> Result<Arc<ServerConfig>, IdentityError> {
    let (chain, key) = files(directory, reader, "ingest.crt");
    let ingest = Pair::load(&chain, &key)?;
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|b| b.with_no_client_auth().with_single_cert(ingest.chain, ingest.key))
        .map_err(|source| unusable(&key, "the key of ingest.crt", source))?;
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
    let found: Vec<_> = pem_items(path)?.into_iter().filter_map(certificate).collect();
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
fn ureq_key(pem: &[u8], path: &Path) -> Result<PrivateKey<'static>, IdentityError> {
    PrivateKey::from_pem(pem).map_err(|error| IdentityError::Pem {
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

/// All certificates of a text in PEM; none is no error.
///
/// # Errors
/// When it is not PEM.
pub fn certificates_in(pem: &[u8]) -> std::io::Result<Vec<CertificateDer<'static>>> {
    Ok(items(pem)?.into_iter().filter_map(certificate).collect())
}

fn certificate(item: rustls_pemfile::Item) -> Option<CertificateDer<'static>> {
    match item {
        rustls_pemfile::Item::X509Certificate(der) => Some(der),
        _ => None,
    }
}

fn pem_items(path: &Path) -> Result<Vec<rustls_pemfile::Item>, IdentityError> {
    items(&read(path)?).map_err(|source| IdentityError::Pem {
        path: path.to_owned(),
        source,
    })
}

/// The one place that knows the PEM crate, which is archived.
fn items(mut bytes: &[u8]) -> std::io::Result<Vec<rustls_pemfile::Item>> {
    rustls_pemfile::read_all(&mut bytes).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    std::fs::read(path).map_err(|source| IdentityError::Read {
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
mod tests;

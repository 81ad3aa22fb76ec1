//! Keys made on the box, and the requests for their certificates (PKCS #10, RFC 2986).
//!
//! Two keys of ECDSA on P-256: the first towards the service centre, the second towards the instruments. Both requests
//! travel as one file, in that order; of each only the key counts.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};
use serde::{Deserialize, Serialize};

use super::subject::Subject;
use crate::digest::Sha256;

/// X.520's `serialNumber`.
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];

/// A key that waits for its certificate.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// In PEM (PKCS #8).
    pub pem: String,
    /// SHA-256 of its `SubjectPublicKeyInfo`.
    pub sha256: Sha256,
}

/// Two keys, and what asks for their certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Towards the service centre.
    pub device: Key,
    /// Towards the instruments.
    pub ingest: Key,
    /// Both requests in PEM, the service centre's first.
    pub pem: String,
    /// Whom they name.
    pub name: String,
    /// Likewise.
    pub serial: String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// Makes both keys and asks for `subject`; without a serial number that is known one is made of the key.
    ///
    /// # Errors
    /// What the library says.
    pub fn make(name: &str, serial: Option<&str>) -> Result<Self, rcgen::Error> {
        // The module's own check of a process comes first, and there is one provider.
        let _ = crate::identity::provider();
        let keys = [pair()?, pair()?];
        let sha256 = Sha256::of(&keys[0].subject_public_key_info());
        let serial = serial.map_or_else(|| format!("key-{:.16}", sha256.to_string()), str::to_owned);
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished(name, &serial);
        let mut pem = String::new();
        for key in &keys {
            pem += &params.serialize_request(key)?.pem()?;
        }
        let [device, ingest] = keys.map(|key| Key {
            sha256: Sha256::of(&key.subject_public_key_info()),
            pem: key.serialize_pem(),
        });
        let (name, serial) = (name.to_owned(), serial);
        Ok(Self {
            device,
            ingest,
            pem,
            name,
            serial,
        })
    }

    /// Whom it names; `None` where the memory of it was damaged.
    #[must_use]
    pub fn subject(&self) -> Option<Subject> {
        Subject::new(&self.name, &self.serial).ok()
    }

    /// The second key with a certificate that it signed itself: the local page is reached with it until there is a better.
    ///
    /// # Errors
    /// What the library says.
    pub fn self_signed(&self) -> Result<String, rcgen::Error> {
        let key = KeyPair::from_pem(&self.ingest.pem)?;
        let mut params = CertificateParams::new(vec!["rap.local".to_owned()])?;
        params.distinguished_name = distinguished(&self.name, &self.serial);
        // It says nothing that a date could make better or worse.
        params.not_before = rcgen::date_time_ymd(2024, 1, 1);
        params.not_after = rcgen::date_time_ymd(2054, 1, 1);
        let certificate = params.self_signed(&key)?;
        Ok(format!("{}{}", self.ingest.pem, certificate.pem()))
    }
}

fn pair() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
}

fn distinguished(name: &str, serial: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished.push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), serial);
    distinguished
}

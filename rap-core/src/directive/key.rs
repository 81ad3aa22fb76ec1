//! The service key: who holds its private half can ask things of this box. It is provisioned with the identity.

use std::path::Path;

use rustls::pki_types::{SignatureVerificationAlgorithm, alg_id};

use crate::identity;

/// A public key of curve P-256 as a SubjectPublicKeyInfo (RFC 5480 §2) up to its point: the one form there is.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point (SEC 1 §2.3.3).
const POINT: usize = 65;

/// Why a service key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file.
    #[error(transparent)]
    File(#[from] identity::IdentityError),
    /// Another kind of key.
    #[error(
        "{path}: found another kind of key, expected one public key of curve P-256 (`openssl ec -pubout`)"
    )]
    Kind {
        /// The file.
        path: String,
    },
}

/// The public half of the service key: ECDSA with P-256 and SHA-256 (FIPS 186-5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceKey {
    point: [u8; POINT],
}

impl ServiceKey {
    /// Reads `service.pub`.
    ///
    /// # Errors
    /// When it is missing, not PEM, or not one key of curve P-256.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let kind = || KeyError::Kind {
            path: path.display().to_string(),
        };
        Self::from_der(&identity::public_key(path)?).ok_or_else(kind)
    }

    /// From a SubjectPublicKeyInfo; `None` for any other kind of key.
    #[must_use]
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let point: [u8; POINT] = der.strip_prefix(&P256_PREFIX)?.try_into().ok()?;
        (point[0] == 4).then_some(Self { point })
    }

    /// Whether `signature` (an `ECDSA-Sig-Value` in DER, RFC 3279 §2.2.3) is this key's over `message`.
    #[must_use]
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        algorithm().is_some_and(|ecdsa| ecdsa.verify_signature(&self.point, message, signature).is_ok())
    }
}

/// Of the one provider of this process.
fn algorithm() -> Option<&'static dyn SignatureVerificationAlgorithm> {
    let provider = identity::provider();
    let mut all = provider.signature_verification_algorithms.all.iter();
    let is_it = |found: &&&'static dyn SignatureVerificationAlgorithm| {
        found.public_key_alg_id() == alg_id::ECDSA_P256 && found.signature_alg_id() == alg_id::ECDSA_SHA256
    };
    all.find(is_it).copied()
}

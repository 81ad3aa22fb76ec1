//! A private key, wherever it is kept.

use rcgen::SigningKey as _;

/// Why a key did not sign, or is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum PrivateKeyError {
    /// Signing failed.
    #[error("signing failed")]
    Sign(#[source] rcgen::Error),
}

/// A key that signs.
#[derive(Debug)]
pub struct PrivateKey {
    public: String,
    pair: rcgen::KeyPair,
}

impl PrivateKey {
    /// A key in memory.
    #[must_use]
    pub fn of(pair: rcgen::KeyPair) -> Self {
        let public = pair.public_key_pem();
        Self { public, pair }
    }

    /// The public half, in PEM.
    #[must_use]
    pub fn public_pem(&self) -> &str {
        &self.public
    }

    /// Signs `bytes`.
    ///
    /// # Errors
    /// When that fails.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, PrivateKeyError> {
        self.pair.sign(bytes).map_err(PrivateKeyError::Sign)
    }
}

//! Public keys: from PEM to what metadata names them by.
//!
//! Only kinds that every client of ours verifies: Ed25519, ECDSA over P-256, RSA from 2048 bits (PSS). A root with
//! another kind, P-384 for one, could not even be read by a box.

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::key::{EcdsaKey, EcdsaScheme, Ed25519Key, Ed25519Scheme, Key};

/// What precedes the 32 bytes of an Ed25519 key in a `SubjectPublicKeyInfo` (RFC 8410 §4).
const ED25519: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// What precedes the 65 bytes of an uncompressed P-256 point in a `SubjectPublicKeyInfo` (RFC 5480 §2).
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// 1.2.840.113549.1.1.1 as a DER value: the kind of an RSA key.
const RSA: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// Why a key cannot be one of an update's.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No public key.
    #[error("expected a public key in PEM (BEGIN PUBLIC KEY)")]
    Pem,
    /// Another kind.
    #[error(
        "keys of updates are Ed25519, ECDSA over P-256, or RSA of 2048 bits or more; this is another kind"
    )]
    Kind,
}

/// The key in `pem`, as metadata says it.
///
/// # Errors
/// When it is none, or of a kind that boxes do not verify.
pub fn public_key(pem: &str) -> Result<Key, KeyError> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Pem)?;
    let der = der.as_ref();
    if let Some(bytes) = der.strip_prefix(&ED25519) {
        let public: Decoded<Hex> = bytes.to_vec().into();
        return Ok(Key::Ed25519 {
            keyval: Ed25519Key {
                public,
                _extra: Default::default(),
            },
            scheme: Ed25519Scheme::Ed25519,
            _extra: Default::default(),
        });
    }
    if let Some(bytes) = der.strip_prefix(&P256) {
        return Ok(Key::Ecdsa {
            keyval: EcdsaKey {
                public: bytes.to_vec().into(),
                _extra: Default::default(),
            },
            scheme: EcdsaScheme::EcdsaSha2Nistp256,
            _extra: Default::default(),
        });
    }
    let is_rsa = der.windows(RSA.len()).take(16).any(|window| window == RSA);
    // 2048 bits of modulus are 256 bytes, and there is more in it.
    if is_rsa && der.len() > 256 {
        return pem.trim().parse().map_err(|_| KeyError::Kind);
    }
    Err(KeyError::Kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(algorithm: &'static rcgen::SignatureAlgorithm) -> Result<Key, KeyError> {
        public_key(&rcgen::KeyPair::generate_for(algorithm).unwrap().public_key_pem())
    }

    #[test]
    fn every_kind_is_read_or_refused_by_name() {
        assert!(matches!(of(&rcgen::PKCS_ED25519), Ok(Key::Ed25519 { .. })));
        assert!(matches!(
            of(&rcgen::PKCS_ECDSA_P256_SHA256),
            Ok(Key::Ecdsa { .. })
        ));
        let rsa =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        assert!(matches!(public_key(&rsa.public_key_pem()), Ok(Key::Rsa { .. })));
        assert!(matches!(of(&rcgen::PKCS_ECDSA_P384_SHA384), Err(KeyError::Kind)));
        assert!(matches!(public_key("x"), Err(KeyError::Pem)));
    }

    #[test]
    fn a_key_read_back_from_metadata_is_the_same() {
        for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P256_SHA256] {
            let key = of(algorithm).unwrap();
            let again: Key = serde_json::from_slice(&serde_json::to_vec(&key).unwrap()).unwrap();
            assert_eq!(again, key);
            assert_eq!(again.key_id().unwrap(), key.key_id().unwrap());
        }
    }
}

//! Signing metadata, and counting signatures.
//!
//! Invariants: no signature is kept that does not fit its key; the same content and keys give the same bytes (Ed25519 and
//! the order of everything; ECDSA has randomness).

use std::collections::HashMap;
use std::num::NonZeroU64;

use rap_core::digest::Sha256;
use rap_core::release::File;
use serde::Serialize;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::key::Key;
use tough::schema::{Role, RoleKeys, RoleType, Root, Signature, Signed};

use super::{KeyError, SPEC_VERSION, public_key};
use crate::keys::{PrivateKey, PrivateKeyError};

/// Why metadata was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key.
    #[error("the key {name} cannot sign updates")]
    Key {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// Signing failed.
    #[error("the key {name} did not sign")]
    Sign {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: PrivateKeyError,
    },
    /// What came is no signature by this key.
    #[error(
        "what the key {0} signed does not fit its public key: {0}.pub and what signs are not of one pair"
    )]
    Foreign(String),
    /// Metadata cannot be written as JSON.
    #[error("the metadata cannot be written")]
    Form(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A key that signs metadata.
#[derive(Debug)]
pub struct Signatory {
    name: String,
    key: Key,
    id: Decoded<Hex>,
    private: PrivateKey,
}

impl Signatory {
    /// The key `private`, which messages call `name`.
    ///
    /// # Errors
    /// When boxes do not verify such keys.
    pub fn new(name: &str, private: PrivateKey) -> Result<Self, SignError> {
        let named = |source| SignError::Key {
            name: name.to_owned(),
            source,
        };
        let key = public_key(private.public_pem()).map_err(named)?;
        let id = key.key_id().map_err(form)?;
        Ok(Self {
            name: name.to_owned(),
            key,
            id,
            private,
        })
    }

    /// Its public half.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Whether `root` names it for `role`.
    #[must_use]
    pub fn is_of(&self, root: &Root, role: RoleType) -> bool {
        root.roles
            .get(&role)
            .is_some_and(|keys| keys.keyids.contains(&self.id))
    }

    /// Adds its signature, in the place of one it has made before.
    ///
    /// # Errors
    /// When it cannot sign, or what it made is no signature of its.
    pub fn add<T: Role>(&self, signed: &mut Signed<T>) -> Result<(), SignError> {
        let bytes = signed.signed.canonical_form().map_err(form)?;
        let signature = self.private.sign(&bytes).map_err(|source| SignError::Sign {
            name: self.name.clone(),
            source,
        })?;
        signed.signatures.retain(|other| other.keyid != self.id);
        signed.signatures.push(Signature {
            keyid: self.id.clone(),
            sig: signature.into(),
        });
        signed
            .signatures
            .sort_by(|one, other| one.keyid.cmp(&other.keyid));
        if fits(&self.id, &self.key, signed) {
            Ok(())
        } else {
            Err(SignError::Foreign(self.name.clone()))
        }
    }
}

/// Signed metadata, and the bytes it is published as.
#[derive(Debug, Clone)]
pub struct Document<T> {
    /// What it says.
    pub signed: Signed<T>,
    /// The file.
    pub bytes: Vec<u8>,
}

impl<T: Serialize> Document<T> {
    /// As a file.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn new(signed: Signed<T>) -> Result<Self, SignError> {
        // By way of a value, whose maps are in the order of their keys.
        let value = serde_json::to_value(&signed).map_err(form)?;
        let mut bytes = serde_json::to_vec(&value).map_err(form)?;
        bytes.push(b'\n');
        Ok(Self { signed, bytes })
    }

    /// Its length and digest.
    #[must_use]
    pub fn file(&self) -> File {
        File {
            bytes: self.bytes.len() as u64,
            sha256: Sha256::of(&self.bytes),
        }
    }
}

/// `role`, signed by each of `signatories`.
///
/// # Errors
/// When one of them does not sign.
pub fn sign<'a, T: Role>(
    role: T,
    signatories: impl IntoIterator<Item = &'a Signatory>,
) -> Result<Document<T>, SignError> {
    let mut signed = Signed {
        signed: role,
        signatures: Vec::new(),
    };
    for signatory in signatories {
        signatory.add(&mut signed)?;
    }
    Document::new(signed)
}

/// How many keys that `root` names for the role of `signed` have signed it.
#[must_use]
pub fn signatures<T: Role>(root: &Root, signed: &Signed<T>) -> usize {
    let Some(role) = root.roles.get(&T::TYPE) else {
        return 0;
    };
    let signs = |id: &&Decoded<Hex>| root.keys.get(*id).is_some_and(|key| fits(id, key, signed));
    role.keyids.iter().filter(signs).count()
}

/// Whether a signature by `key` is among those of `signed`, as a box would check it.
fn fits<T: Role>(id: &Decoded<Hex>, key: &Key, signed: &Signed<T>) -> bool {
    // A root that knows this key alone: `tough` checks signatures by roots only.
    let keys = RoleKeys {
        keyids: vec![id.clone()],
        threshold: NonZeroU64::MIN,
        _extra: HashMap::new(),
    };
    let alone = Root {
        spec_version: SPEC_VERSION.to_owned(),
        consistent_snapshot: true,
        version: NonZeroU64::MIN,
        expires: signed.signed.expires(),
        keys: HashMap::from([(id.clone(), key.clone())]),
        roles: HashMap::from([(T::TYPE, keys)]),
        _extra: HashMap::new(),
    };
    alone.verify_role(signed).is_ok()
}

pub(super) fn form(error: impl std::error::Error + Send + Sync + 'static) -> SignError {
    SignError::Form(Box::new(error))
}

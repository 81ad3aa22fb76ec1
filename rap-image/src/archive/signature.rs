//! Who may sign a suite: the certificates kept in `overlays/keyring`, and the check of a clear-signed message
//! (RFC 9580 §7) against them.
//!
//! A message counts as signed when at least one of its signatures is by a pinned key or a signing subkey bound to
//! one; signatures by others are ignored. What is returned is the signed text only, never what stands around it.
//! A certificate's own expiry is not looked at: being in the keyring is what makes it trusted, and the commit that
//! removes it revokes it.

use std::path::{Path, PathBuf};

use pgp::composed::{CleartextSignedMessage, Deserializable, SignedPublicKey};
use pgp::packet::SignatureType;
use pgp::types::KeyDetails;

/// The certificates believed.
#[derive(Debug)]
pub struct Keyring(Vec<SignedPublicKey>);

/// Why a keyring could not be read or a message not believed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A keyring file could not be read.
    #[error("cannot read the keyring {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// A keyring file is not an OpenPGP certificate, or its self-signatures are wrong.
    #[error(
        "{0} is not a valid OpenPGP certificate; take it anew from Debian's package debian-archive-keyring"
    )]
    Certificate(PathBuf, #[source] pgp::errors::Error),
    /// There is no certificate at all.
    #[error("no certificate (*.asc) in {0}: nothing could be believed")]
    Empty(PathBuf),
    /// The message has no clear-text signature.
    #[error("not signed: found no OpenPGP clear-text signature around it")]
    Unsigned(#[source] pgp::errors::Error),
    /// Signed, but not by us believed, or changed after signing.
    #[error(
        "no valid signature: signed by {signers}, believed are {believed}, or it was changed after signing"
    )]
    NotBelieved {
        /// Key ids named by the signatures.
        signers: String,
        /// Fingerprints in the keyring.
        believed: String,
    },
}

impl Keyring {
    /// Reads every `*.asc` of a folder.
    ///
    /// # Errors
    /// When the folder or a file cannot be read, a certificate is damaged, or there is none.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let unreadable = |error| Error::Read(folder.to_owned(), error);
        let mut certificates = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "asc") {
                let text =
                    std::fs::read_to_string(&path).map_err(|error| Error::Read(path.clone(), error))?;
                certificates.push(certificate(&text).map_err(|error| Error::Certificate(path, error))?);
            }
        }
        if certificates.is_empty() {
            return Err(Error::Empty(folder.to_owned()));
        }
        Ok(Self(certificates))
    }

    /// The text of a clear-signed message, if somebody in this keyring signed it.
    ///
    /// # Errors
    /// [`Error::Unsigned`] or [`Error::NotBelieved`].
    pub fn verify(&self, message: &str) -> Result<String, Error> {
        let (message, _) = CleartextSignedMessage::from_string(message).map_err(Error::Unsigned)?;
        let text = message.signed_text();
        let believed = message.signatures().iter().any(|signature| {
            matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary))
                && self
                    .0
                    .iter()
                    .any(|certificate| signed_by(signature, certificate, text.as_bytes()))
        });
        if believed {
            return Ok(text.replace("\r\n", "\n"));
        }
        let signers = message
            .signatures()
            .iter()
            .flat_map(pgp::packet::Signature::issuer_key_id);
        Err(Error::NotBelieved {
            signers: signers.map(ToString::to_string).collect::<Vec<_>>().join(", "),
            believed: self.fingerprints().join(", "),
        })
    }

    /// The primary keys' fingerprints, in hex.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|certificate| certificate.fingerprint().to_string())
            .collect()
    }
}

fn certificate(text: &str) -> Result<SignedPublicKey, pgp::errors::Error> {
    let (certificate, _) = SignedPublicKey::from_string(text)?;
    // Only what binds the subkeys matters; the user ids also carry signatures by other keys, which are not here.
    certificate
        .public_subkeys
        .iter()
        .try_for_each(|subkey| subkey.verify_bindings(&certificate.primary_key))?;
    Ok(certificate)
}

/// By the primary key, or by a subkey that its binding allows to sign.
fn signed_by(signature: &pgp::packet::Signature, certificate: &SignedPublicKey, text: &[u8]) -> bool {
    signature.verify(&certificate.primary_key, text).is_ok()
        || certificate.public_subkeys.iter().any(|subkey| {
            subkey.signatures.iter().any(|binding| binding.key_flags().sign())
                && signature.verify(&subkey.key, text).is_ok()
        })
}

#[cfg(test)]
mod tests;

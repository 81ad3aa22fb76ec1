//! A private key, wherever it is kept: in a file, in an encrypted file, or with a program that signs.
//!
//! | file | is |
//! |---|---|
//! | `NAME.key` | PKCS #8 in PEM, in clear or encrypted (PBES2, RFC 8018) |
//! | `NAME.signer` | in its place: a program that signs, and its arguments, one a line ([`super::program`]) |
//! | `NAME.pub` | the public half in PEM; with `NAME.signer` what it signs is held against it |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rcgen::{KeyPair, SignatureAlgorithm, SigningKey as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use tough::schema::key::Key;

use super::encrypted::{self, EncryptionError, Passphrase, PassphraseError};
use super::program::{Program, ProgramError};
use super::{RETIRED, read_text};
use crate::trust::{SignError, Signatory, public_key};

/// Why a key did not sign, or is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum PrivateKeyError {
    /// A file cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// Neither file is there.
    #[error("there is neither {} nor {}", .0.with_extension("key").display(), .0.with_extension("signer").display())]
    Absent(PathBuf),
    /// The file is no such key.
    #[error("{0} holds no key of the kind that is needed here, in PEM, PKCS #8")]
    Kind(PathBuf, #[source] rcgen::Error),
    /// The file is no PEM.
    #[error("{0} is not a private key in PEM")]
    Pem(PathBuf),
    /// It cannot be decrypted.
    #[error("{0} cannot be decrypted")]
    Encrypted(PathBuf, #[source] EncryptionError),
    /// There is no passphrase.
    #[error("{0} is encrypted")]
    Passphrase(PathBuf, #[source] PassphraseError),
    /// Signing failed.
    #[error("signing failed")]
    Sign(#[source] rcgen::Error),
    /// The program that signs.
    #[error("the program in {0} did not sign")]
    Program(PathBuf, #[source] ProgramError),
    /// Two files of two keys.
    #[error("{0} is not the key of the .pub beside it")]
    Pair(PathBuf),
    /// A key that does not fit.
    #[error("a key of updates cannot be used")]
    Update(#[source] Box<SignError>),
}

/// A key that signs.
#[derive(Debug)]
pub struct PrivateKey {
    public: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Here(Box<KeyPair>),
    With(PathBuf, Program),
}

impl PrivateKey {
    /// A key in memory.
    #[must_use]
    pub fn of(pair: KeyPair) -> Self {
        Self {
            public: pair.public_key_pem(),
            kind: Kind::Here(Box::new(pair)),
        }
    }

    /// The key `name` in `directory`; `algorithm` where only one will do. Of a program's key the public half is
    /// `NAME.pub`, which may be missing where whoever asks has a certificate.
    ///
    /// # Errors
    /// When it is not there, cannot be read or decrypted, or is of another kind.
    pub fn load(
        directory: &Path,
        name: &str,
        algorithm: Option<&'static SignatureAlgorithm>,
        passphrase: &Passphrase,
    ) -> Result<Self, PrivateKeyError> {
        let path = |kind: &str| directory.join(format!("{name}.{kind}"));
        if let Some(text) = read_text(&path("signer"))? {
            let program =
                Program::parse(&text, name).map_err(|e| PrivateKeyError::Program(path("signer"), e))?;
            return Ok(Self {
                public: read_text(&path("pub"))?.unwrap_or_default(),
                kind: Kind::With(path("signer"), program),
            });
        }
        let file = path("key");
        let pem = read_text(&file)?.ok_or_else(|| PrivateKeyError::Absent(directory.join(name)))?;
        let der = if encrypted::is_encrypted(&pem) {
            let phrase = passphrase
                .text()
                .map_err(|error| PrivateKeyError::Passphrase(file.clone(), error))?;
            let der = encrypted::decrypt(&pem, phrase);
            der.map_err(|error| PrivateKeyError::Encrypted(file.clone(), error))?
        } else {
            PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
                .map_err(|_| PrivateKeyError::Pem(file.clone()))?
        };
        let pair = match algorithm {
            Some(algorithm) => KeyPair::from_pkcs8_der_and_sign_algo(&der, algorithm),
            None => KeyPair::try_from(&der),
        };
        pair.map(Self::of)
            .map_err(|error| PrivateKeyError::Kind(file, error))
    }

    /// The public half, in PEM; empty where a program signs and its public half was not given.
    #[must_use]
    pub fn public_pem(&self) -> &str {
        &self.public
    }

    /// The key as a `SubjectPublicKeyInfo`, where it is in memory.
    #[must_use]
    pub fn public_der(&self) -> Option<Vec<u8>> {
        match &self.kind {
            Kind::Here(pair) => Some(rcgen::PublicKeyData::subject_public_key_info(&**pair)),
            Kind::With(..) => None,
        }
    }

    /// Signs `bytes`.
    ///
    /// # Errors
    /// When that fails.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, PrivateKeyError> {
        match &self.kind {
            Kind::Here(pair) => pair.sign(bytes).map_err(PrivateKeyError::Sign),
            Kind::With(path, program) => program
                .sign(bytes)
                .map_err(|error| PrivateKeyError::Program(path.clone(), error)),
        }
    }
}

/// The keys of updates in `directory`, and the retired ones, whose public half is `wanted` and that can sign here.
///
/// # Errors
/// When one of them cannot be read or decrypted.
pub fn signatories(
    directory: &Path,
    wanted: &dyn Fn(&Key) -> bool,
    passphrase: &Passphrase,
) -> Result<Vec<Signatory>, PrivateKeyError> {
    let mut found = Vec::new();
    for (name, key) in public_keys(directory)? {
        let path = |kind: &str| directory.join(format!("{name}.{kind}"));
        if !wanted(&key) || !path("key").exists() && !path("signer").exists() {
            continue;
        }
        let private = PrivateKey::load(directory, &name, None, passphrase)?;
        let signatory = Signatory::new(&name, private);
        let signatory = signatory.map_err(|error| PrivateKeyError::Update(Box::new(error)))?;
        if *signatory.key() != key {
            return Err(PrivateKeyError::Pair(path("key")));
        }
        found.push(signatory);
    }
    Ok(found)
}

/// The public keys of updates in `directory`, and the retired ones, by name. Keys of another kind are for something else.
///
/// # Errors
/// When one of them cannot be read.
pub fn public_keys(directory: &Path) -> Result<BTreeMap<String, Key>, PrivateKeyError> {
    let mut keys = BTreeMap::new();
    for (folder, prefix) in [
        (directory.to_owned(), String::new()),
        (directory.join(RETIRED), format!("{RETIRED}/")),
    ] {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(PrivateKeyError::Read(folder, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| PrivateKeyError::Read(folder.clone(), error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(stem) = name.strip_suffix(".pub") else {
                continue;
            };
            if let Some(pem) = read_text(&entry.path())?
                && let Ok(key) = public_key(&pem)
            {
                keys.insert(format!("{prefix}{stem}"), key);
            }
        }
    }
    Ok(keys)
}

//! Keys at rest: PKCS #8 encrypted with a passphrase (PBES2 of RFC 8018: PBKDF2 with HMAC-SHA-256, AES-256-CBC). Other
//! tools read it too: `openssl pkey -in NAME.key`.
//!
//! Invariant: a passphrase comes from a file, the environment or a terminal, never from the command line, where everybody
//! on the machine sees it; neither it nor a key is ever printed.

use std::cell::OnceCell;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;

use pkcs8::der::pem::{LineEnding, PemLabel as _};
use pkcs8::der::{Decode as _, SecretDocument};
use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo, pkcs5::pbes2};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use rustls::pki_types::PrivatePkcs8KeyDer;

/// Names the file with the passphrase.
pub const PASSPHRASE_FILE: &str = "RAP_IMAGE_PASSPHRASE_FILE";
/// Holds the passphrase itself.
pub const PASSPHRASE: &str = "RAP_IMAGE_PASSPHRASE";
/// Rounds of PBKDF2: OWASP's advice for HMAC-SHA-256 since 2023; half a second.
const ROUNDS: u32 = 600_000;
/// Bytes of a passphrase, at least.
const SHORTEST: usize = 12;

/// Why a key is not encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum EncryptionError {
    /// Wrong passphrase, or damage: the two cannot be told apart.
    #[error("the passphrase is wrong, or the file is damaged")]
    Wrong,
    /// It cannot be read as such a key at all.
    #[error("it is not PKCS #8 encrypted in a way this program knows (PBES2)")]
    Form,
    /// Encrypting failed.
    #[error("encrypting failed")]
    Failed,
    /// Too short.
    #[error("a passphrase has at least {SHORTEST} bytes")]
    Short,
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// Nobody can be asked.
    #[error(
        "there is no terminal to ask for the passphrase; name a file that holds it in {PASSPHRASE_FILE}, or set {PASSPHRASE}"
    )]
    Nobody,
    /// The file.
    #[error("cannot read the passphrase's file {0}")]
    File(PathBuf, #[source] io::Error),
    /// The terminal.
    #[error("the passphrase was not read from the terminal")]
    Terminal(#[source] io::Error),
    /// The two inputs differ.
    #[error("the two passphrases differ")]
    Differ,
    /// Nothing was given.
    #[error("the passphrase is empty")]
    Empty,
}

/// Where the passphrase of a set of keys comes from. Read when it is first needed, and only once.
pub struct Passphrase {
    source: Source,
    text: OnceCell<String>,
}

enum Source {
    File(PathBuf),
    Terminal,
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

impl Passphrase {
    /// From `file`, or the file or text that the environment names, or else the terminal.
    #[must_use]
    pub fn usual(file: Option<PathBuf>) -> Self {
        let text = OnceCell::new();
        let file = file.or_else(|| std::env::var_os(PASSPHRASE_FILE).map(PathBuf::from));
        let source = file.map_or(Source::Terminal, Source::File);
        if matches!(source, Source::Terminal)
            && let Ok(given) = std::env::var(PASSPHRASE)
        {
            let _ = text.set(given);
        }
        Self { source, text }
    }

    /// This one.
    #[must_use]
    pub fn known(text: &str) -> Self {
        Self {
            source: Source::Terminal,
            text: OnceCell::from(text.to_owned()),
        }
    }

    /// The passphrase.
    ///
    /// # Errors
    /// When there is none.
    pub fn text(&self) -> Result<&str, PassphraseError> {
        self.get(|| ask("Passphrase of the keys: "))
    }

    /// The passphrase for keys that are being made: whoever types it, types it twice.
    ///
    /// # Errors
    /// When there is none, or the two differ.
    pub fn new_text(&self) -> Result<&str, PassphraseError> {
        self.get(|| {
            let first = ask("Passphrase for the new keys: ")?;
            if first == ask("Once more: ")? {
                Ok(first)
            } else {
                Err(PassphraseError::Differ)
            }
        })
    }

    fn get(&self, ask: impl Fn() -> Result<String, PassphraseError>) -> Result<&str, PassphraseError> {
        if self.text.get().is_none() {
            let text = match &self.source {
                Source::Terminal => ask()?,
                Source::File(path) => {
                    let text = std::fs::read_to_string(path);
                    let text = text.map_err(|error| PassphraseError::File(path.clone(), error))?;
                    text.lines().next().unwrap_or_default().to_owned()
                }
            };
            let _ = self.text.set(text);
        }
        match self.text.get() {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(PassphraseError::Empty),
        }
    }
}

/// Whether `pem` is an encrypted key.
pub(super) fn is_encrypted(pem: &str) -> bool {
    pem.contains(EncryptedPrivateKeyInfo::PEM_LABEL)
}

/// The key `der` (PKCS #8), encrypted, in PEM.
///
/// # Errors
/// When the passphrase is too short.
pub(super) fn encrypt(der: &[u8], passphrase: &str) -> Result<String, EncryptionError> {
    if passphrase.len() < SHORTEST {
        return Err(EncryptionError::Short);
    }
    let failed = |_| EncryptionError::Failed;
    let (mut salt, mut start) = ([0; 16], [0; 16]);
    for buffer in [&mut salt, &mut start] {
        rustix::rand::getrandom(&mut *buffer, rustix::rand::GetRandomFlags::empty())
            .map_err(|_| EncryptionError::Failed)?;
    }
    let scheme = pbes2::Parameters::pbkdf2_sha256_aes256cbc(ROUNDS, &salt, &start)
        .map_err(|_| EncryptionError::Failed)?;
    // The first version of PKCS #8, without the public half behind the key: OpenSSL reads no other.
    let key = PrivateKeyInfo::try_from(der).map_err(|_| EncryptionError::Failed)?;
    let key = PrivateKeyInfo {
        public_key: None,
        ..key
    };
    let key = SecretDocument::encode_msg(&key).map_err(failed)?;
    let data = scheme
        .encrypt(passphrase, key.as_bytes())
        .map_err(|_| EncryptionError::Failed)?;
    let info = EncryptedPrivateKeyInfo {
        encryption_algorithm: scheme.into(),
        encrypted_data: &data,
    };
    let document = SecretDocument::try_from(info).map_err(|_| EncryptionError::Failed)?;
    let pem = document
        .to_pem(EncryptedPrivateKeyInfo::PEM_LABEL, LineEnding::LF)
        .map_err(failed)?;
    Ok(pem.to_string())
}

/// The key in `pem`.
///
/// # Errors
/// When the passphrase is wrong, or it is no such key.
pub(super) fn decrypt(pem: &str, passphrase: &str) -> Result<PrivatePkcs8KeyDer<'static>, EncryptionError> {
    let (_, document) = SecretDocument::from_pem(pem.trim()).map_err(|_| EncryptionError::Form)?;
    let info = EncryptedPrivateKeyInfo::from_der(document.as_bytes()).map_err(|_| EncryptionError::Form)?;
    let der = info.decrypt(passphrase).map_err(|_| EncryptionError::Wrong)?;
    Ok(PrivatePkcs8KeyDer::from(der.as_bytes().to_vec()))
}

/// Asks on the terminal, without showing what is typed.
fn ask(prompt: &str) -> Result<String, PassphraseError> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let mut terminal = opened.map_err(|_| PassphraseError::Nobody)?;
    let hidden = Hidden::new(&terminal).map_err(PassphraseError::Terminal)?;
    write!(terminal, "{prompt}").map_err(PassphraseError::Terminal)?;
    let mut line = String::new();
    let read = BufReader::new(&terminal).read_line(&mut line);
    drop(hidden);
    // The end of the line was not shown either.
    let _ = writeln!(terminal);
    read.map_err(PassphraseError::Terminal)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden {
    terminal: File,
    before: rustix::termios::Termios,
}

impl Hidden {
    fn new(terminal: &File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        let terminal = terminal.try_clone()?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_with_its_passphrase_and_no_other() {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let pem = encrypt(&pair.serialize_der(), "correct horse battery").unwrap();
        assert!(
            is_encrypted(&pem) && pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
            "{pem}"
        );
        let der = decrypt(&pem, "correct horse battery").unwrap();
        // Version 0, for OpenSSL.
        assert_eq!(der.secret_pkcs8_der()[..5], [0x30, 0x2e, 2, 1, 0]);
        let again = rcgen::KeyPair::try_from(&der).unwrap();
        assert_eq!(again.public_key_pem(), pair.public_key_pem());
        assert!(matches!(
            decrypt(&pem, "correct horse batterx"),
            Err(EncryptionError::Wrong)
        ));
        assert!(matches!(
            decrypt("x", "correct horse battery"),
            Err(EncryptionError::Form)
        ));
        assert!(matches!(
            encrypt(&pair.serialize_der(), "short"),
            Err(EncryptionError::Short)
        ));
    }

    #[test]
    fn a_passphrase_is_the_first_line_of_its_file_and_is_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "correct horse\nother\n").unwrap();
        let passphrase = Passphrase::usual(Some(file.path().to_owned()));
        assert_eq!(passphrase.text().unwrap(), "correct horse");
        assert_eq!(format!("{passphrase:?}"), "Passphrase");
        std::fs::write(file.path(), "\n").unwrap();
        let empty = Passphrase::usual(Some(file.path().to_owned()));
        assert!(matches!(empty.text(), Err(PassphraseError::Empty)));
        let gone = Passphrase::usual(Some("/nowhere/at/all".into()));
        assert!(gone.text().unwrap_err().to_string().contains("/nowhere/at/all"));
    }
}

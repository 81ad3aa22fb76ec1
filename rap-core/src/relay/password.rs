//! A proxy's password: read from the identity at each use, so that a new one counts at once and none lies about in
//! memory. Neither Debug nor any error shows it.

use std::fmt;
use std::path::Path;

/// The longest password, in bytes (RFC 1929 §2).
const MOST: usize = 255;

/// A password; 1 to 255 bytes without control characters.
pub(super) struct Password(Vec<u8>);

impl Password {
    /// Reads the file at `path`; one line feed at its end does not count, as editors leave one.
    ///
    /// # Errors
    /// What is wrong with the file, in words that follow its name.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let mut bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
        for end in [b'\n', b'\r'] {
            if bytes.last() == Some(&end) {
                bytes.pop();
            }
        }
        let password = Self(bytes);
        match password.0.len() {
            0 => Err("is empty".to_owned()),
            length if length > MOST => Err(format!("holds {length} bytes, expected at most {MOST}")),
            _ if password.0.iter().any(u8::is_ascii_control) => {
                Err("holds control characters, expected one line".to_owned())
            }
            _ => Ok(password),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        self.0.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_a_password_and_is_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("proxy-a.password");
        for content in ["s3cret: x", "s3cret: x\n", "s3cret: x\r\n"] {
            std::fs::write(&path, content).unwrap();
            let password = Password::read(&path).unwrap();
            assert_eq!(password.bytes(), b"s3cret: x");
            assert!(!format!("{password:?}").contains("s3cret"));
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_its_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("proxy-a.password");
        assert!(
            Password::read(&path)
                .unwrap_err()
                .starts_with("cannot be read: No such file")
        );
        for (content, words) in [
            (String::new(), "is empty"),
            ("\n".to_owned(), "is empty"),
            (
                "s3cret\nuser\n".to_owned(),
                "holds control characters, expected one line",
            ),
            ("s3cret".repeat(50), "holds 300 bytes, expected at most 255"),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(Password::read(&path).unwrap_err(), words);
        }
    }
}

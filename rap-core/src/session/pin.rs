//! The PIN that a site may want with a yes: `identity/consent.pin`, one line, made on the desk by
//! `openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt pass:PIN -kdfopt hexsalt:SALT -kdfopt iter:600000 PBKDF2`.
//!
//! ```text
//! pbkdf2-sha256:600000:SALT:HASH          salt and hash in hexadecimal, colons within the hash are passed over
//! ```
//!
//! PBKDF2 (NIST SP 800-132) and not Argon2, because the module that has a chance of a certificate knows it. A PIN is
//! short, so what protects it is that a port is locked after a few tries, and that the file is for the session service
//! alone; the hash only keeps it out of sight.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;

/// Rounds, at most: more would hold up the service.
const MOST_ROUNDS: u32 = 2_000_000;

/// A hashed PIN.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pin {
    rounds: NonZeroU32,
    salt: Vec<u8>,
    hash: [u8; 32],
}

/// A line that is no hashed PIN. What it holds is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("consent.pin: expected one line pbkdf2-sha256:ROUNDS:SALT:HASH with 32 bytes of hash in hexadecimal")]
pub(super) struct NoPin;

impl Pin {
    /// Reads the file's text.
    pub(super) fn parse(text: &str) -> Result<Self, NoPin> {
        let mut parts = text.trim_end().splitn(4, ':');
        let mut next = || parts.next().ok_or(NoPin);
        if next()? != "pbkdf2-sha256" {
            return Err(NoPin);
        }
        let rounds: NonZeroU32 = next()?.parse().map_err(|_| NoPin)?;
        let salt = bytes(next()?).filter(|salt| !salt.is_empty()).ok_or(NoPin)?;
        let hash = bytes(&next()?.replace(':', "")).ok_or(NoPin)?;
        Ok(Self {
            rounds: Some(rounds)
                .filter(|rounds| rounds.get() <= MOST_ROUNDS)
                .ok_or(NoPin)?,
            salt,
            hash: hash.try_into().map_err(|_| NoPin)?,
        })
    }

    /// Whether `given` is it; takes as long for any.
    pub(super) fn is(&self, given: &str) -> bool {
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::verify(algorithm, self.rounds, &self.salt, given.as_bytes(), &self.hash).is_ok()
    }

    #[cfg(test)]
    pub(super) fn made(pin: &str, salt: &[u8], rounds: u32) -> Self {
        let rounds = NonZeroU32::new(rounds).unwrap();
        let mut hash = [0; 32];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            rounds,
            salt,
            pin.as_bytes(),
            &mut hash,
        );
        Self {
            rounds,
            salt: salt.to_vec(),
            hash,
        }
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pin")
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_openssl_makes_is_read() {
        // RFC 7914 §11: PBKDF2-HMAC-SHA-256 (P="passwd", S="salt", c=1), its first 32 bytes.
        let hash =
            "55:AC:04:6E:56:E3:08:9F:EC:16:91:C2:25:44:B6:05:F9:41:85:21:6D:DE:04:65:E6:8B:9D:57:C2:0D:AC:BC";
        let pin = Pin::parse(&format!("pbkdf2-sha256:1:73616c74:{hash}\n")).unwrap();
        assert!(pin.is("passwd"));
        assert!(!pin.is("passwe") && !pin.is(""));
    }

    #[test]
    fn anything_else_is_refused_without_being_told() {
        let hash = "00".repeat(32);
        for wrong in [
            "",
            "4711",
            &format!("argon2:1:00:{hash}"),
            &format!("pbkdf2-sha256:0:00:{hash}"),
            &format!("pbkdf2-sha256:3000000:00:{hash}"),
            &format!("pbkdf2-sha256:1::{hash}"),
            "pbkdf2-sha256:1:00:00",
            &format!("pbkdf2-sha256:1:0:{hash}"),
        ] {
            assert_eq!(Pin::parse(wrong), Err(NoPin), "{wrong}");
        }
    }
}

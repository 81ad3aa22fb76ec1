//! Whom a box's certificate names: its name, and the serial number that stays where names change.

use std::fmt;

/// A box, as its certificate names it: the name is the certificate's common name, the serial number X.520's
/// `serialNumber` (RFC 4519 §2.31).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    name: String,
    serial: String,
}

/// What is no name or serial number of a box.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSubject {
    /// The box's name.
    #[error("the box's name is {0:?}; expected 1 to 63 of a-z, 0-9 and -")]
    Name(String),
    /// The box's serial number.
    #[error("the box's serial number is {0:?}; expected 1 to 64 of letters, digits, -, . and /")]
    Serial(String),
}

impl Subject {
    /// The box `name` with this serial number.
    ///
    /// # Errors
    /// When one of them is empty, too long, or has other characters.
    pub fn new(name: &str, serial: &str) -> Result<Self, NoSubject> {
        let of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !((1..=63).contains(&name.len()) && name.bytes().all(of_name)) {
            return Err(NoSubject::Name(name.to_owned()));
        }
        if !is_serial(serial) {
            return Err(NoSubject::Serial(serial.to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            serial: serial.to_owned(),
        })
    }

    /// The box's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The box's serial number.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.serial)
    }
}

/// Whether a text can be a box's serial number.
pub(super) fn is_serial(text: &str) -> bool {
    let of_serial = |byte: u8| byte.is_ascii_alphanumeric() || b"-./".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(of_serial)
}

/// The serial number that firmware gives the machine (SMBIOS 3 §7.2), where its maker wrote one; makers that did not leave
/// words of their own there.
#[must_use]
pub fn serial_of_firmware(text: &str) -> Option<&str> {
    let text = text.trim();
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).collect();
    let is_filler = matches!(
        text.to_ascii_lowercase().as_str(),
        "none" | "default" | "unknown" | "n/a" | "invalid" | "0123456789" | "123456789" | "1234567890"
    );
    // Every serial number has a digit, and not the same one throughout.
    let says = digits.iter().any(|digit| Some(digit) != digits.first());
    (is_serial(text) && says && !is_filler).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_serial_numbers_have_bounds() {
        let long = "x".repeat(65);
        for (name, serial) in [
            ("", "1"),
            ("Ward", "1"),
            ("a b", "1"),
            ("a", ""),
            ("a", "1\n"),
            ("a", "é"),
            ("a", &long),
            (&long, "1"),
        ] {
            assert!(Subject::new(name, serial).is_err(), "{name:?} {serial:?}");
        }
        let subject = Subject::new("ward-3", "RAP-0042").unwrap();
        assert_eq!(subject.to_string(), "ward-3 RAP-0042");
    }

    #[test]
    fn firmware_that_says_nothing_is_not_believed() {
        for nothing in [
            "",
            "None",
            "To be filled by O.E.M.",
            "Default string",
            "00000000",
            "0123456789",
            "N/A",
            "System Serial Number",
        ] {
            assert_eq!(serial_of_firmware(nothing), None, "{nothing:?}");
        }
        assert_eq!(serial_of_firmware(" RAP-0042\n"), Some("RAP-0042"));
    }
}

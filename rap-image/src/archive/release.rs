//! A suite's Release file, after its signature was believed: what it is, when it was made, and its indices' hashes.

use jiff::Timestamp;

use super::Suite;
use super::stanza::stanzas;
use rap_core::digest::Sha256;

/// What we read of a Release file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// When it was made.
    pub date: Timestamp,
    /// After this, a mirror that still serves it is stale or held back.
    pub valid_until: Option<Timestamp>,
    /// The index of [`Suite::index`]: its hash.
    pub index_sha256: Sha256,
    /// Its size in bytes.
    pub index_size: u64,
}

/// Why a signed Release file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field is absent.
    #[error("{suite}: the Release file has no {field}")]
    Missing {
        /// The suite asked for.
        suite: &'static str,
        /// The field or index.
        field: &'static str,
    },
    /// It is of another suite: a mirror mixed up, or somebody answering with an old signed file.
    #[error("asked for {expected}, got the Release file of {found:?}")]
    OtherSuite {
        /// The suite asked for.
        expected: &'static str,
        /// Its `Codename`.
        found: String,
    },
    /// A date or a hash cannot be read.
    #[error("{suite}: cannot read {field} {found:?} of the Release file")]
    Unreadable {
        /// The suite asked for.
        suite: &'static str,
        /// The field.
        field: &'static str,
        /// What it says.
        found: String,
    },
}

impl Release {
    /// Reads the signed text of `suite`'s Release file.
    ///
    /// # Errors
    /// When it is another suite's, or lacks what we need.
    pub fn parse(suite: &Suite, text: &str) -> Result<Self, Error> {
        let missing = |field| Error::Missing {
            suite: suite.name,
            field,
        };
        let stanza = stanzas(text).next().ok_or(missing("field"))?;
        let codename = stanza.field("Codename").ok_or(missing("Codename"))?;
        if codename != suite.name {
            return Err(Error::OtherSuite {
                expected: suite.name,
                found: codename.to_owned(),
            });
        }
        let date = |field: &'static str, found: &str| {
            // Debian writes RFC 2822 dates with the zone `UTC`, which only RFC 1123 knows: as `GMT`.
            jiff::fmt::rfc2822::parse(&found.replace("UTC", "GMT"))
                .map(|zoned| zoned.timestamp())
                .map_err(|_| Error::Unreadable {
                    suite: suite.name,
                    field,
                    found: found.to_owned(),
                })
        };
        let (index_sha256, index_size) = stanza
            .lines("SHA256")
            .find_map(|line| entry(line, suite))
            .ok_or(missing("SHA256 of main/binary-amd64/Packages.xz"))?;
        Ok(Self {
            date: date("Date", stanza.field("Date").ok_or(missing("Date"))?)?,
            valid_until: stanza
                .field("Valid-Until")
                .map(|found| date("Valid-Until", found))
                .transpose()?,
            index_sha256,
            index_size,
        })
    }
}

/// `HASH SIZE PATH`. The security archive's own component is `updates/main`, but its paths say `main`.
fn entry(line: &str, suite: &Suite) -> Option<(Sha256, u64)> {
    let mut words = line.split_ascii_whitespace();
    let (hash, size, path) = (words.next()?, words.next()?, words.next()?);
    (path == suite.index()).then(|| Some((hash.parse().ok()?, size.parse().ok()?)))?
}

#[cfg(test)]
mod tests {
    use super::super::SUITES;
    use super::*;

    const TEXT: &str = "Origin: Debian\nCodename: trixie\nDate: Sat, 21 Nov 2026 09:15:44 UTC\n\
        Valid-Until: Sun, 29 Nov 2026 02:09:05 UTC\nSHA256:\n \
        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 12 main/binary-amd64/Packages.xz\n \
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 main/binary-arm64/Packages.xz\n";

    #[test]
    fn reads_date_and_index() {
        let release = Release::parse(&SUITES[0], TEXT).unwrap();
        assert_eq!(release.date.to_string(), "2026-11-21T09:15:44Z");
        assert_eq!(release.valid_until.unwrap().to_string(), "2026-11-29T02:09:05Z");
        assert_eq!(
            (release.index_sha256, release.index_size),
            (Sha256::of(b"abc"), 12)
        );
    }

    #[test]
    fn another_suites_file_is_refused() {
        let error = Release::parse(&SUITES[1], TEXT).unwrap_err();
        assert_eq!(
            error.to_string(),
            "asked for trixie-updates, got the Release file of \"trixie\""
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        for (field, expected) in [
            ("Codename", "trixie: the Release file has no Codename"),
            ("Date", "trixie: the Release file has no Date"),
            (
                "SHA256",
                "trixie: the Release file has no SHA256 of main/binary-amd64/Packages.xz",
            ),
        ] {
            let text = TEXT.replace(&format!("\n{field}:"), "\nX:");
            assert_eq!(
                Release::parse(&SUITES[0], &text).unwrap_err().to_string(),
                expected
            );
        }
        let text = TEXT.replace("21 Nov", "41 Nov");
        assert!(matches!(
            Release::parse(&SUITES[0], &text),
            Err(Error::Unreadable { field: "Date", .. })
        ));
    }
}

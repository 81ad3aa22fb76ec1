//! How a body is compressed, and which ways the service centre takes. Pure, but for the compressing.

use std::io::{self, Write as _};

use flate2::write::GzEncoder;

const ZSTD_LEVEL: i32 = 6;

/// A content coding (RFC 9110 §8.4.1; zstd is RFC 8878).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// The smallest; what is tried first.
    #[default]
    Zstd,
    /// For servers that do not take zstd.
    Gzip,
    /// As it is: only for a server that says it takes nothing else.
    Identity,
}

impl Encoding {
    const ALL: [Self; 3] = [Self::Zstd, Self::Gzip, Self::Identity];

    /// Its name in `Content-Encoding` and `Accept-Encoding`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }

    pub(super) fn compress(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd => zstd::bulk::compress(bytes, ZSTD_LEVEL),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Identity => Ok(bytes.to_vec()),
        }
    }
}

/// The coding in use, and those that were refused with 415 on the way to it.
#[derive(Debug, Default)]
pub(super) struct Codings {
    current: Encoding,
    refused: Vec<Encoding>,
}

impl Codings {
    pub(super) fn current(&self) -> Encoding {
        self.current
    }

    /// The current one was taken.
    pub(super) fn taken(&mut self) {
        self.refused.clear();
    }

    /// The current one was refused; `accepts` is the answer's `Accept-Encoding` (RFC 9110 §12.5.3, RFC 7694). Returns
    /// whether there is another to try; if not, they are tried from the first again next time.
    pub(super) fn refused(&mut self, accepts: Option<&str>) -> bool {
        self.refused.push(self.current);
        let usual = [Encoding::Zstd, Encoding::Gzip];
        let takes = |coding: Encoding| match accepts {
            Some(list) => is_listed(list, coding),
            None => usual.contains(&coding),
        };
        let next = Encoding::ALL
            .into_iter()
            .find(|coding| !self.refused.contains(coding) && takes(*coding));
        match next {
            Some(next) => self.current = next,
            None => *self = Self::default(),
        }
        next.is_some()
    }
}

/// What is tried one after the other while each is refused, until there is nothing left.
pub(in crate::forward) fn tried<'a>(accepts: impl Iterator<Item = &'a str>) -> Vec<&'static str> {
    let mut codings = Codings::default();
    let mut tried = vec![codings.current().as_str()];
    for list in accepts {
        if !codings.refused(Some(list)) {
            break;
        }
        tried.push(codings.current().as_str());
    }
    tried
}

/// Whether `list` names `coding` with a weight that is not 0 (RFC 9110 §12.4.2). Its order and weights are not looked at
/// beyond that: ours is by size.
fn is_listed(list: &str, coding: Encoding) -> bool {
    list.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let refused = parts.any(|part| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.trim_end_matches(['0', '.']).is_empty())
        });
        name.eq_ignore_ascii_case(coding.as_str()) && !refused
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn each_coding_is_what_it_says() {
        let text = b"status ".repeat(100);
        let zstd = Encoding::Zstd.compress(&text).unwrap();
        assert_eq!(zstd::bulk::decompress(&zstd, 1000).unwrap(), text);
        let gzip = Encoding::Gzip.compress(&text).unwrap();
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(gzip.as_slice())
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(plain, text);
        assert_eq!(Encoding::Identity.compress(&text).unwrap(), text);
    }

    #[test]
    fn gzip_comes_after_zstd_and_then_the_first_again() {
        let mut codings = Codings::default();
        assert_eq!(codings.current(), Encoding::Zstd);
        assert!(codings.refused(None));
        assert_eq!(codings.current(), Encoding::Gzip);
        codings.taken();
        assert_eq!(codings.current(), Encoding::Gzip);
        // It takes zstd again, and no gzip any more.
        assert!(codings.refused(None));
        assert_eq!(codings.current(), Encoding::Zstd);
        assert!(!codings.refused(None));
        assert_eq!(codings.current(), Encoding::Zstd);
    }

    #[test]
    fn the_server_may_say_what_it_takes() {
        for (accepts, next) in [
            ("gzip", Some(Encoding::Gzip)),
            ("br, GZIP;q=0.5", Some(Encoding::Gzip)),
            ("identity", Some(Encoding::Identity)),
            ("gzip;q=0, identity", Some(Encoding::Identity)),
            ("gzip; q=0.0", None),
            ("br", None),
            ("", None),
            // It was refused a moment ago, whatever is said now.
            ("zstd", None),
        ] {
            let mut codings = Codings::default();
            assert_eq!(codings.refused(Some(accepts)), next.is_some(), "{accepts}");
            assert_eq!(codings.current(), next.unwrap_or_default(), "{accepts}");
        }
    }
}

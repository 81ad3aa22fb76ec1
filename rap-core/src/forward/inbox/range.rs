//! `Range` of an agent's `GET` (RFC 9110 §14.2): one range of bytes, of a file whose size is known.

/// Some bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// The first byte's place, from 0.
    pub first: u64,
    /// How many, at least one.
    pub length: u64,
}

/// A text that is no range of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected \"bytes=FIRST-LAST\" or \"bytes=FIRST-\" with FIRST <= LAST, and FIRST within the file's {size} bytes"
)]
pub struct NoSlice {
    /// Bytes of the file.
    pub size: u64,
}

impl Slice {
    /// Reads the field's value for a file of `size` bytes. What reaches behind the file's end or is longer than `most` is
    /// cut: the answer says what it has.
    ///
    /// # Errors
    /// When it is none, names several ranges, counts from the end, or begins behind it.
    pub fn parse(value: &str, size: u64, most: u64) -> Result<Self, NoSlice> {
        let wrong = NoSlice { size };
        let (unit, range) = value.split_once('=').ok_or(wrong)?;
        let (first, last) = range.split_once('-').ok_or(wrong)?;
        let first = number(first).ok_or(wrong)?;
        let last = if last.is_empty() {
            u64::MAX
        } else {
            number(last).ok_or(wrong)?
        };
        // RFC 9110 §14.1: range units are case-insensitive.
        if !unit.eq_ignore_ascii_case("bytes") || first > last || first >= size || most == 0 {
            return Err(wrong);
        }
        let length = (last.min(size - 1) - first).saturating_add(1).min(most);
        Ok(Self { first, length })
    }

    /// The place of its last byte.
    #[must_use]
    pub fn last(self) -> u64 {
        self.first + self.length - 1
    }
}

/// Digits only: Rust's own parser takes a sign.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_within_the_file_is_read_and_cut() {
        let read = |text: &str| {
            Slice::parse(text, 100, 30)
                .map(|slice| (slice.first, slice.length))
                .ok()
        };
        assert_eq!(read("bytes=0-9"), Some((0, 10)));
        assert_eq!(read("BYTES=90-"), Some((90, 10)));
        assert_eq!(read("bytes=99-200"), Some((99, 1)));
        assert_eq!(read("bytes=10-"), Some((10, 30)));
        assert_eq!(read(&format!("bytes=0-{}", u64::MAX)), Some((0, 30)));
        for wrong in [
            "",
            "bytes",
            "bytes=",
            "bytes=-5",
            "bytes=9-8",
            "bytes=100-",
            "bytes=0-1,3-4",
            "bytes=+1-2",
            "items=0-1",
            "bytes=0-18446744073709551616",
            "bytes = 0-1",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(Slice::parse("bytes=0-", 0, 30), Err(NoSlice { size: 0 }));
    }
}

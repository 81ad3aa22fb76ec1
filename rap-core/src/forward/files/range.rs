//! `Content-Range` of a `PUT` (RFC 9110 §14.4 and §14.5): which bytes of the file the body is.

use std::fmt;
use std::str::FromStr;

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// `bytes FIRST-LAST/TOTAL`: these bytes, both ends included, of so many.
    Part {
        /// The first byte's place, from 0.
        first: u64,
        /// The last byte's place.
        last: u64,
        /// Bytes of the whole file.
        total: u64,
    },
    /// `bytes */TOTAL`: none; how much is there already?
    Ask {
        /// Bytes of the whole file.
        total: u64,
    },
}

/// A text that is no such range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected \"bytes FIRST-LAST/TOTAL\" with FIRST <= LAST < TOTAL, or \"bytes */TOTAL\"")]
pub struct NoRange;

impl Range {
    /// The range of a body of `length` bytes that begins at `first`; `None` for an empty body.
    #[must_use]
    pub fn part(first: u64, length: usize, total: u64) -> Option<Self> {
        let last = first.checked_add(length as u64)?.checked_sub(1)?;
        (length > 0 && last < total).then_some(Self::Part { first, last, total })
    }

    /// Bytes the body has.
    #[must_use]
    pub fn length(self) -> u64 {
        match self {
            Self::Part { first, last, .. } => last - first + 1,
            Self::Ask { .. } => 0,
        }
    }

    /// Bytes of the whole file.
    #[must_use]
    pub fn total(self) -> u64 {
        match self {
            Self::Part { total, .. } | Self::Ask { total } => total,
        }
    }
}

impl FromStr for Range {
    type Err = NoRange;

    fn from_str(text: &str) -> Result<Self, NoRange> {
        let (unit, rest) = text.split_once(' ').ok_or(NoRange)?;
        let (range, total) = rest.split_once('/').ok_or(NoRange)?;
        let total = number(total)?;
        // RFC 9110 §14.1: range units are case-insensitive.
        if !unit.eq_ignore_ascii_case("bytes") || total == 0 {
            return Err(NoRange);
        }
        if range == "*" {
            return Ok(Self::Ask { total });
        }
        let (first, last) = range.split_once('-').ok_or(NoRange)?;
        let (first, last) = (number(first)?, number(last)?);
        if first <= last && last < total {
            Ok(Self::Part { first, last, total })
        } else {
            Err(NoRange)
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part { first, last, total } => write!(f, "bytes {first}-{last}/{total}"),
            Self::Ask { total } => write!(f, "bytes */{total}"),
        }
    }
}

/// Digits only: Rust's own parser takes a sign.
fn number(text: &str) -> Result<u64, NoRange> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_err(|_| NoRange)
    } else {
        Err(NoRange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_written() {
        for text in ["bytes 0-0/1", "bytes 10-19/20", "bytes */20"] {
            assert_eq!(text.parse::<Range>().unwrap().to_string(), text);
        }
        let max = u64::MAX;
        let range: Range = format!("BYTES 0-{}/{max}", max - 1).parse().unwrap();
        assert_eq!((range.length(), range.total()), (max, max));
        assert_eq!(Range::part(5, 3, 8).unwrap().to_string(), "bytes 5-7/8");
        for (first, length, total) in [(5, 0, 8), (5, 4, 8), (max, 1, max), (max, 2, max)] {
            assert_eq!(Range::part(first, length, total), None);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "bytes",
            "bytes=0-1/2",
            "bytes 0-1",
            "bytes 1-0/2",
            "bytes 0-2/2",
            "bytes */0",
            "bytes */*",
            "bytes 0-1/*",
            "bytes +0-1/2",
            "bytes 0-1/+2",
            "bytes -1/2",
            "bytes 0-/2",
            "bytes  0-1/2",
            "bytes 0-1/2 ",
            "bytes 0-1,3-4/9",
            "items 0-1/2",
            "bytes */18446744073709551616",
        ] {
            assert_eq!(text.parse::<Range>(), Err(NoRange), "{text}");
        }
    }
}

//! As much of DER (ITU-T X.690) as a PKCS #7 signature needs: writing nested values, and stepping over those of a
//! certificate. Lengths are definite and minimal.

/// Tags used here.
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// The tag of the context's `number`th alternative, with further values in it.
pub(super) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// One value: tag, length, content.
pub(super) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let digits: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
            // At most eight digits.
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
            out.extend(digits);
        }
    }
    out.extend(content);
    out
}

/// A value that holds others, one after the other.
pub(super) fn nested(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    value(tag, &parts.concat())
}

/// What is left to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

/// A value that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// Tag and length too.
    pub(super) whole: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The next value; `None` when there is none that is whole.
    pub(super) fn next(&mut self) -> Option<Found<'a>> {
        let all = self.0;
        let (&tag, rest) = all.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..0x80 => (usize::from(first), rest),
            _ => {
                let digits = usize::from(first & 0x7f);
                if digits == 0 || digits > 4 {
                    return None;
                }
                let (digits, rest) = rest.split_at_checked(digits)?;
                (digits.iter().fold(0, |n, &byte| n << 8 | usize::from(byte)), rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Found {
            tag,
            content,
            whole: &all[..all.len() - rest.len()],
        })
    }

    /// The next value, which has to be of this kind.
    pub(super) fn expect(&mut self, tag: u8) -> Option<Found<'a>> {
        self.next().filter(|found| found.tag == tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_minimal_and_read_again() {
        for (length, head) in [
            (0, &[4, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (256, &[4, 0x82, 1, 0]),
            (70_000, &[4, 0x83, 1, 0x11, 0x70]),
        ] {
            let content = vec![7; length];
            let whole = value(OCTET_STRING, &content);
            assert_eq!(&whole[..head.len()], head);
            let found = Reader(&whole).expect(OCTET_STRING).unwrap();
            assert_eq!((found.content, found.whole), (&content[..], &whole[..]));
        }
    }

    #[test]
    fn what_is_cut_off_or_endless_is_nothing() {
        let whole = nested(SEQUENCE, &[&value(INTEGER, &[1]), &value(OID, &[1; 200])]);
        for end in 0..whole.len() {
            assert_eq!(Reader(&whole[..end]).next(), None, "{end}");
        }
        for broken in [
            &[4, 0x80, 0, 0][..],
            &[4, 0x85, 1, 1, 1, 1, 1],
            &[4, 0x84, 255, 255, 255, 255],
        ] {
            assert_eq!(Reader(broken).next(), None);
        }
    }
}

//! Debian version numbers and their order (Debian Policy §5.6.12): `[epoch:]upstream[-revision]`.

use std::cmp::Ordering;
use std::fmt;

/// A version, ordered as dpkg orders it. Two spellings of one version (`1.0` and `1.00`) are equal.
#[derive(Debug, Clone)]
pub struct Version(String);

impl Version {
    /// From the text of a `Version` field. Any text has a place in the order, as with dpkg.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

/// The order of two versions given as text.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (split(a), split(b));
    compare_numbers(a.0, b.0)
        .then_with(|| compare_part(a.1, b.1))
        .then_with(|| compare_part(a.2, b.2))
}

/// Epoch, upstream version, revision; what is absent is empty, and an empty number counts as 0.
fn split(version: &str) -> (&str, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Alternating runs of non-digits and digits, the former by [`weight`], the latter as numbers of any length.
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = run(a, |byte| !byte.is_ascii_digit());
        let (text_b, rest_b) = run(b, |byte| !byte.is_ascii_digit());
        let (number_a, rest_a) = run(rest_a, |byte| byte.is_ascii_digit());
        let (number_b, rest_b) = run(rest_b, |byte| byte.is_ascii_digit());
        let order = compare_text(text_a, text_b).then_with(|| compare_numbers(number_a, number_b));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

fn run(text: &str, belongs: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|byte| !belongs(byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn compare_text(a: &str, b: &str) -> Ordering {
    let longest = a.len().max(b.len());
    (0..longest)
        .map(|i| weight(a.as_bytes().get(i).copied()).cmp(&weight(b.as_bytes().get(i).copied())))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// `~` before the end, the end before letters, letters before everything else.
fn weight(byte: Option<u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(letter),
        Some(other) => i32::from(other) + 256,
    }
}

fn compare_numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each list is in rising order; pairs from dpkg's own tests and from Debian's archive.
    #[test]
    fn golden_orders() {
        for rising in [
            &["0~~", "0~~a", "0~", "0", "0a", "0+"][..],
            &[
                "1.0~rc1-1",
                "1.0-1~bpo12+1",
                "1.0-1",
                "1.0-1+b2",
                "1.0-1+deb13u1",
                "1.0-1.1",
                "1.0-2",
                "1.0+dfsg-1",
            ],
            &[
                "3.5.1-1",
                "3.5.1-1+deb13u1",
                "3.5.1-1+deb13u2",
                "3.5.1-1+deb13u10",
                "3.5.4-1~deb13u1",
                "3.5.4-1",
            ],
            &["9.9", "10", "1:0.1", "2:0"],
            &["6.12.38-1", "6.12.117-1", "6.12.117-1+b1"],
            &["257.9-1~deb13u1", "257.13-1~deb13u1", "257.13-1"],
            &["1.2.3-4", "1.2.3-4a", "1.2.3-4-1"],
        ] {
            for pair in rising.windows(2) {
                assert_eq!(
                    compare(pair[0], pair[1]),
                    Ordering::Less,
                    "{} < {}",
                    pair[0],
                    pair[1]
                );
                assert_eq!(
                    compare(pair[1], pair[0]),
                    Ordering::Greater,
                    "{} > {}",
                    pair[1],
                    pair[0]
                );
            }
        }
    }

    #[test]
    fn spellings_of_one_version_are_equal() {
        for (a, b) in [("1.0", "1.00"), ("0:1-1", "1-1"), ("1", "1-0"), ("1.0-", "1.0")] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} = {b}");
        }
    }

    proptest! {
        #[test]
        fn is_an_order(a in "[0-9a-c.+~:-]{0,8}", b in "[0-9a-c.+~:-]{0,8}", c in "[0-9a-c.+~:-]{0,8}") {
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
        }

        #[test]
        fn a_longer_number_is_newer(n in 0u32..1_000_000, m in 0u32..1_000_000) {
            prop_assert_eq!(compare(&format!("1.{n}"), &format!("1.{m}")), n.cmp(&m));
        }
    }
}

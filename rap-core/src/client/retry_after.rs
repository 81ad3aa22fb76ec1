//! How long a server asks us to wait: `Retry-After` of RFC 9110 §10.2.3, a number of seconds or a date.

use std::time::{Duration, SystemTime};

/// The longest that is heard: a server's mistake must not silence the box for days.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

/// The value in seconds, at most [`LONGEST`]. A date is held against `there`, the time by the server's own clock: the
/// box's may be wrong. Where that is not known a date says nothing.
pub(crate) fn parse(value: &str, there: Option<SystemTime>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are very long.
        return Some(value.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST));
    }
    let until = date(value)?;
    Some(until.duration_since(there?).unwrap_or_default().min(LONGEST))
}

/// An HTTP date in any of its three forms (RFC 9110 §5.6.7).
pub(crate) fn date(value: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(value.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: &str = "Tue, 24 Nov 2026 02:00:00 GMT";

    fn seconds(value: &str) -> Option<u64> {
        parse(value, date(THERE)).map(|asked| asked.as_secs())
    }

    #[test]
    fn seconds_are_taken_up_to_an_hour() {
        assert_eq!(seconds("0"), Some(0));
        assert_eq!(seconds(" 120 "), Some(120));
        assert_eq!(seconds("86400"), Some(3600));
        assert_eq!(seconds("99999999999999999999999"), Some(3600));
        assert_eq!(parse("7", None), Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_date_in_each_form_is_from_the_servers_own_time() {
        assert_eq!(seconds("Tue, 24 Nov 2026 02:01:30 GMT"), Some(90));
        assert_eq!(seconds("Tuesday, 24-Nov-26 02:01:30 GMT"), Some(90));
        assert_eq!(seconds("Tue Nov 24 02:01:30 2026"), Some(90));
        assert_eq!(seconds("Wed, 25 Nov 2026 02:00:00 GMT"), Some(3600));
        assert_eq!(seconds("Mon, 23 Nov 2026 02:00:00 GMT"), Some(0));
    }

    #[test]
    fn a_date_without_the_servers_time_and_what_is_neither_say_nothing() {
        assert_eq!(parse("Tue, 24 Nov 2026 02:01:30 GMT", None), None);
        for value in [
            "",
            "soon",
            "-1",
            "+1",
            "1.5",
            "120 s",
            "Tue, 24 Nov 2026",
            "24 Nov",
        ] {
            assert_eq!(seconds(value), None, "{value:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_sent_gives_at_most_an_hour(value in ".{0,40}", place in 0..29_usize, with in ".") {
            let other = |(at, c)| if at == place { with.clone() } else { String::from(c) };
            for text in [value, THERE.chars().enumerate().map(other).collect()] {
                let _ = date(&text);
                proptest::prop_assert!(seconds(&text).is_none_or(|asked| asked <= 3600));
            }
        }
    }
}

//! A maintenance window: `"02:00-04:30"`, `"Sat,Sun 22:00-05:00"`, `"Mon-Fri 02:00-04:30"`; always in UTC.
//!
//! A window whose end is not later than its beginning ends on the next day; days are those on which it begins. Pure, and
//! in seconds since 1970-01-01 UTC, which was a Thursday.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const DAY: u32 = 86_400;
const WEEK: u32 = 7 * DAY;
/// The least: a trial and its way back fit in.
const LEAST: u32 = 30 * 60;
/// The days of a week, from 1970's first.
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// When the box may restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// On which days it begins, in the order of [`DAYS`].
    days: [bool; 7],
    /// Seconds from midnight to its beginning.
    begin: u32,
    /// How long it is, in seconds; at most a day.
    length: u32,
}

/// A text that is no [`Window`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected HH:MM-HH:MM, with days such as Mon-Fri or Sat,Sun before it if need be")]
pub struct InvalidWindow;

/// How long from `now` (seconds since 1970) until one of `windows` is open: zero while one is, and where there is none.
#[must_use]
pub fn open_in(windows: &[Window], now: u64) -> Duration {
    let waits = windows.iter().map(|window| window.opens_in(now));
    Duration::from_secs(waits.min().unwrap_or(0).into())
}

impl Window {
    fn opens_in(&self, now: u64) -> u32 {
        // Below a week, so it fits.
        let now = u32::try_from(now % u64::from(WEEK)).unwrap_or(0);
        let days = (0..7_u32).zip(self.days).filter(|(_, on)| *on);
        let waits = days.map(|(day, _)| {
            let begin = day * DAY + self.begin;
            let since = (now + WEEK - begin) % WEEK;
            if since < self.length { 0 } else { WEEK - since }
        });
        waits.min().unwrap_or(0)
    }
}

impl FromStr for Window {
    type Err = InvalidWindow;

    fn from_str(text: &str) -> Result<Self, InvalidWindow> {
        let (days, times) = match text.split_once(' ') {
            Some((days, times)) => (parse_days(days)?, times),
            None => ([true; 7], text),
        };
        let (begin, end) = times.split_once('-').ok_or(InvalidWindow)?;
        let (begin, end) = (parse_time(begin)?, parse_time(end)?);
        let length = if end > begin {
            end - begin
        } else {
            end + DAY - begin
        };
        (length >= LEAST)
            .then_some(Self { days, begin, length })
            .ok_or(InvalidWindow)
    }
}

/// `Sat,Sun` or `Mon-Fri`, or both kinds after commas.
fn parse_days(text: &str) -> Result<[bool; 7], InvalidWindow> {
    let index = |name: &str| DAYS.iter().position(|day| *day == name).ok_or(InvalidWindow);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (index(first)?, index(last)?);
        for step in 0..=(last + 7 - first) % 7 {
            days[(first + step) % 7] = true;
        }
    }
    Ok(days)
}

/// `HH:MM`, as seconds since midnight; `24:00` is the next one.
fn parse_time(text: &str) -> Result<u32, InvalidWindow> {
    let (hours, minutes) = text.split_once(':').ok_or(InvalidWindow)?;
    let two = |digits: &str| {
        let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u32>().ok().filter(|_| plain).ok_or(InvalidWindow)
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let fits = minutes < 60 && (hours < 24 || (hours, minutes) == (24, 0));
    fits.then_some((hours * 60 + minutes) * 60).ok_or(InvalidWindow)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != [true; 7] {
            let named = DAYS.iter().zip(self.days).filter(|(_, on)| *on);
            let names: Vec<&str> = named.map(|(name, _)| *name).collect();
            write!(f, "{} ", names.join(","))?;
        }
        let time = |seconds: u32| format!("{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60);
        write!(f, "{}-{} UTC", time(self.begin), time(self.begin + self.length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-01-05, a Monday, at midnight.
    const MONDAY: u64 = 1_767_571_200;

    fn wait(window: &str, now: u64) -> u64 {
        open_in(&[window.parse().unwrap()], now).as_secs()
    }

    #[test]
    fn a_window_is_open_from_its_beginning_and_not_at_its_end() {
        let at = |hours: u64, minutes: u64| MONDAY + hours * 3600 + minutes * 60;
        assert_eq!(wait("02:00-04:30", at(2, 0)), 0);
        assert_eq!(wait("02:00-04:30", at(4, 30) - 1), 0);
        assert_eq!(wait("02:00-04:30", at(4, 30)), 21 * 3600 + 1800);
        assert_eq!(wait("02:00-04:30", at(1, 0)), 3600);
    }

    #[test]
    fn past_midnight_and_past_the_weeks_end() {
        assert_eq!(wait("22:00-01:00", MONDAY + 1800), 0);
        assert_eq!(wait("22:00-01:00", MONDAY + 3600), 21 * 3600);
        // Sunday's, on Monday.
        assert_eq!(wait("Sun 22:00-01:00", MONDAY + 1800), 0);
        assert_eq!(wait("Mon 22:00-01:00", MONDAY + 1800), 22 * 3600 - 1800);
        assert_eq!(wait("Tue-Thu 00:00-24:00", MONDAY), 86_400);
        // Wednesday to Thursday is where 1970's week has its seam.
        assert_eq!(wait("Wed 23:00-02:00", MONDAY + 3 * 86_400 + 3600), 0);
    }

    #[test]
    fn the_first_to_open_counts_and_none_is_always() {
        let windows = ["Sat,Sun 10:00-12:00", "Tue 10:00-12:00"].map(|text| text.parse().unwrap());
        assert_eq!(open_in(&windows, MONDAY).as_secs(), 34 * 3600);
        assert_eq!(open_in(&[], MONDAY), Duration::ZERO);
    }

    #[test]
    fn what_is_no_window() {
        for text in [
            "",
            "02:00",
            "2:00-04:00",
            "02:00-25:00",
            "24:01-02:00",
            "02:60-04:00",
            "02:00-02:29",
            "Mo 02:00-04:00",
            "Mon- 02:00-04:00",
            "Mon  02:00-04:00",
            " 02:00-04:00",
            "+2:00-04:00",
        ] {
            assert_eq!(text.parse::<Window>(), Err(InvalidWindow), "{text:?}");
        }
    }

    #[test]
    fn it_reads_as_it_was_meant() {
        let text = |text: &str| text.parse::<Window>().unwrap().to_string();
        assert_eq!(text("02:00-04:30"), "02:00-04:30 UTC");
        assert_eq!(text("Sat,Sun 22:00-05:00"), "Sat,Sun 22:00-05:00 UTC");
    }

    proptest! {
        #[test]
        fn after_the_wait_it_is_open_and_before_it_is_not(
            day in 0_usize..7, begin in 0_u32..1440, length in 30_u32..1440, now in 0_u64..4_000_000_000,
        ) {
            let mut days = [false; 7];
            days[day] = true;
            let window = Window { days, begin: begin * 60, length: length * 60 };
            let wait = u64::from(window.opens_in(now));
            prop_assert_eq!(window.opens_in(now + wait), 0);
            if wait > 0 {
                prop_assert!(window.opens_in(now + wait - 1) > 0);
            }
        }
    }
}

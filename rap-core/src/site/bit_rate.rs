//! A rate as people write it: `"96 kbit/s"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Bits a second, from 8 kbit/s to 1000 Mbit/s. A kilobit is 1000 bits, as for whoever sells the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitRate(u64);

/// A text that is no [`BitRate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a whole number from 8 kbit/s to 1000 Mbit/s")]
pub struct InvalidRate;

impl BitRate {
    const LEAST: u64 = 8_000;
    const MOST: u64 = 1_000_000_000;

    /// Bits a second.
    #[must_use]
    pub fn bits_per_second(self) -> u64 {
        self.0
    }

    /// How long `bytes` take.
    #[must_use]
    pub fn time_for(self, bytes: usize) -> Duration {
        let bits = (bytes as u64).saturating_mul(8);
        // At 8 kbit/s or more a second's remainder fits in 64 bits by far.
        Duration::from_secs(bits / self.0) + Duration::from_nanos(bits % self.0 * 1_000_000_000 / self.0)
    }

    /// How many bytes go in `time`.
    #[must_use]
    pub fn bytes_in(self, time: Duration) -> usize {
        let bytes = u128::from(self.0) * time.as_millis() / 8000;
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

impl FromStr for BitRate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let (number, unit) = text.split_once(' ').ok_or(InvalidRate)?;
        let unit = match unit {
            "kbit/s" => 1_000,
            "Mbit/s" => 1_000_000,
            _ => return Err(InvalidRate),
        };
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = number.parse().ok().filter(|_| digits).ok_or(InvalidRate)?;
        let bits = number.checked_mul(unit).ok_or(InvalidRate)?;
        (Self::LEAST..=Self::MOST)
            .contains(&bits)
            .then_some(Self(bits))
            .ok_or(InvalidRate)
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1_000_000) {
            write!(f, "{} Mbit/s", self.0 / 1_000_000)
        } else {
            write!(f, "{} kbit/s", self.0 / 1_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["8 kbit/s", "96 kbit/s", "2 Mbit/s", "1000 Mbit/s"] {
            assert_eq!(text.parse::<BitRate>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_rate_or_a_senseless_one_is_refused() {
        for text in [
            "",
            "96",
            "kbit/s",
            " kbit/s",
            "96kbit/s",
            "96 kb/s",
            "96 KBIT/S",
            "-1 kbit/s",
            "+96 kbit/s",
            "1.5 Mbit/s",
            "7 kbit/s",
            "1001 Mbit/s",
            "96  kbit/s",
            "99999999999999999999 kbit/s",
            "18446744073709551 Mbit/s",
        ] {
            assert_eq!(text.parse::<BitRate>(), Err(InvalidRate), "{text:?}");
        }
    }

    #[test]
    fn bytes_and_time_agree() {
        let rate: BitRate = "96 kbit/s".parse().unwrap();
        assert_eq!(rate.time_for(12_000), Duration::from_secs(1));
        assert_eq!(rate.time_for(3), Duration::from_micros(250));
        assert_eq!(rate.bytes_in(Duration::from_millis(100)), 1200);
    }
}

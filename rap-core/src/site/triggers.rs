//! `[[trigger]]`: when an instrument's numbers become an alert of the box's own.
//!
//! Invariants: a [`Number`] is finite; a [`Pointer`] follows RFC 6901; hysteresis and rate go only with the comparisons
//! that have an order. What a rule does with reports is in `forward::trigger`.

use std::fmt;
use std::time::Duration;

use netfw::model::PortName;

mod decode;
#[cfg(test)]
mod tests;

pub(super) use decode::decode;

/// The most rules of one site: what they remember is bounded by it.
pub const MOST: usize = 64;
/// The longest `for`.
pub const LONGEST_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// The longest `per`.
pub const LONGEST_PER: Duration = Duration::from_secs(24 * 3600);

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// `name = "freezer-warm"`; the alert's `subject` ends with it.
    pub name: String,
    /// `ports = ["port1"]`; empty means all.
    pub ports: Vec<PortName>,
    /// `type = "instrument.status"`: the CloudEvents `type` of the reports it looks at.
    pub kind: String,
    /// `field = "/temperature"`: where in their `data` the value is.
    pub field: Pointer,
    /// `above`, `below`, `equals` or `differs`.
    pub comparison: Comparison,
    /// `hysteresis = 2.0`: how far back behind the threshold the value must go before the alert is over.
    pub hysteresis: Number,
    /// `for = "10m"`: how long the value must match before there is an alert; zero for at once.
    pub hold: Duration,
    /// `per = "1h"`: compare the value's change within this time instead of the value.
    pub per: Option<Duration>,
}

impl Trigger {
    /// Whether it looks at reports of this port.
    #[must_use]
    pub fn is_for(&self, port: &PortName) -> bool {
        self.ports.is_empty() || self.ports.contains(port)
    }
}

/// What a value is held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// Greater than.
    Above(Number),
    /// Less than.
    Below(Number),
    /// The same; a value of another type is neither the same nor another.
    Equals(Wanted),
    /// Another one of the same type.
    Differs(Wanted),
}

/// A value to be equal to or to differ from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// True or false.
    Truth(bool),
}

/// A finite number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number(f64);

impl Eq for Number {}

impl Number {
    /// Zero.
    pub const ZERO: Self = Self(0.0);

    /// `None` for infinities and for what is no number.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value))
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A JSON pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    text: String,
    tokens: Vec<String>,
}

impl Pointer {
    /// Its reference tokens, unescaped.
    #[must_use]
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }
}

impl std::str::FromStr for Pointer {
    type Err = ();

    /// RFC 6901 §3, §4: empty, or tokens each after a `/`, with `~0` for `~` and `~1` for `/`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('/');
        let stray = text.replace("~0", "").replace("~1", "").contains('~');
        if parts.next() != Some("") || stray || text.chars().any(char::is_control) || text.len() > 256 {
            return Err(());
        }
        let tokens = parts.map(|t| t.replace("~1", "/").replace("~0", "~")).collect();
        let text = text.to_owned();
        Ok(Self { text, tokens })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The condition in words, as alerts carry it: `above -60, hysteresis 2, for 600 s`.
impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(per) = self.per {
            write!(f, "change within {} s ", per.as_secs())?;
        }
        match &self.comparison {
            Comparison::Above(number) => write!(f, "above {number}")?,
            Comparison::Below(number) => write!(f, "below {number}")?,
            Comparison::Equals(wanted) => write!(f, "equal to {wanted}")?,
            Comparison::Differs(wanted) => write!(f, "different from {wanted}")?,
        }
        if self.hysteresis != Number::ZERO {
            write!(f, ", hysteresis {}", self.hysteresis)?;
        }
        if !self.hold.is_zero() {
            write!(f, ", for {} s", self.hold.as_secs())?;
        }
        Ok(())
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Truth(truth) => truth.fmt(f),
        }
    }
}

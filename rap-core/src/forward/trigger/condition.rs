//! One value against one comparison.

use super::super::event::json;
use crate::site::Trigger;
use crate::site::triggers::{Comparison, Number, Wanted};

/// A value of a report that can be compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Text(String),
    Truth(bool),
}

impl Value {
    /// Reads compact JSON; `None` for null, arrays and objects. Numbers are compared as 64-bit floats.
    pub(super) fn of(json: &str) -> Option<Self> {
        match json {
            "true" => Some(Self::Truth(true)),
            "false" => Some(Self::Truth(false)),
            _ => json::text(json).map(Self::Text).or_else(|| {
                let number = json.parse().ok().and_then(Number::new)?;
                Some(Self::Number(number.value()))
            }),
        }
    }
}

/// Whether `value` matches, or, once an alert is `raised`, has not yet gone back behind the hysteresis. `None` when it
/// is of another type than what it is compared with: that says nothing.
pub(super) fn matches(rule: &Trigger, value: &Value, raised: bool) -> Option<bool> {
    let slack = if raised { rule.hysteresis.value() } else { 0.0 };
    match (&rule.comparison, value) {
        (Comparison::Above(threshold), Value::Number(value)) => Some(*value > threshold.value() - slack),
        (Comparison::Below(threshold), Value::Number(value)) => Some(*value < threshold.value() + slack),
        (Comparison::Equals(wanted), value) => is(value, wanted),
        (Comparison::Differs(wanted), value) => is(value, wanted).map(|same| !same),
        _ => None,
    }
}

fn is(value: &Value, wanted: &Wanted) -> Option<bool> {
    match (value, wanted) {
        // A person wrote the very number: no tolerance is asked for.
        #[allow(clippy::float_cmp, reason = "equal means equal")]
        (Value::Number(value), Wanted::Number(wanted)) => Some(*value == wanted.value()),
        (Value::Text(value), Wanted::Text(wanted)) => Some(value == wanted),
        (Value::Truth(value), Wanted::Truth(wanted)) => Some(value == wanted),
        _ => None,
    }
}

//! How much a value changed within a time, from few samples.

use std::collections::VecDeque;
use std::time::Duration;

use super::condition::Value;

/// Samples are at least this part of the time apart: so there are at most two more of them, the one behind the time
/// and the newest.
pub(super) const SPACES: u32 = 16;

/// Samples of the last while, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Change {
    samples: VecDeque<(Duration, f64)>,
}

impl Change {
    /// Adds the value at `at` and returns by how much it changed within `per`: since the sample that old, or since the
    /// oldest there is; since an older one in proportion when reports are rarer than that. `None` for the first one
    /// and for what is no number.
    pub(super) fn within(&mut self, per: Duration, at: Duration, value: &Value) -> Option<Value> {
        let Value::Number(value) = *value else {
            return None;
        };
        let begin = at.saturating_sub(per);
        while self.samples.get(1).is_some_and(|(second, _)| *second <= begin) {
            self.samples.pop_front();
        }
        let base = self.samples.front().copied();
        let spaced = |(last, _): &(Duration, f64)| *last + per / SPACES <= at;
        if self.samples.back().is_none_or(spaced) {
            self.samples.push_back((at, value));
        }
        let (then, old) = base?;
        let age = at.saturating_sub(then).max(per);
        Some(Value::Number(
            (value - old) * (per.as_secs_f64() / age.as_secs_f64()),
        ))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }
}

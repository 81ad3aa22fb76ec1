//! Each thing said once in the log, however often it is found.

use std::time::{Duration, Instant};

/// The same trouble is said again after this long.
const REMIND: Duration = Duration::from_secs(3600);

/// Remembers what was said last, so that a lasting trouble is one line and not one an attempt.
#[derive(Debug, Default)]
pub(super) struct Voice {
    said: Option<(String, Instant)>,
    warned: Vec<String>,
}

impl Voice {
    /// Says that delivery fails because of `text`, when that is news.
    pub(super) fn trouble(&mut self, text: &str) {
        let old = self
            .said
            .as_ref()
            .is_some_and(|(said, at)| said == text && at.elapsed() < REMIND);
        if !old {
            log::warn!("not delivering: {text}; reports are kept and sent when it works again");
            self.said = Some((text.to_owned(), Instant::now()));
        }
    }

    /// Says that delivery works, when it did not before.
    pub(super) fn fine(&mut self) {
        if self.said.take().is_some() {
            log::info!("delivering to the service centre again");
        }
    }

    /// Says the warnings that were not there the last time.
    pub(super) fn warnings(&mut self, now: &[String]) {
        for warning in now.iter().filter(|warning| !self.warned.contains(warning)) {
            log::warn!("{warning}");
        }
        self.warned = now.to_vec();
    }
}

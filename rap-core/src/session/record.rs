//! What is written down of sessions and directives.
//!
//! One small trait, so that the box's audit trail can stand behind it without this service knowing how.

/// Where records go.
pub(super) trait Record {
    /// Writes one down: a short name of what happened, and the facts.
    fn record(&mut self, what: &str, facts: &[(&str, &str)]);
}

/// Into the log, a line each.
#[derive(Debug, Default)]
pub(super) struct Log;

impl Record for Log {
    fn record(&mut self, what: &str, facts: &[(&str, &str)]) {
        use std::fmt::Write as _;
        let line = facts.iter().fold(String::new(), |mut line, (name, value)| {
            // Writing to a String cannot fail.
            let _ = write!(line, " {name}={value:?}");
            line
        });
        log::info!("audit {what}{line}");
    }
}

//! Log lines: `rap SERVICE: text` on standard error, which is the console on the box and a terminal on a desk.
//!
//! Invariant: one line a record, control characters replaced, so that nothing hostile can forge a line.

use std::io::Write;
use std::process::ExitCode;

struct Console {
    service: &'static str,
}

/// Makes the `log` macros write to standard error under the name of `service`. Called once, first thing in `main`.
///
/// Debug records are shown when `RAP_DEBUG` is set.
pub fn start(service: &'static str) {
    let level = if std::env::var_os("RAP_DEBUG").is_some() {
        log::LevelFilter::Debug
    } else {
        log::LevelFilter::Info
    };
    // A second call keeps the first logger: that is right, and no reason to stop.
    if log::set_boxed_logger(Box::new(Console { service })).is_ok() {
        log::set_max_level(level);
    }
}

/// Runs the service `name` to its end; its error, with every cause, is one line of the log.
pub fn service(name: &'static str, run: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    start(name);
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

impl log::Log for Console {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Info
            || metadata.target().starts_with("rap")
            || metadata.target().starts_with("netfw")
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mark = match record.level() {
            log::Level::Error => "error: ",
            log::Level::Warn => "warning: ",
            _ => "",
        };
        let text = record.args().to_string().replace(|c: char| c.is_control(), " ");
        // One write a line; a console that cannot be written to must not stop a service.
        let _ = std::io::stderr().write_all(format!("rap {}: {mark}{text}\n", self.service).as_bytes());
    }

    fn flush(&self) {}
}

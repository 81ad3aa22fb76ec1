//! What the machine says on its serial port, line by line, with the time since power-on.
//!
//! Invariants: lines are kept for the machine's whole life, over power cuts; escape sequences and other control
//! characters are removed; each wait looks at the lines since the last power-on or reset and has a deadline.

use std::fmt;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::cpu_time;
use crate::{Error, Result};

/// How many lines a failure shows.
const TAIL: usize = 40;
/// A line longer than this is broken: firmware draws screens without ever ending a line.
const LONGEST: usize = 2000;

/// One line of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which power-on or reset it belongs to, counted from 1.
    pub boot: u32,
    /// When it ended, since that power-on or reset.
    pub at: Duration,
    /// The processor time QEMU had used by then, since power-on.
    pub cpu: Duration,
    /// The text, without control characters.
    pub text: String,
}

/// A place between two lines: waits can begin there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(usize);

/// What is called with each line as it comes. It must not wait for anything.
pub type Listener = Box<dyn FnMut(&Line) + Send>;

/// The console of one machine. Clones show the same console.
#[derive(Debug, Clone, Default)]
pub struct Console {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    lines: Vec<Line>,
    listeners: Vec<Listener>,
    boot: u32,
    /// Index of the first line of the present boot.
    begin: usize,
    since: Instant,
    process: Option<u32>,
    /// Streams still open; at 0 nothing more can come.
    sources: usize,
}

impl Console {
    /// Calls `listener` with every line from now on.
    pub fn listen(&self, listener: Listener) {
        self.state().listeners.push(listener);
    }

    /// Waits until a line of the present boot contains `text`; returns the first such line.
    ///
    /// # Errors
    /// [`Error::Waited`] after `deadline`, [`Error::Ended`] as soon as QEMU is gone; both show the last lines.
    pub fn wait_for(&self, text: &str, deadline: Duration) -> Result<Line> {
        let begin = Mark(self.state().begin);
        self.wait_for_since(begin, text, deadline)
    }

    /// As [`Self::wait_for`], but looks only at lines after `mark`: for what happens without our doing, such as a
    /// watchdog's reset.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub fn wait_for_since(&self, mark: Mark, text: &str, deadline: Duration) -> Result<Line> {
        let end = Instant::now() + deadline;
        let mut state = self.state();
        let mut from = mark.0;
        loop {
            if let Some(line) = state.lines[from..].iter().find(|line| line.text.contains(text)) {
                return Ok(line.clone());
            }
            from = state.lines.len();
            let what = || format!("`{text}`");
            if state.sources == 0 {
                return Err(Error::Ended {
                    what: what(),
                    tail: state.tail(TAIL),
                });
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Waited {
                    what: what(),
                    waited: deadline,
                    tail: state.tail(TAIL),
                });
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The first line of the present boot that contains `text`, if it has come.
    #[must_use]
    pub fn first(&self, text: &str) -> Option<Line> {
        let state = self.state();
        state.lines[state.begin..]
            .iter()
            .find(|line| line.text.contains(text))
            .cloned()
    }

    /// The end of the console as it is now.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.state().lines.len())
    }

    /// Everything so far, over all boots.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.state().lines.clone()
    }

    /// The last `count` lines, each with its time, for a failure's message.
    #[must_use]
    pub fn tail(&self, count: usize) -> String {
        self.state().tail(count)
    }

    /// An error for a wait of the caller's own that was in vain: `what` was waited for `waited` long.
    #[must_use]
    pub fn in_vain(&self, what: impl Into<String>, waited: Duration) -> Error {
        Error::Waited {
            what: what.into(),
            waited,
            tail: self.tail(TAIL),
        }
    }

    /// Begins a new boot of the QEMU process `process`: times count from now.
    pub(crate) fn begin_boot(&self, process: u32) {
        let mut state = self.state();
        state.boot += 1;
        state.begin = state.lines.len();
        state.since = Instant::now();
        state.process = Some(process);
    }

    /// Reads `stream` to its end on a thread of its own; each line gets `prefix`.
    pub(crate) fn attach(&self, mut stream: impl Read + Send + 'static, prefix: &'static str) {
        self.state().sources += 1;
        let console = self.clone();
        thread::spawn(move || {
            let mut splitter = Splitter::default();
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                for text in splitter.feed(&buffer[..count]) {
                    console.add(format!("{prefix}{text}"));
                }
            }
            if let Some(text) = splitter.rest() {
                console.add(format!("{prefix}{text}"));
            }
            console.state().sources -= 1;
            console.shared.changed.notify_all();
        });
    }

    fn add(&self, text: String) {
        let mut state = self.state();
        let line = Line {
            boot: state.boot,
            at: state.since.elapsed(),
            cpu: state.process.and_then(cpu_time).unwrap_or_default(),
            text,
        };
        for listener in &mut state.listeners {
            listener(&line);
        }
        state.lines.push(line);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// A panic in a listener must not hide the console from the others.
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tail(&self, count: usize) -> String {
        let from = self.lines.len().saturating_sub(count);
        let show = |line: &Line| format!("  {:7.2} {}\n", line.at.as_secs_f64(), line.text);
        let text: String = self.lines[from..].iter().map(show).collect();
        if text.is_empty() {
            "  (nothing at all)".to_owned()
        } else {
            text
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            listeners: Vec::new(),
            boot: 0,
            begin: 0,
            since: Instant::now(),
            process: None,
            sources: 0,
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

/// Bytes in, lines out. Escape sequences (ECMA-48 §5.4: `ESC [`, parameters, one final byte) are dropped.
#[derive(Default)]
struct Splitter {
    line: Vec<u8>,
    escape: Escape,
}

#[derive(Default, Clone, Copy)]
enum Escape {
    #[default]
    None,
    Begun,
    Sequence,
}

impl Splitter {
    fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            self.escape = match (self.escape, byte) {
                (_, 0x1b) => Escape::Begun,
                (Escape::Begun, b'[') => Escape::Sequence,
                (Escape::Sequence, 0x20..=0x3f) => Escape::Sequence,
                (Escape::Begun | Escape::Sequence, _) => Escape::None,
                (Escape::None, b'\n') => {
                    lines.extend(self.rest());
                    Escape::None
                }
                (Escape::None, _) => {
                    if byte >= b' ' || byte == b'\t' {
                        self.line.push(byte);
                    }
                    Escape::None
                }
            };
            if self.line.len() >= LONGEST {
                lines.extend(self.rest());
            }
        }
        lines
    }

    /// What has come of a line that has not ended; empty lines are no lines.
    fn rest(&mut self) -> Option<String> {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.line))
            .trim_end()
            .to_owned();
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests;

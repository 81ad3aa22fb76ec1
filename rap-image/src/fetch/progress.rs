//! What a person sees while files are fetched: a bar with rate and time left on a terminal, else a line now and then.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    bar: ProgressBar,
    files: usize,
    finished: AtomicUsize,
    /// When the next line is due; `None` on a terminal.
    next_line: Option<Mutex<Instant>>,
}

impl Progress {
    /// Of `files` files and `bytes` bytes together.
    pub(super) fn new(files: usize, bytes: u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal {
            ProgressBar::new(bytes)
        } else {
            ProgressBar::hidden()
        };
        bar.set_length(bytes);
        let style = "fetching {msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} left";
        // The template is a constant and right; were it not, indicatif's own style would do.
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let next_line = (!terminal).then(|| Mutex::new(Instant::now() + LINE_EVERY));
        let progress = Self {
            bar,
            files,
            finished: AtomicUsize::new(0),
            next_line,
        };
        progress.message();
        progress
    }

    pub(super) fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
        let Some(next_line) = &self.next_line else { return };
        let mut next_line = super::lock(next_line);
        if Instant::now() >= *next_line {
            *next_line = Instant::now() + LINE_EVERY;
            eprintln!(
                "fetched {} of {} files, {} of {}, {}/s, {} left",
                self.finished.load(Ordering::Relaxed),
                self.files,
                HumanBytes(self.bar.position()),
                HumanBytes(self.bar.length().unwrap_or_default()),
                HumanBytes(self.rate()),
                HumanDuration(self.bar.eta()),
            );
        }
    }

    pub(super) fn finished_one(&self) {
        self.finished.fetch_add(1, Ordering::Relaxed);
        self.message();
    }

    /// Takes the bar away and says what was fetched, when that was more than a moment's work.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
        if self.files > 1 {
            let (files, bytes) = (
                self.finished.load(Ordering::Relaxed),
                HumanBytes(self.bar.position()),
            );
            eprintln!(
                "fetched {files} of {} files, {bytes} in {:.1?}",
                self.files,
                self.bar.elapsed()
            );
        }
    }

    fn message(&self) {
        self.bar.set_message(format!(
            "{}/{}",
            self.finished.load(Ordering::Relaxed),
            self.files
        ));
    }

    /// Bytes a second since the beginning.
    fn rate(&self) -> u64 {
        self.bar.position() / self.bar.elapsed().as_secs().max(1)
    }
}

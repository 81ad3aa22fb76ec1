//! Who is in front of the computer: the screen with its keyboard, and the first serial line. What is said is said on both,
//! and whoever answers first is heard.
//!
//! Invariant: a line that does not take what is written to it is given up after a while and stops nobody.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, speed, tcgetattr, tcsetattr};

/// The screen's first console, and the first serial line at 115200 bit/s.
const TERMINALS: [&str; 2] = ["/dev/tty1", "/dev/ttyS0"];
/// Longest answer; what is beyond is dropped.
const LONGEST: usize = 64;
/// How long a terminal may take nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often who waits for a line lives up to other duties.
const BREATH: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// The terminals that work.
#[derive(Debug)]
pub(super) struct Screen(Vec<Terminal>);

#[derive(Debug)]
struct Terminal {
    file: File,
    line: Vec<u8>,
}

impl Screen {
    /// Opens what there is.
    pub(super) fn open() -> Self {
        let open = |path: &&str| match Terminal::open(Path::new(path)) {
            Ok(terminal) => Some(terminal),
            Err(error) => {
                log::warn!("{path} is not used: {error}");
                None
            }
        };
        Self(TERMINALS.iter().filter_map(open).collect())
    }

    /// Says it everywhere.
    pub(super) fn say(&mut self, words: &str) {
        self.0
            .retain_mut(|terminal| terminal.say(words.as_bytes()).is_ok());
    }

    /// The next line that somebody types; `feed` is called about once a second meanwhile.
    pub(super) fn line(&mut self, feed: &dyn Fn()) -> String {
        loop {
            feed();
            let mut fds: Vec<PollFd<'_>> = self
                .0
                .iter()
                .map(|terminal| PollFd::new(&terminal.file, PollFlags::IN))
                .collect();
            if fds.is_empty() || poll(&mut fds, Some(&BREATH)).is_err() {
                // Nobody can answer: this is the wait for the power to go.
                std::thread::sleep(Duration::from_secs(1));
                continue;
            }
            let mut heard = None;
            self.0.retain_mut(|terminal| match terminal.hear() {
                Ok(line) => {
                    heard = heard.take().or(line);
                    true
                }
                Err(_) => false,
            });
            if let Some(line) = heard {
                return line;
            }
        }
    }
}

impl Terminal {
    /// The terminal's own line discipline collects, echoes and corrects what is typed (termios(3), canonical mode).
    fn open(path: &Path) -> std::io::Result<Self> {
        let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or(0);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).custom_flags(flags).open(path)?;
        // A line without hardware behind it says so here.
        let mut settings = tcgetattr(&file)?;
        settings.set_speed(speed::B115200)?;
        tcsetattr(&file, OptionalActions::Now, &settings)?;
        Ok(Self {
            file,
            line: Vec::new(),
        })
    }

    fn say(&mut self, mut words: &[u8]) -> std::io::Result<()> {
        let began = Instant::now();
        while !words.is_empty() {
            match self.file.write(words) {
                Ok(count) => words = &words[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock && began.elapsed() < PATIENCE => {
                    let mut fds = [PollFd::new(&self.file, PollFlags::OUT)];
                    poll(&mut fds, Some(&BREATH))?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A line, when one is complete.
    fn hear(&mut self) -> std::io::Result<Option<String>> {
        let mut bytes = [0; 256];
        let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default()))?;
        if fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let count = match self.file.read(&mut bytes) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(error) => return Err(error),
        };
        Ok(collect(&mut self.line, &bytes[..count]))
    }
}

/// Adds what came to a line; returns the first that is complete, and forgets what came behind it: that was typed before
/// the next question.
fn collect(line: &mut Vec<u8>, bytes: &[u8]) -> Option<String> {
    for &byte in bytes {
        if byte == b'\n' || byte == b'\r' {
            let whole = std::mem::take(line);
            return Some(String::from_utf8_lossy(&whole).into_owned());
        }
        if line.len() < LONGEST {
            line.push(byte);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_collected_bounded_and_nothing_is_typed_ahead() {
        let mut line = Vec::new();
        assert_eq!(collect(&mut line, b"vd"), None);
        assert_eq!(collect(&mut line, b"a\nvda\n").as_deref(), Some("vda"));
        assert!(line.is_empty());
        assert_eq!(collect(&mut line, &[b'x'; 1000]), None);
        assert_eq!(collect(&mut line, b"\r").map(|line| line.len()), Some(LONGEST));
        assert_eq!(collect(&mut line, &[0xff, b'\n']).as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn what_is_no_terminal_is_not_used() {
        assert!(Terminal::open(Path::new("/dev/null")).is_err());
        assert!(Terminal::open(Path::new("/nonexistent")).is_err());
    }
}

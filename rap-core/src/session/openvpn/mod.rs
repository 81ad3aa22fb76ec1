//! OpenVPN, started for one session and driven by its management interface.
//!
//! Invariants
//! - It runs with this service's rights, which are none: the tunnel's link was made for this user, and netd gives it its
//!   address. It starts no script and takes no routes, names or commands from the server, only its own address.
//! - It holds until it is released and ends when its management connection does, so it outlives neither this service nor
//!   a `Tunnel`. It never connects again by itself: a tunnel that broke is the end of its session.
//! - It reaches nothing but the site's tunnel server, through the box's relay.
//! - In a build with the feature `fips` it has OpenSSL's FIPS provider or does not start.

mod arguments;
pub mod line;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use self::line::Line;
use super::News;
use super::course::Event;
use crate::directive::OpenSession;
use crate::paths;
use crate::site::{BitRate, Target};

/// How long OpenVPN may take to come to the management socket.
const COMES: Duration = Duration::from_secs(10);
/// How long it may take to end when it is asked to.
const ENDS: Duration = Duration::from_millis(300);
/// Bytes of a line of it, at most.
const LINE: u64 = 4096;

/// How tunnels are made.
#[derive(Debug, Clone)]
pub(super) struct Config {
    /// The program.
    pub(super) program: PathBuf,
    /// The folder of the management socket.
    pub(super) folder: PathBuf,
    /// The folder of keys and certificates.
    pub(super) identity: PathBuf,
    /// The server.
    pub(super) server: Target,
    /// The box's relay.
    pub(super) relay: SocketAddr,
    /// No more is sent than this.
    pub(super) rate_limit: Option<BitRate>,
    /// Use OpenSSL's FIPS provider alone, and none at all when it does not pass its own test.
    pub(super) fips: bool,
}

/// A running OpenVPN; dropping it ends it.
#[derive(Debug)]
pub(super) struct Tunnel {
    child: Child,
    control: UnixStream,
}

impl Tunnel {
    /// Starts it for a session of `time`, and waits until it is there and holds. What it says from then on is news.
    ///
    /// # Errors
    /// When it cannot be started, or does not come.
    pub(super) fn start(
        config: &Config,
        ticket: &OpenSession,
        time: Duration,
        news: SyncSender<News>,
    ) -> anyhow::Result<Self> {
        let path = config.folder.join("openvpn.sock");
        let _ = std::fs::remove_file(&path);
        let listener =
            UnixListener::bind(&path).with_context(|| format!("cannot listen at {}", path.display()))?;
        listener.set_nonblocking(true)?;
        let mut command = Command::new(&config.program);
        command.args(arguments::of(config, &path, time)).env_clear();
        if config.fips {
            command.env("OPENSSL_CONF", paths::OPENSSL);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", config.program.display()))?;
        let said = last_said(child.stdout.take());
        let come = come(&listener, &mut child, said);
        let _ = std::fs::remove_file(&path);
        let control = match come {
            Ok(control) => control,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let tunnel = Self { child, control };
        tunnel.listen(ticket.session.to_string(), news)?;
        Ok(tunnel)
    }

    /// Hears what it says, on a thread that ends with it.
    fn listen(&self, session: String, news: SyncSender<News>) -> anyhow::Result<()> {
        let (control, mut speak) = (self.control.try_clone()?, self.control.try_clone()?);
        let hear = move || {
            let mut lines = BufReader::new(control);
            let mut complaint = String::new();
            loop {
                let mut line = Vec::new();
                let read = (&mut lines).take(LINE).read_until(b'\n', &mut line);
                let said = String::from_utf8_lossy(&line);
                let event = match (read, line::parse(said.trim_end())) {
                    (Ok(0) | Err(_), _) => Event::Lost(format!("OpenVPN ended{complaint}")),
                    (_, Line::Hold) => {
                        // One that has gone says so by the end of what it says.
                        let _ = speak.write_all(b"state on\nlog on\nhold release\n");
                        continue;
                    }
                    (_, Line::Connected(address)) => Event::Connected(address),
                    (_, Line::Complaint(text)) => {
                        complaint = format!(": {text}");
                        continue;
                    }
                    (_, Line::Ending(why)) if complaint.ends_with(&why) => Event::Lost(why),
                    (_, Line::Ending(why)) => Event::Lost(format!("{why}{complaint}")),
                    (_, Line::WantsPassword) => {
                        Event::Lost("OpenVPN wants a password for its key".to_owned())
                    }
                    (_, Line::Other) => continue,
                };
                let last = matches!(event, Event::Lost(_));
                if news.send(News::Tunnel(session.clone(), event)).is_err() || last {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("openvpn".to_owned());
        thread.spawn(hear).context("cannot start a thread")?;
        Ok(())
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        // Its end is what is wanted, however it comes about.
        let _ = self.control.write_all(b"signal SIGTERM\n");
        let begun = Instant::now();
        while begun.elapsed() < ENDS {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.control.shutdown(std::net::Shutdown::Both);
    }
}

/// Waits until OpenVPN connects to its management socket.
fn come(
    listener: &UnixListener,
    child: &mut Child,
    said: Option<JoinHandle<String>>,
) -> anyhow::Result<UnixStream> {
    let begun = Instant::now();
    loop {
        if let Ok((control, _)) = listener.accept() {
            control.set_nonblocking(false)?;
            control.set_write_timeout(Some(Duration::from_secs(1)))?;
            return Ok(control);
        }
        if let Some(status) = child.try_wait()? {
            let said = said.and_then(|said| said.join().ok()).unwrap_or_default();
            anyhow::bail!("OpenVPN refuses its options or keys ({status}): {said}");
        }
        anyhow::ensure!(
            begun.elapsed() < COMES,
            "OpenVPN does not come to its management socket"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads what it writes until it ends, so that it never waits for a reader; keeps the last lines that say something.
fn last_said(output: Option<ChildStdout>) -> Option<JoinHandle<String>> {
    let mut lines = BufReader::new(output?);
    let read = move || {
        let mut last = String::new();
        loop {
            let mut line = Vec::new();
            let read = (&mut lines).take(LINE).read_until(b'\n', &mut line);
            if matches!(read, Ok(0) | Err(_)) {
                return last;
            }
            let line = String::from_utf8_lossy(&line);
            let words: String = line.chars().filter(|c| !c.is_control()).take(160).collect();
            // Its last words are where to read more, and that there is something to correct.
            let empty = ["Use --help", "Exiting due to", "Please correct these errors"];
            if !words.is_empty() && !empty.iter().any(|empty| words.contains(empty)) {
                last = words;
            }
        }
    };
    let thread = std::thread::Builder::new().name("openvpn-log".to_owned());
    thread.spawn(read).ok()
}

/// Packets that passed through the tunnel's link so far, in either direction; none without one.
pub(super) fn packets() -> Option<u64> {
    let table = std::fs::read_to_string(Path::new("/proc/thread-self/net/dev")).ok()?;
    packets_in(&table)
}

/// Of the table that proc(5) shows: `name: bytes packets … (8 fields) bytes packets …`.
fn packets_in(table: &str) -> Option<u64> {
    let line = table
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("tunnel:"))?;
    let numbers: Vec<u64> = line
        .split_whitespace()
        .map_while(|number| number.parse().ok())
        .collect();
    Some(numbers.get(1)?.saturating_add(*numbers.get(9)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_counted_in_both_directions() {
        let table = "Inter-|   Receive  | Transmit\n face |bytes packets\n    lo: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n\
                     tunnel:  100 7 0 0 0 0 0 0 200 5 0 0 0 0 0 0\n";
        assert_eq!(packets_in(table), Some(12));
        assert_eq!(packets_in("tunnel: 1 2"), None);
        assert_eq!(packets_in(""), None);
    }
}

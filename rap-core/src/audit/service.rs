//! `rap audit`: the one who writes the trail.
//!
//! One packet of JSON an event, one event a connection, answered `kept NUMBER` once it is on the disk. One after another:
//! whoever tells has little to tell, and one who keeps a connection without a word has a tenth of a second.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use super::client::PACKET;
use super::disk::Directory;
use super::event::{Event, Kind};
use super::excerpt::{Excerpt, Shown};
use super::kernel::Refusals;
use super::peer::{Allowance, Peers};
use super::record::{Link, Origin, Record};
use super::records;
use super::store::{Room, Store};
use crate::notify::Notifier;
use crate::{moment, paths, status};

/// How long a teller may take.
const PATIENCE: Duration = Duration::from_millis(100);
const BEAT: Duration = Duration::from_secs(2);
/// How long between two attempts to open a trail whose disk failed.
const PAUSE: Duration = Duration::from_secs(10);

/// Where the writer finds things; tests have their own places.
#[derive(Debug, Clone)]
pub struct Place {
    /// Folder of the trail.
    pub trail: PathBuf,
    /// Where events are handed over.
    pub socket: PathBuf,
    /// Where records are asked for.
    pub records: PathBuf,
    /// Directory of the status files.
    pub status: PathBuf,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            trail: paths::AUDIT.into(),
            socket: paths::AUDIT_SOCKET.into(),
            records: paths::AUDIT_RECORDS.into(),
            status: paths::STATUS.into(),
        }
    }
}

/// What the writer says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Records since the box was first started.
    pub records: u64,
    /// The newest ones about instruments' ports, oldest first.
    #[serde(default)]
    pub instruments: Vec<Shown>,
    /// What keeps it from its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// Runs the service; returns only on an error.
///
/// # Errors
/// When it cannot listen.
pub fn run(place: &Place) -> anyhow::Result<()> {
    let notifier = Notifier::from_environment();
    let listener =
        listen(&place.socket).with_context(|| format!("cannot listen at {}", place.socket.display()))?;
    let mut writer = Writer {
        place,
        peers: Peers::of_this_box(),
        allowances: BTreeMap::new(),
        store: None,
        opened: None,
        trouble: None,
        last: Arc::default(),
        excerpt: Excerpt::default(),
    };
    writer.open();
    // Without this the trail is kept all the same, and carried nowhere.
    records::answer_at(&place.records, &place.trail, Arc::clone(&writer.last))
        .unwrap_or_else(|error| log::error!("nobody can carry the trail away: {error:#}"));
    let refusals = Refusals::open()
        .inspect_err(|error| log::warn!("what the kernel refuses is not in the trail: {error}"))
        .ok();
    notifier.ready();
    let mut beat = Instant::now();
    loop {
        if beat <= Instant::now() {
            beat = Instant::now() + BEAT;
            notifier.alive();
            writer.open();
            writer.report(&notifier);
        }
        let wait = rustix::event::Timespec::try_from(beat.saturating_duration_since(Instant::now())).ok();
        let mut both = vec![PollFd::new(&listener, PollFlags::IN)];
        both.extend(
            refusals
                .iter()
                .map(|refusals| PollFd::new(&refusals.0, PollFlags::IN)),
        );
        // Interrupted or not, both are looked at.
        let _ = poll(&mut both, wait.as_ref());
        while let Some(heard) = refusals.as_ref().and_then(Refusals::next) {
            if let Some(refusal) = heard.filter(|refusal| writer.peers.knows(refusal.user)) {
                let event = Event::new(
                    Kind::CallRefused,
                    "a system call that is not in the service's list",
                )
                .with("call", refusal.call)
                .with("pid", refusal.pid)
                .with("program", &refusal.program);
                let answer = writer.take(refusal.user, event);
                log::debug!("call {} of {}: {answer}", refusal.call, refusal.program);
            }
        }
        if let Ok(connection) = rustix::net::accept_with(&listener, SocketFlags::CLOEXEC)
            && let Err(error) = writer.serve(&connection)
        {
            log::warn!("an event was not taken: {error}");
        }
    }
}

/// Everybody on the box may tell something: who it is the kernel says.
fn listen(path: &Path) -> io::Result<OwnedFd> {
    // One that an earlier process left.
    let _ = std::fs::remove_file(path);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    rustix::net::listen(&socket, 64)?;
    Ok(socket)
}

struct Writer<'a> {
    place: &'a Place,
    peers: Peers,
    allowances: BTreeMap<u32, Allowance>,
    store: Option<Store<Directory>>,
    /// When it was last tried to open the trail.
    opened: Option<Instant>,
    trouble: Option<String>,
    /// The number of the last record on the medium.
    last: Arc<AtomicU64>,
    excerpt: Excerpt,
}

impl Writer<'_> {
    /// Opens the trail where it is not open.
    fn open(&mut self) {
        let recently = self.opened.is_some_and(|at| at.elapsed() < PAUSE);
        if self.store.is_some() || recently {
            return;
        }
        self.opened = Some(Instant::now());
        let folder = Directory(self.place.trail.clone());
        match Store::open(folder, Room::default(), origin("audit")) {
            Ok(store) => {
                self.last.store(store.last(), Ordering::Release);
                self.store = Some(store);
                self.trouble = None;
                let folder = Directory(self.place.trail.clone());
                // Without it the page has less to show.
                self.excerpt = Excerpt::of(&folder, Room::default()).unwrap_or_default();
            }
            Err(error) => {
                let trouble = format!("nothing is written to {}: {error}", self.place.trail.display());
                log::error!("{trouble}");
                self.trouble = Some(trouble);
            }
        }
    }

    fn report(&self, notifier: &Notifier) {
        let status = Status {
            records: self.store.as_ref().map_or(0, Store::last),
            instruments: self.excerpt.shown(),
            trouble: self.trouble.clone(),
        };
        notifier.status(&match &status.trouble {
            Some(trouble) => trouble.clone(),
            None => format!("{} records", status.records),
        });
        if let Err(error) = status::write(&self.place.status, "audit", &status) {
            log::warn!("the status cannot be written: {error}");
        }
    }

    /// Takes one event.
    fn serve(&mut self, connection: &OwnedFd) -> io::Result<()> {
        for way in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(connection, way, Some(PATIENCE))?;
        }
        let user = socket_peercred(connection)?.uid.as_raw();
        let mut packet = [0_u8; PACKET];
        let (length, _) = rustix::net::recv(connection, &mut packet, RecvFlags::empty())?;
        let answer = match serde_json::from_slice::<Event>(packet.get(..length).unwrap_or_default()) {
            Ok(event) if event.kind.is_the_writers() => "refused: only the writer says so".to_owned(),
            Ok(event) => self.take(user, event),
            Err(_) => "refused: this is no event".to_owned(),
        };
        // Who does not wait for it, as init, is told anyway.
        let _ = rustix::net::send(connection.as_fd(), answer.as_bytes(), SendFlags::NOSIGNAL);
        Ok(())
    }

    fn take(&mut self, user: u32, event: Event) -> String {
        let now = moment::since_boot();
        let allowance = self.allowances.entry(user).or_insert_with(|| Allowance::new(now));
        if user != 0 && !allowance.take(now) {
            return "refused: too many; it is counted".to_owned();
        }
        let lost = event.lost.saturating_add(std::mem::take(&mut allowance.refused));
        let origin = origin(&self.peers.service(user));
        let Some(store) = &mut self.store else {
            return "refused: the disk does not take it".to_owned();
        };
        let mut written = Ok(0);
        if lost > 0 {
            let gap =
                Event::new(Kind::EventsLost, "events could not be told or were too many").with("count", lost);
            written = store.append(origin.clone(), gap);
        }
        let told = (origin.clone(), event.clone());
        match written.and_then(|_| store.append(origin, event)) {
            Ok(number) => {
                let link = Link {
                    number,
                    ..Link::first()
                };
                self.excerpt.note(&Record::new(link, told.0, told.1));
                // A file that was begun may have brought a record of its own.
                let last = store.last();
                self.last.store(last, Ordering::Release);
                format!("kept {last}")
            }
            Err(error) => {
                self.trouble = Some(format!("the trail's disk failed: {error}"));
                self.store = None;
                "refused: the disk does not take it".to_owned()
            }
        }
    }
}

/// Who tells it, and when, where the box is.
fn origin(service: &str) -> Origin {
    Origin {
        wall: jiff::Timestamp::now().strftime("%FT%TZ").to_string(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        service: service.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::{Outbox, tell_at};
    use super::super::verify;
    use super::*;

    #[test]
    fn what_is_told_is_kept_with_who_told_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place {
            trail: folder.path().join("trail"),
            socket: folder.path().join("socket"),
            records: folder.path().join("records"),
            status: folder.path().join("status"),
        };
        std::fs::create_dir(&place.trail).unwrap();
        // Nobody is there yet: it waits, or is counted.
        let mut outbox = Outbox::default();
        outbox.put(Event::new(Kind::Boot, "the box came up"));
        outbox.flush(&place.socket);
        let socket = place.socket.clone();
        let trail = place.trail.clone();
        std::thread::spawn(move || run(&place));
        let begun = Instant::now();
        while !socket.exists() {
            assert!(begun.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(10));
        }
        outbox.flush(&socket);
        tell_at(
            &socket,
            Event::new(Kind::SiteTried, "a site is on trial").with("file", "site.toml"),
        );
        // Only the writer says what the writer did.
        tell_at(&socket, Event::new(Kind::TailCut, "nothing to see here"));
        tell_at(&socket, Event::new(Kind::SiteKept, "kept"));
        let mut kinds = Vec::new();
        let verdict = verify::read(&trail, |record| {
            kinds.push((record.kind.clone(), record.origin.service.clone()));
        })
        .unwrap();
        assert_eq!(verdict.breaks, [""; 0]);
        let own = Peers::of_this_box().service(rustix::process::geteuid().as_raw());
        let kinds: Vec<_> = kinds
            .iter()
            .map(|(kind, service)| (kind.as_str(), service.as_str()))
            .collect();
        let own = own.as_str();
        assert_eq!(
            kinds,
            [
                ("BOOT", own),
                ("SITE-TRIED", own),
                ("EVENTS-LOST", own),
                ("SITE-KEPT", own)
            ]
        );
    }
}

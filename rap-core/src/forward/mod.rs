//! The forwarder: takes reports at the instruments' ports, keeps them through anything, delivers them to the service
//! centre.
//!
//! Contract: a report is acknowledged only after `fdatasync`; acknowledged means that it reaches the service centre,
//! once after its de-duplication by (`source`, `id`), and in order per source within its lane.
//!
//! [`ingest`] (many connections, asynchronous) → [`writer`] (one thread, group commit) → [`log`] → [`uplink`] (one
//! thread, one batch in flight). Data files take the same way up through [`files`], behind every report. [`run`] is the
//! service; [`Forwarder`] is the same in a test's process.

mod clock;
pub mod courier;
pub mod event;
pub mod files;
pub mod inbox;
pub mod ingest;
mod lane;
pub mod log;
mod service;
mod signal;
pub mod status;
mod trend;
mod trigger;
pub mod uplink;
pub mod writer;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use ::log as logging;
use tokio_rustls::TlsAcceptor;

pub use self::ingest::Listener;
pub use self::lane::Lane;
use self::log::{Disk, Log, NewRecord, OpenError, Storage};
pub use self::service::{Place, run, run_over};
use self::signal::Signal;
pub use self::status::Exchange;
use self::status::Status;
use self::uplink::client::Way;
use self::uplink::{Parts, Patience, Progress, Uplink};
use self::writer::Writer;
use crate::client::meter::Meter;
use crate::client::retry_after;
use crate::door;
use crate::folder::Directory;
use crate::identity::Identity;
use crate::site::{BitRate, Ingest};

/// Where files are, below the log's directory.
const FILES: &str = "files";
/// Where what the service centre sends to instruments is, below it.
const INBOX: &str = "inbox";

/// Everything a forwarder needs.
#[derive(Debug)]
pub struct Config {
    /// The log's directory.
    pub directory: PathBuf,
    /// The service centre, `https://HOST:PORT`.
    pub centre: String,
    /// The relay every connection to it goes through; `None` connects straight, in tests of one process.
    pub relay: Option<SocketAddr>,
    /// The ports' listening sockets.
    pub listeners: Vec<Listener>,
    /// A report of the box's own, queued at start.
    pub hello: Option<NewRecord>,
    /// The log's size.
    pub log: log::Config,
    /// The room for data files, which are kept in a directory below the log's. Shared out among the listeners' ports.
    pub files: files::Config,
    /// Limits on clients.
    pub limits: ingest::Limits,
    /// Timeouts and pauses towards the service centre.
    pub patience: Patience,
    /// No more than this is sent to the service centre.
    pub rate_limit: Option<BitRate>,
    /// The box's own `source`, `/SITE`: by it the service centre is told of reports it refused. `None` tells nothing.
    pub source: Option<String>,
    /// Whether the site is on trial: then pauses stay short until the centre has answered once.
    pub on_trial: bool,
    /// The session service's socket; `None` brings no directives.
    pub sessions: Option<PathBuf>,
    /// Where the audit trail's records are asked for, beside the session service; `None` leaves them on the box.
    pub trail: Option<PathBuf>,
    /// The room for files that the service centre sends to the instruments.
    pub inbox_room: u64,
}

impl Config {
    /// A configuration with defaults and nothing to listen on yet.
    #[must_use]
    pub fn new(directory: &Path, centre: String) -> Self {
        Self {
            directory: directory.to_owned(),
            centre,
            relay: None,
            listeners: Vec::new(),
            hello: None,
            log: log::Config::default(),
            files: files::Config::default(),
            limits: ingest::Limits::default(),
            patience: Patience::default(),
            rate_limit: None,
            source: None,
            on_trial: false,
            sessions: None,
            trail: None,
            inbox_room: inbox::Config::default().room,
        }
    }
}

/// Why a forwarder cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log cannot be opened.
    #[error("{directory}: the log cannot be opened")]
    Log {
        /// Its directory.
        directory: PathBuf,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// The log's directory cannot be made.
    #[error("{directory}: cannot be used for the log")]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A thread or a socket could not be set up.
    #[error("the forwarder's {part} cannot be started")]
    Part {
        /// Which.
        part: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A running forwarder; dropping it stops delivery and closes the sockets.
#[derive(Debug)]
pub struct Forwarder {
    shared: Shared,
    signal: Arc<Signal>,
    addresses: Vec<SocketAddr>,
    runtime: Option<tokio::runtime::Runtime>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    log: Arc<Mutex<Log>>,
    files: files::Shared,
    progress: Arc<Mutex<Progress>>,
    meter: Arc<Meter>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

impl Forwarder {
    /// Opens the log, starts delivering, then listens.
    ///
    /// # Errors
    /// When a part cannot be started; what is in the log is never a reason.
    pub fn start(config: Config, identity: &Identity) -> Result<Self, StartError> {
        Self::start_over(config, identity, |disk| Box::new(disk))
    }

    /// As [`Self::start`], with the log on what `storage` makes of the disk: for tests of what happens when a promise of
    /// the disk does not hold.
    ///
    /// # Errors
    /// As there.
    pub fn start_over(
        config: Config,
        identity: &Identity,
        storage: impl FnOnce(Disk) -> Box<dyn Storage>,
    ) -> Result<Self, StartError> {
        let directory = config.directory.clone();
        let disk = Disk::new(&directory).map_err(|source| StartError::Directory {
            directory: directory.clone(),
            source,
        })?;
        let log =
            Log::open(storage(disk), config.log).map_err(|source| StartError::Log { directory, source })?;
        for lane in Lane::ALL {
            logging::info!(
                "{} report(s) wait in the {} lane",
                log.waiting(lane),
                lane.as_str()
            );
        }
        let log = Arc::new(Mutex::new(log));
        let signal = Arc::new(Signal::default());
        let progress = Arc::new(Mutex::new(Progress::default()));
        let meter = Arc::new(Meter::default());

        let part = |part| move |source| StartError::Part { part, source };
        let (writer, writing) =
            Writer::start(Arc::clone(&log), Arc::clone(&signal)).map_err(part("log writer"))?;
        let shelf = config
            .sessions
            .as_ref()
            .and_then(|_| open_inbox(&config, Arc::clone(&log)));
        let claim = Arc::clone(&log);
        let (desk, files, filing) = files::Desk::start(
            config.directory.join(FILES),
            files::Config {
                ports: config.listeners.len(),
                ..config.files
            },
            Arc::new(move || claim.lock().unwrap_or_else(PoisonError::into_inner).claim()),
            Arc::clone(&signal),
        )
        .map_err(part("files"))?;
        let way = || Way {
            centre: config.centre.clone(),
            tls: identity.centre_tls(),
            device: identity.device_validity(),
            patience: config.patience,
            relay: config.relay,
            rate_limit: config.rate_limit,
        };
        if let Some(shelf) = &shelf {
            inbox::bring::start(Arc::clone(shelf), Arc::clone(&signal), way()).map_err(part("inbox"))?;
        }
        let courier = config.sessions.clone().map(|socket| {
            courier::start(courier::Parts {
                socket,
                trail: config.trail.clone(),
                log: Arc::clone(&log),
                signal: Arc::clone(&signal),
                way: way(),
                source: config.source.clone().unwrap_or_default(),
                shelf: shelf.clone(),
            })
        });
        let courier = courier.transpose().map_err(part("courier"))?;
        let (inbox, carrying) = courier.unzip();
        let uplink = Uplink::new(Parts {
            log: Arc::clone(&log),
            files: Arc::clone(&files),
            signal: Arc::clone(&signal),
            progress: Arc::clone(&progress),
            meter: Arc::clone(&meter),
            way: way(),
            inbox,
            source: config.source.clone(),
            on_trial: config.on_trial,
        });
        let delivering = std::thread::Builder::new()
            .name("uplink".to_owned())
            .spawn(move || uplink.run())
            .map_err(part("uplink"))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ingest")
            .enable_all()
            .build()
            .map_err(part("ingest"))?;
        let mut forwarder = Self {
            shared: Shared {
                log,
                files,
                progress,
                meter,
            },
            signal,
            addresses: Vec::new(),
            runtime: None,
            threads: [writing, filing, delivering]
                .into_iter()
                .chain(carrying)
                .collect(),
        };
        if let Some(hello) = config.hello {
            runtime.block_on(async {
                if writer.store(vec![(Lane::Routine, hello)]).await != writer::Stored::Durable {
                    logging::warn!("the box's own report could not be queued");
                }
            });
        }
        let tls = TlsAcceptor::from(identity.ingest_tls());
        let ports = config.listeners.len();
        for listener in config.listeners {
            let port = ingest::Port::new(
                listener.source,
                listener.triggers,
                config.limits,
                ports,
                writer.clone(),
                desk.clone(),
            )
            .with_sessions(config.sessions.clone())
            .with_inbox(shelf.clone());
            forwarder
                .addresses
                .push(listener.socket.local_addr().map_err(part("ingest socket"))?);
            listener
                .socket
                .set_nonblocking(true)
                .map_err(part("ingest socket"))?;
            let _context = runtime.enter();
            let socket = tokio::net::TcpListener::from_std(listener.socket).map_err(part("ingest socket"))?;
            let door = port.door((listener.ingest == Ingest::Tls).then(|| tls.clone()));
            runtime.spawn(door::serve(socket, door, port));
        }
        forwarder.runtime = Some(runtime);
        Ok(forwarder)
    }

    /// Where it listens, in the order of [`Config::listeners`].
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether all its threads live.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.threads.iter().any(JoinHandle::is_finished)
    }

    /// How delivery goes.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let progress = self.shared.progress.lock();
        let progress = progress.unwrap_or_else(PoisonError::into_inner).clone();
        progress.metered(&self.shared.meter)
    }

    /// How full the log is and how delivery goes.
    #[must_use]
    pub fn status(&self) -> Status {
        let progress = self.progress();
        let files = files::status(&self.shared.files);
        let mut log = self.shared.log.lock().unwrap_or_else(PoisonError::into_inner);
        status::of(&mut log, &progress, files)
    }

    /// The latest reports the service centre refuses for good, oldest first.
    #[must_use]
    pub fn latest_refused(&self) -> Vec<status::RefusedReport> {
        let mut log = self.shared.log.lock().unwrap_or_else(PoisonError::into_inner);
        let count = log.dead_letter_count();
        let before = (count.dropped + count.kept).saturating_sub(REFUSED_TOLD);
        let latest = log.dead_letters(before, usize::MAX);
        latest
            .map(|latest| latest.into_iter().map(Into::into).collect())
            .unwrap_or_else(|error| {
                logging::warn!("the refused reports cannot be read: {error}");
                Vec::new()
            })
    }
}

/// The inbox, in the room that the log of reports can never come to need. Without one reports go on.
fn open_inbox(config: &Config, log: Arc<Mutex<Log>>) -> Option<inbox::Shared> {
    let directory = config.directory.join(INBOX);
    let complain = |error| logging::error!("{}: the inbox cannot be kept here: {error}", directory.display());
    let disk = Disk::new(&directory).map_err(complain).ok()?;
    let free = move || {
        let claimed = log.lock().unwrap_or_else(PoisonError::into_inner).claim();
        // When it cannot be told, writing will tell.
        disk.free_space().unwrap_or(u64::MAX).saturating_sub(claimed)
    };
    let room = inbox::Config {
        room: config.inbox_room,
        ..inbox::Config::default()
    };
    let shelf = inbox::Shelf::open(Directory(directory.clone()), room, Arc::new(free));
    Some(Arc::new(Mutex::new(shelf.map_err(complain).ok()?)))
}

/// How many of the refused reports are told of.
const REFUSED_TOLD: u64 = 20;

/// Whether `body` is the receipt for the batch `key` of `count` events: for the fuzzer.
#[doc(hidden)]
#[must_use]
pub fn is_receipt(body: &[u8], key: &str, count: usize) -> bool {
    uplink::receipt::is_for(body, key, count)
}

/// How long an answer's `Retry-After` asks to wait, given its `Date`: for the fuzzer.
#[doc(hidden)]
#[must_use]
pub fn retry_after(value: &str, date: &str) -> Option<std::time::Duration> {
    retry_after::parse(value, retry_after::date(date))
}

/// The content codings tried one after the other while each is refused with 415 and the next of these
/// `Accept-Encoding`s: for the fuzzer.
#[doc(hidden)]
#[must_use]
pub fn codings_tried<'a>(accepts: impl Iterator<Item = &'a str>) -> Vec<&'static str> {
    uplink::encoding::tried(accepts)
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        // The threads see it at their next step; a request in flight is not waited for.
        self.signal.stop();
    }
}

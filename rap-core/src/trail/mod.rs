//! `rap-tls trail`: carries copies of the audit trail out of the box, to the hospital's collector and to the service centre.
//!
//! ```text
//! audit (the one writer) ── records after a place ──► trail ── RFC 5425 ──► relay ──► the hospital's collector
//!                                                       └───── rap.audit.records ──► forwarder ──► service centre
//! ```
//!
//! Invariants
//! - A place moves only once its records are known to be there: with the collector's close_notify, which comes after all
//!   that was sent; with the forwarder's word that they are in its log. So nothing is lost on the way, and records may come
//!   twice: each has its number.
//! - The two copies do not wait for one another. What made room before it was carried is told in the trail, once.
//! - A trail that is not the one that was carried before is told, and carried from its beginning.
//! - This service reads no file of the trail's: the writer gives it what is on the medium.

mod collector;
mod copy;
mod forwarder;
mod line;
mod place;
mod status;
mod trust;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

use self::copy::{Copy, Trail};
use self::forwarder::Outgoing;
pub use self::status::{CopyStatus, Status};
use crate::audit::record::Link;
use crate::audit::records::{self, Batch};
use crate::control::{self, Answer};
use crate::folder::Directory;
use crate::init::users;
use crate::notify::Notifier;
use crate::site::Site;
use crate::{paths, relay};

pub(crate) use self::forwarder::{Exchanged, Request};
pub use self::line::Patience;

/// The user of the forwarder, who may ask.
const FORWARD_USER: &str = "rap-forward";
/// How often the status is written, init told that this is alive, and looked for records.
const BEAT: Duration = Duration::from_secs(2);

/// Where the service finds things; tests have their own places.
#[derive(Debug, Clone)]
pub struct Place {
    /// The site's description.
    pub site: PathBuf,
    /// Directory of the identity.
    pub identity: PathBuf,
    /// Directory of the places the copies have come to.
    pub memory: PathBuf,
    /// Where the trail's writer is asked.
    pub records: PathBuf,
    /// Where the forwarder asks.
    pub socket: PathBuf,
    /// Directory of the status files.
    pub status: PathBuf,
    /// The relay; without one the collector is connected to straight, which is for tests.
    pub relay: Option<SocketAddr>,
    /// Timeouts and pauses towards the collector.
    pub patience: Patience,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            site: paths::SITE_IN_FORCE.into(),
            identity: paths::IDENTITY.into(),
            memory: paths::TRAIL.into(),
            records: paths::AUDIT_RECORDS.into(),
            socket: paths::TRAIL_SOCKET.into(),
            status: paths::STATUS.into(),
            relay: Some(relay::ADDRESS.into()),
            patience: Patience::default(),
        }
    }
}

/// Runs the service; returns only on an error. Without a usable site it stays and says so.
///
/// # Errors
/// When its folders cannot be used.
pub fn run(place: &Place) -> anyhow::Result<()> {
    let notifier = Notifier::from_environment();
    let site = match Site::load(&place.site) {
        Ok(site) => site,
        Err(error) => crate::status::stay("trail", &notifier, &error.into()),
    };
    let told = Arc::new(Mutex::new(Status::default()));
    let writer = Writer(place.records.clone());
    let copy = |title| {
        Copy::open(Directory(place.memory.clone()), title)
            .with_context(|| format!("cannot use {}", place.memory.display()))
    };
    let outgoing = Outgoing::new(copy("centre")?, writer.clone(), Arc::clone(&told));
    forwarder::answer_at(&place.socket, users::guest(FORWARD_USER), outgoing)?;
    let mut sending = None;
    if let Some(audit) = &site.audit {
        let way = trust::of(&place.identity, audit).map_err(anyhow::Error::from);
        let way = way.and_then(|tls| line::Way::new(audit, Arc::new(tls), place.relay, place.patience));
        match way {
            Ok(way) => {
                let copy = copy("collector")?;
                sending = Some(collector::start(copy, writer, way, Arc::clone(&told))?);
            }
            Err(error) => {
                let trouble = format!("nothing is sent to the collector: {error:#}");
                log::error!("{trouble}");
                lock(&told).collector = Some(CopyStatus::troubled(trouble));
            }
        }
    }
    notifier.ready();
    loop {
        let ended = sending.as_ref().is_some_and(JoinHandle::is_finished);
        anyhow::ensure!(!ended, "the part that sends to the collector ended");
        notifier.alive();
        let status = lock(&told).clone().summed_up();
        notifier.status(&status.summary());
        if let Err(error) = crate::status::write(&place.status, "trail", &status) {
            log::warn!("the status cannot be written: {error}");
        }
        std::thread::sleep(BEAT);
    }
}

/// The trail, as its writer gives it.
#[derive(Debug, Clone)]
struct Writer(PathBuf);

impl Trail for Writer {
    fn from(&self, place: Link) -> Result<Batch, String> {
        let socket: &Path = &self.0;
        match control::ask("audit", socket, &records::Request::From { place }, None) {
            Ok(Answer::Done(batch)) => serde_json::from_value(batch)
                .map_err(|error| format!("the trail's writer is not understood: {error}")),
            Ok(Answer::Refused(why)) => Err(why),
            Err(error) => Err(format!("{:#}", anyhow::Error::from(error))),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! `rap-tls update`: the updater with what init, site.toml and the image give it.
//!
//! The main thread says that the service is alive, writes its status and answers who asks; the work is done by one other
//! thread (`worker`). When that thread ends, the service ends, and init starts it again.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

use super::bays::Disk;
use super::control::{self, Answer, Asked, Request};
use super::health;
use super::needs::{Bays, Repository};
use super::repository::{Files, Trust};
use super::source::{self, Bundle, Https, Source};
use super::state::Store;
use super::status::{IDLE, Status};
use super::worker::{OpenBundle, Order, Parts, Setup, Worker};
use crate::build_info::BuildInfo;
use crate::folder::Directory;
use crate::identity::Identity;
use crate::init::users;
use crate::notify::{Notifier, inherited_sockets};
use crate::site::{Site, Updates};
use crate::{paths, relay, session};

const BEAT: Duration = Duration::from_secs(1);
/// What happened lately is in the status file, so much of it: the local page shows it.
const TOLD: usize = 16;
/// How long somebody who confirms or rolls back waits for the thread of work.
const ANSWER: Duration = Duration::from_secs(60);

/// Where the updater finds things.
#[derive(Debug, Clone)]
pub struct Place {
    /// The site's description.
    pub site: PathBuf,
    /// Directory of the identity.
    pub identity: PathBuf,
    /// Directory of the status files.
    pub status: PathBuf,
    /// Directory of the updater's own files.
    pub folder: PathBuf,
    /// What the image says of itself.
    pub build: PathBuf,
    /// The root of trust of updates.
    pub root: PathBuf,
    /// How far a trial came, in init's words.
    pub stage: PathBuf,
    /// Where the updater is asked.
    pub socket: PathBuf,
    /// Where the session service asks it to look for a release.
    pub ask: PathBuf,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            site: paths::SITE_IN_FORCE.into(),
            identity: paths::IDENTITY.into(),
            status: paths::STATUS.into(),
            folder: paths::UPDATE.into(),
            build: paths::BUILD_INFO.into(),
            root: paths::UPDATE_ROOT.into(),
            stage: paths::TRIAL_STAGE.into(),
            socket: paths::UPDATE_SOCKET.into(),
            ask: paths::UPDATE_ASK.into(),
        }
    }
}

/// Runs the service; returns only with an error. Without slots or a root it stays and says so.
///
/// # Errors
/// When the control socket cannot be made, or the thread of work ended.
pub fn run(place: &Place) -> anyhow::Result<()> {
    let notifier = Arc::new(Notifier::from_environment());
    let told = Arc::new(Mutex::new(Status::default()));
    let worker = match parts(place, &notifier, &told).and_then(Worker::start) {
        Ok(worker) => worker,
        Err(error) => crate::status::stay("update", &notifier, &error),
    };
    let (orders, ordered) = sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("work".to_owned())
        .spawn(move || worker.run(&ordered))
        .context("cannot start the thread of work")?;
    let seen = Arc::clone(&told);
    let (more, told_too) = (orders.clone(), Arc::clone(&told));
    control::start_for_guest(&place.ask, users::guest(session::USER), move |asked| {
        answer(asked, &more, &told_too)
    })?;
    control::start(&place.socket, move |asked| answer(asked, &orders, &seen))?;
    notifier.ready();
    let mut last = Status::default();
    loop {
        anyhow::ensure!(!thread.is_finished(), "the thread of work ended");
        notifier.alive();
        let mut status = snapshot(&told);
        let older = status.history.len().saturating_sub(TOLD);
        status.history.drain(..older);
        if status != last {
            notifier.status(&status.summary());
            if let Err(error) = crate::status::write(&place.status, "update", &status) {
                log::warn!("the status cannot be written: {error}");
            }
            last = status;
        }
        std::thread::sleep(BEAT);
    }
}

/// Everything the thread of work needs.
fn parts(place: &Place, notifier: &Arc<Notifier>, told: &Arc<Mutex<Status>>) -> anyhow::Result<Parts> {
    let build =
        std::fs::read(&place.build).with_context(|| format!("cannot read {}", place.build.display()))?;
    let build: BuildInfo = serde_json::from_slice(&build)?;
    // Without a site a bundle updates the box still.
    let site = Site::load(&place.site).ok();
    let updates = site.and_then(|site| site.updates);
    let (bays, repository, bundle) = means(place, &build, updates.as_ref())?;
    Ok(Parts {
        setup: Setup {
            build_id: build.build_id,
            version: build.version,
            updates,
            status: place.status.clone(),
            stage: place.stage.clone(),
            built: build.built,
            steady: health::STEADY,
            patience: health::PATIENCE,
        },
        store: Store(Box::new(Directory(place.folder.clone()))),
        bays,
        repository,
        bundle,
        trail: Box::new(crate::audit::tell),
        notifier: Arc::clone(notifier),
        told: Arc::clone(told),
    })
}

type Means = (Box<dyn Bays>, Option<Box<dyn Repository>>, OpenBundle);

/// The slots that init handed down, the site's repository, and how a bundle is opened.
fn means(place: &Place, build: &BuildInfo, updates: Option<&Updates>) -> anyhow::Result<Means> {
    let root = std::fs::read(&place.root).with_context(|| {
        format!(
            "this image has no {}: it was built without the keys of updates, and cannot be updated",
            place.root.display()
        )
    })?;
    // After the base comes the hardware.
    let profile = build
        .overlays
        .get(1)
        .context("the image does not say for which hardware it is")?;
    let trust = Trust {
        root: root.into(),
        profile: profile.clone(),
    };
    let server = |updates| Files::new(server(place, updates), trust.clone(), &place.folder);
    let repository = updates.map(|updates| Box::new(server(updates)) as Box<dyn Repository>);
    let folder = place.folder.clone();
    let bundle: OpenBundle = Box::new(move |file: OwnedFd| {
        let bundle = Bundle::of(file.into(), Path::new("the bundle"))?;
        let source: Arc<dyn Source> = Arc::new(bundle);
        Ok(Box::new(Files::new(source, trust.clone(), &folder)) as Box<dyn Repository>)
    });
    let bays = slots(inherited_sockets(), &build.build_id, &place.folder)?;
    Ok((bays, repository, bundle))
}

/// The site's repository. Without an identity a bundle updates the box still.
fn server(place: &Place, updates: &Updates) -> Arc<dyn Source> {
    match Identity::load(&place.identity) {
        Ok(identity) => Arc::new(Https::new(source::Way {
            url: updates.repository.to_string(),
            tls: identity.centre_tls(),
            device: identity.device_validity(),
            patience: source::Patience::default(),
            relay: Some(relay::ADDRESS.into()),
            rate_limit: updates.rate_limit,
        })),
        Err(error) => {
            let why = anyhow::Error::from(error);
            log::warn!("the update repository cannot be asked: {why:#}");
            Arc::new(source::Unready::because(&why))
        }
    }
}

fn slots(handed: Vec<(String, OwnedFd)>, build_id: &str, folder: &Path) -> anyhow::Result<Box<dyn Bays>> {
    let (mut a, mut b) = (None, None);
    for (name, slot) in handed {
        match name.as_str() {
            "slot@a" => a = Some(slot),
            "slot@b" => b = Some(slot),
            _ => {}
        }
    }
    let both = a
        .zip(b)
        .context("init handed down no slots: the disk has none, or they cannot be opened")?;
    Ok(Box::new(Disk::new(
        [both.0.into(), both.1.into()],
        build_id,
        &folder.join("keep"),
    )?))
}

fn snapshot(told: &Mutex<Status>) -> Status {
    told.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn answer(asked: Asked<Request>, orders: &SyncSender<Order>, told: &Mutex<Status>) -> Answer {
    let status = snapshot(told);
    let on_trial = status.trial.is_some();
    match asked.request {
        Request::Status {} => {
            serde_json::to_value(status).map_or_else(|error| Answer::Refused(error.to_string()), Answer::Done)
        }
        Request::Confirm { by } => wait(orders, |reply| Order::Confirm { by, reply }),
        Request::Rollback { by } => wait(orders, |reply| Order::Rollback { by, reply }),
        _ if on_trial => {
            Answer::Refused("an update is on trial: nothing else is done until it has ended".to_owned())
        }
        Request::Check {} => hand(orders, Order::Check, told),
        Request::Scrub {} => hand(orders, Order::Scrub, told),
        Request::Install { by } => {
            let bundle = asked.file;
            hand(orders, Order::Install { by, bundle }, told)
        }
    }
}

/// Hands an order over; it is not waited for. Whoever looks from now on sees that something is done.
fn hand(orders: &SyncSender<Order>, order: Order, told: &Mutex<Status>) -> Answer {
    let mut status = told.lock().unwrap_or_else(PoisonError::into_inner);
    match orders.try_send(order) {
        Ok(()) => {
            if status.doing == IDLE {
                status.doing = "begins".to_owned();
            }
            Answer::Done(serde_json::json!({}))
        }
        Err(TrySendError::Full(_)) => Answer::Refused(format!("the updater is busy: {}", status.summary())),
        Err(TrySendError::Disconnected(_)) => {
            Answer::Refused("the updater is ending; ask again in a moment".to_owned())
        }
    }
}

/// Hands an order over and waits for what came of it.
fn wait(orders: &SyncSender<Order>, order: impl FnOnce(SyncSender<Answer>) -> Order) -> Answer {
    let (reply, answer) = sync_channel(1);
    if orders.try_send(order(reply)).is_err() {
        return Answer::Refused("the updater is busy; ask again in a moment".to_owned());
    }
    answer.recv_timeout(ANSWER).unwrap_or_else(|_| {
        Answer::Refused("the updater is busy; it will be done when it has time".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_without_an_identity_has_a_repository_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place {
            identity: folder.path().to_owned(),
            ..Place::default()
        };
        let site = Site::parse(crate::site::EXAMPLE, Path::new("site.toml")).unwrap();
        let source = server(&place, &site.updates.unwrap());
        let name = "metadata/timestamp.json".parse().unwrap();
        let said = source.fetch(&name, 1).unwrap_err().to_string();
        assert!(
            said.contains("cannot be asked: ") && said.contains("device.crt: cannot be read"),
            "{said}"
        );
    }
}

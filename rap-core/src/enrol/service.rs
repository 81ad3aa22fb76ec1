//! `rap-tls identity`: the service. The main thread says that it is alive and writes its status; one thread answers who
//! asks; one shows an answer to the service centre, which may take minutes on a bad line.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use super::control::{self, Answer, Asked, Request};
use super::desk::Desk;
use super::serial_of_firmware;
use super::shelf::{Folders, Shelf};
use super::trial::{Centre, Real, Verdict};
use crate::folder::Directory;
use crate::identity::{MADE, Reader};
use crate::notify::Notifier;
use crate::site::Site;
use crate::{moment, paths, relay};

const BEAT: Duration = Duration::from_secs(1);
/// The first pause after a service centre that said nothing, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));
/// What init keeps says no more than that there is another identity: those that use it are restarted.
const SIGN: &str = "identity@changed";

/// Where the service finds things.
#[derive(Debug, Clone)]
pub struct Place {
    /// The site's description.
    pub site: PathBuf,
    /// Directory of the identity.
    pub identity: PathBuf,
    /// Directory of the status files.
    pub status: PathBuf,
    /// The serial number that firmware says, in init's copy.
    pub serial: PathBuf,
    /// Where the service is asked.
    pub socket: PathBuf,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            site: paths::SITE_IN_FORCE.into(),
            identity: paths::IDENTITY.into(),
            status: paths::STATUS.into(),
            serial: paths::SERIAL.into(),
            socket: paths::IDENTITY_SOCKET.into(),
        }
    }
}

/// Runs the service; returns only with an error. Without a site it stays and says so.
///
/// # Errors
/// When the control socket cannot be made, or a thread ended.
pub fn run(place: &Place) -> anyhow::Result<()> {
    let notifier = Notifier::from_environment();
    let (desk, centre) = match desk(place) {
        Ok(both) => both,
        Err(error) => crate::status::stay("identity", &notifier, &error),
    };
    let desk = Arc::new(Mutex::new(desk));
    let asked = Arc::clone(&desk);
    control::start(&place.socket, move |request| answer(&asked, &request))?;
    let shown = Arc::clone(&desk);
    let thread = std::thread::Builder::new()
        .name("trial".to_owned())
        .spawn(move || show(&shown, &centre))
        .context("cannot start the thread that asks the service centre")?;
    let (mut changes, mut last) = (0, None);
    loop {
        anyhow::ensure!(
            !thread.is_finished(),
            "the thread that asks the service centre ended"
        );
        let (now, status) = {
            let desk = lock(&desk);
            (desk.changes, desk.status(wall()))
        };
        // Before it is ready: then those that use the identity are restarted at once.
        if now != changes {
            changes = now;
            let (sign, _) = UnixStream::pair().context("cannot make the sign for init")?;
            notifier.store(SIGN, sign.as_fd());
        }
        if last.is_none() {
            notifier.ready();
        }
        notifier.alive();
        if last.as_ref() != Some(&status) {
            notifier.status(&status.summary());
            if let Err(error) = crate::status::write(&place.status, "identity", &status) {
                log::warn!("the status cannot be written: {error}");
            }
            last = Some(status);
        }
        std::thread::sleep(BEAT);
    }
}

fn desk(place: &Place) -> anyhow::Result<(Desk, Real)> {
    let site = Site::load(&place.site).context("netd has published no site")?;
    let made = place.identity.join(MADE);
    let folder = |name: &str| Directory(made.join(name));
    let shelf = Shelf::open(Folders {
        own: folder("own"),
        forward: folder(Reader::Forward.folder()),
        web: folder(Reader::Web.folder()),
    })
    .with_context(|| format!("cannot read {}", made.display()))?;
    let firmware = std::fs::read_to_string(&place.serial).unwrap_or_default();
    let mut desk = Desk {
        shelf,
        directory: place.identity.clone(),
        name: site.name.clone(),
        firmware: serial_of_firmware(&firmware).map(str::to_owned),
        centre: site.centre.target().to_string(),
        tries: (0, None),
        changes: 0,
    };
    desk.begin()
        .with_context(|| format!("cannot keep keys in {}", made.display()))?;
    let centre = Real {
        url: format!("https://{}", site.centre.target()),
        relay: Some(relay::ADDRESS.into()),
    };
    Ok((desk, centre))
}

fn answer(desk: &Mutex<Desk>, asked: &Asked<Request>) -> Answer {
    if asked.user != 0 && !asked.request.is_for_directives() {
        return Answer::Refused("only root may ask this".to_owned());
    }
    lock(desk).answer(&asked.request, wall())
}

/// Shows what waits to the service centre, with growing pauses.
fn show(desk: &Mutex<Desk>, centre: &dyn Centre) {
    let (mut pause, mut due, mut last) = (PAUSES.0, Duration::ZERO, String::new());
    loop {
        let waits = lock(desk).show();
        match waits {
            Ok(Some(show)) => {
                if show.device != last {
                    (pause, due) = (PAUSES.0, Duration::ZERO);
                    last.clone_from(&show.device);
                }
                if moment::since_boot() >= due {
                    let verdict = centre.show(show.tls, show.validity);
                    if matches!(verdict, Verdict::Unknown(_)) {
                        due = moment::since_boot() + pause;
                        pause = (pause * 2).min(PAUSES.1);
                    }
                    if let Err(error) = lock(desk).verdict(&show.device, verdict) {
                        log::error!("what the service centre said is not kept, it is asked again: {error:#}");
                        due = moment::since_boot() + pause;
                    }
                }
            }
            Ok(None) => last.clear(),
            Err(error) => {
                if due <= moment::since_boot() {
                    log::error!("the new certificate cannot be shown: {error:#}");
                    due = moment::since_boot() + PAUSES.1;
                }
            }
        }
        std::thread::sleep(BEAT);
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wall() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

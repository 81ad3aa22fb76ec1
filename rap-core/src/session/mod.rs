//! `rap-tls session`: what the service centre asks of the box, what the person at an instrument says to it, and the
//! remote sessions that come of both.
//!
//! ```text
//! forwarder ── envelopes, consents ──► desk ──► OpenVPN (this user, no rights)
//! page ────────────────── consents ────► │
//!     ▲                                 │  └──► netd: the tunnel's link, the ticket's ports, for a time
//!     └── reports ──────────────────────┘
//! ```
//!
//! Invariants
//! - Nothing is opened without a directive of the service key's owner *and* a yes from the very instrument's port. The
//!   forwarder only carries both; netd opens nothing that the site does not name.
//! - Three clocks end a session, each alone: this service's, the timeout of the kernel's sets, and OpenVPN's own.
//! - After a start of this service nothing is open.
//!
//! `course` is one session, `consent` what people say, `people` how they are heard, `house` what the site allows, `memory`
//! what is kept: each pure or over a few file operations. `desk` brings them together, with `errand` for what is no
//! session; `hands` has the effects.

pub(crate) mod consent;
mod course;
mod desk;
mod errand;
mod hands;
mod house;
mod memory;
pub mod openvpn;
pub(crate) mod people;
mod pin;
mod record;
mod status;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;

pub use self::consent::Consent;
use self::course::Event;
use self::desk::{Desk, Now};
pub(crate) use self::desk::{Exchanged, Request};
use self::hands::Real;
use self::house::House;
use self::memory::Memory;
pub(crate) use self::memory::Report;
use self::people::Ask;
pub use self::status::{SessionStatus, Stage, Status};
use crate::control::{self, Answer, Asked};
use crate::digest::Sha256;
use crate::directive::{DocketId, Outcome, ServiceKey};
use crate::folder::Directory;
use crate::init::users;
use crate::notify::Notifier;
use crate::site::Site;
use crate::{moment, netd, paths, relay};

/// The user this service runs as.
pub(crate) const USER: &str = "rap-session";
/// The user of the forwarder, who may ask.
const FORWARD_USER: &str = "rap-forward";
/// The user of the local page, who may ask for the people at the ports.
const WEB_USER: &str = "rap-web";
/// How often the clocks are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How often the status is written, and init told that this is alive.
const BEAT: Duration = Duration::from_secs(2);

/// Where the service finds things; tests have their own places.
#[derive(Debug, Clone)]
pub struct Place {
    /// The site's description.
    pub site: PathBuf,
    /// Directory of the identity.
    pub identity: PathBuf,
    /// Directory of the docket.
    pub memory: PathBuf,
    /// Directory of the sockets, which is this service's own.
    pub run: PathBuf,
    /// Where the local page asks.
    pub page: PathBuf,
    /// Directory of the status files.
    pub status: PathBuf,
    /// Where netd is asked.
    pub netd: PathBuf,
    /// Where the updater is asked to look for a release.
    pub update: PathBuf,
    /// The relay.
    pub relay: SocketAddr,
    /// The program.
    pub openvpn: PathBuf,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            site: paths::SITE_IN_FORCE.into(),
            identity: paths::IDENTITY.into(),
            memory: paths::SESSION.into(),
            run: paths::SESSION_RUN.into(),
            page: paths::CONSENT_SOCKET.into(),
            status: paths::STATUS.into(),
            netd: paths::NETD_SESSIONS.into(),
            update: paths::UPDATE_ASK.into(),
            relay: relay::ADDRESS.into(),
            openvpn: "/usr/sbin/openvpn".into(),
        }
    }
}

/// Why the loop wakes.
#[derive(Debug)]
enum News {
    /// Somebody asks.
    Asked(Request, SyncSender<Answer>),
    /// The tunnel of the session of this name says something.
    Tunnel(String, Event),
    /// What came of a look, for the directive of this number and digest.
    Looked(u64, Sha256, Outcome),
}

/// Runs the service; returns only on an error. Without a usable site it stays and says so.
///
/// # Errors
/// When its folders cannot be used.
pub fn run(place: &Place) -> anyhow::Result<()> {
    let notifier = Notifier::from_environment();
    let site = match Site::load(&place.site) {
        Ok(site) => site,
        Err(error) => crate::status::stay("session", &notifier, &error.into()),
    };
    let (news, heard) = sync_channel(16);
    close_everything(place, &site);
    let mut desk = desk(place, &site, news.clone())?;
    let asked = news.clone();
    let socket = place.run.join("session.sock");
    control::start_for(
        "session",
        &socket,
        users::guest(FORWARD_USER),
        move |it: Asked<Request>| ask(&asked, it.request),
    )?;
    let asked = news.clone();
    control::start_for(
        "session",
        &place.page,
        users::guest(WEB_USER),
        move |it: Asked<Ask>| ask(&asked, it.request.into()),
    )?;
    notifier.ready();
    let mut told = None::<Instant>;
    loop {
        match heard.recv_timeout(TICK) {
            Ok(News::Asked(request, reply)) => {
                // Who asked may have gone.
                let _ = reply.try_send(desk.answer(request, now()));
            }
            Ok(News::Tunnel(session, event)) => desk.tunnel(&session, event, moment::since_boot()),
            Ok(News::Looked(number, digest, outcome)) => desk.looked(number, digest, outcome),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("nobody can ask any more"),
        }
        desk.tick(moment::since_boot());
        if told.is_none_or(|told| told.elapsed() >= BEAT) {
            told = Some(Instant::now());
            notifier.alive();
            let now = desk.status(moment::since_boot());
            if let Err(error) = crate::status::write(&place.status, "session", &now) {
                log::warn!("the status cannot be written: {error}");
            }
        }
    }
}

fn desk(
    place: &Place,
    site: &Site,
    news: SyncSender<News>,
) -> anyhow::Result<Desk<Directory, Real, record::Trail>> {
    let folder = Directory(place.memory.clone());
    let (memory, trouble) = Memory::open(folder, DocketId::new(random()?))
        .with_context(|| format!("cannot use {}", place.memory.display()))?;
    if let Some(trouble) = trouble {
        log::error!("{trouble}");
    }
    let path = place.identity.join("service.pub");
    let key = ServiceKey::load(&path).map_err(|error| format!("{:#}", anyhow::Error::from(error)));
    match &key {
        Err(_) if !path.exists() => log::info!("the identity has no service.pub: no directive is taken"),
        Err(why) => log::warn!("no directive is taken: {why}"),
        Ok(_) => {}
    }
    let sessions = site.sessions.as_ref();
    let config = sessions
        .and_then(|sessions| sessions.tunnel.clone())
        .map(|server| openvpn::Config {
            program: place.openvpn.clone(),
            folder: place.run.clone(),
            identity: place.identity.clone(),
            server,
            relay: place.relay,
            rate_limit: sessions.and_then(|sessions| sessions.rate_limit),
            fips: cfg!(feature = "fips"),
        });
    let hands = Real {
        netd: place.netd.clone(),
        update: place.update.clone(),
        status: place.status.clone(),
        identity: paths::IDENTITY_SOCKET.into(),
        config,
        news,
        looking: Arc::default(),
        tunnel: None,
        packets: None,
    };
    let pin = place.identity.join("consent.pin");
    let now = moment::since_boot();
    Ok(Desk::new(
        memory,
        key,
        House::new(site),
        pin,
        hands,
        record::Trail::default(),
        now,
    ))
}

/// What an earlier process of this service left open.
fn close_everything(place: &Place, site: &Site) {
    for port in site.ports.iter().filter(|port| !port.remote.is_empty()) {
        let port = port.name.to_string();
        match control::ask(
            "netd",
            &place.netd,
            &netd::sessions::Request::Close { port },
            None,
        ) {
            Ok(Answer::Done(_)) => {}
            Ok(Answer::Refused(why)) => log::warn!("netd does not close what may be open: {why}"),
            Err(error) => log::warn!("{:#}", anyhow::Error::from(error)),
        }
    }
}

/// Hands a request to the loop and waits for its answer.
fn ask(news: &SyncSender<News>, request: Request) -> Answer {
    let (reply, answer) = sync_channel(1);
    let asked = news.send(News::Asked(request, reply));
    match asked.ok().and_then(|()| answer.recv().ok()) {
        Some(answer) => answer,
        None => Answer::Refused("the session service is ending; ask again in a moment".to_owned()),
    }
}

fn now() -> Now {
    Now {
        boot: moment::since_boot(),
        wall: Timestamp::now(),
    }
}

fn random() -> anyhow::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    let length = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    anyhow::ensure!(length == bytes.len(), "no random bytes");
    Ok(bytes)
}

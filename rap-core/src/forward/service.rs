//! `rap forward` on the box: the forwarder with what init, site.toml and the identity directory give it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::log::{self as reports, Disk, Storage};
use super::status::{Refused, Status};
use super::trend::Trend;
use super::uplink::Patience;
use super::{Config, Forwarder, Listener, ingest};
use crate::build_info::BuildInfo;
use crate::identity::Identity;
use crate::notify::{Notifier, inherited_sockets};
use crate::site::{Site, fingerprint};
use crate::{moment, paths, relay};

const BEAT: Duration = Duration::from_secs(2);

/// Where a forwarder finds things; tests have their own places.
#[derive(Debug, Clone)]
pub struct Place {
    /// The site's description.
    pub site: PathBuf,
    /// Directory of the identity.
    pub identity: PathBuf,
    /// Directory of the log.
    pub log: PathBuf,
    /// Directory of the status files.
    pub status: PathBuf,
    /// How much room the log takes.
    pub room: reports::Config,
    /// Timeouts and pauses towards the service centre.
    pub patience: Patience,
    /// Limits on the instruments' agents.
    pub limits: ingest::Limits,
}

/// Runs the service; returns only on an error. Without a usable site or identity it stays and says so.
///
/// # Errors
/// When the log's directory cannot be used, or a part of the forwarder ended.
pub fn run(place: &Place) -> anyhow::Result<()> {
    run_over(place, |disk| Box::new(disk))
}

/// As [`run`], with the log on what `storage` makes of the disk; see [`Forwarder::start_over`].
///
/// # Errors
/// As there.
pub fn run_over(place: &Place, storage: impl FnOnce(Disk) -> Box<dyn Storage>) -> anyhow::Result<()> {
    let notifier = Notifier::from_environment();
    let configured = || -> anyhow::Result<_> {
        let text = std::fs::read_to_string(&place.site)
            .with_context(|| format!("netd has published no site at {}", place.site.display()))?;
        let site = Site::parse(&text, &place.site)?;
        let identity = Identity::load(&place.identity)?;
        Ok((site, fingerprint(text.as_bytes()), identity))
    };
    let (site, fingerprint, identity) = match configured() {
        Ok(configured) => configured,
        Err(error) => crate::status::stay("forward", &notifier, &error),
    };
    let centre = format!("https://{}", site.centre.target());
    let mut config = Config::new(&place.log, centre.clone());
    config.log = place.room;
    config.patience = place.patience;
    config.limits = place.limits;
    config.rate_limit = site.centre.rate_limit;
    config.source = Some(format!("/{}", site.name));
    let netd: Option<crate::netd::report::Status> = crate::status::read_one(&place.status, "netd");
    config.on_trial = netd.is_some_and(|status| status.on_trial);
    config.relay = Some(relay::ADDRESS.into());
    config.listeners = listeners(&site);
    config.files.room = site.files.room;
    config.files.largest = site.files.largest.unwrap_or(u64::MAX);
    config.hello = hello(&site.name);
    config.sessions = Some(paths::SESSION_SOCKET.into());
    config.trail = Some(paths::TRAIL_SOCKET.into());
    let forwarder = Forwarder::start_over(config, &identity, storage)?;
    notifier.ready();
    log::info!(
        "listening on {} port(s), delivering to {centre}",
        forwarder.addresses().len()
    );
    let mut teller = Teller::default();
    loop {
        if !forwarder.is_running() {
            anyhow::bail!("a part of the forwarder ended");
        }
        notifier.alive();
        let mut status = teller.tell(&forwarder);
        status.site = Some(fingerprint.clone());
        notifier.status(&status.summary());
        if let Err(error) = crate::status::write(&place.status, "forward", &status) {
            log::warn!("the status cannot be written: {error}");
        }
        std::thread::sleep(BEAT);
    }
}

/// What has to be remembered from one status to the next.
#[derive(Debug, Default)]
struct Teller {
    counters: Trend<6>,
    refused: Refused,
}

impl Teller {
    fn tell(&mut self, forwarder: &Forwarder) -> Status {
        let mut status = forwarder.status();
        let (alert, routine, link) = (&mut status.alert, &mut status.routine, &mut status.link);
        let counters = [
            alert.taken,
            alert.passed,
            routine.taken,
            routine.passed,
            link.sent_bytes,
            link.received_bytes,
        ];
        [
            alert.taken_per_second,
            alert.passed_per_second,
            routine.taken_per_second,
            routine.passed_per_second,
            link.sent_per_second,
            link.received_per_second,
        ] = self.counters.per_second(moment::since_boot(), counters);
        // Reading them costs the disk something: only when there are others.
        if (status.refused.kept, status.refused.given_up) != (self.refused.kept, self.refused.given_up) {
            status.refused.latest = forwarder.latest_refused();
            self.refused = status.refused.clone();
        }
        status.refused.latest.clone_from(&self.refused.latest);
        status
    }
}

/// Pairs the inherited sockets `ingest@PORT` with the site's ports.
fn listeners(site: &Site) -> Vec<Listener> {
    let mut listeners = Vec::new();
    let mut sockets = inherited_sockets();
    for port in &site.ports {
        let name = format!("ingest@{}", port.name);
        match sockets.iter().position(|(n, _)| *n == name) {
            Some(index) => listeners.push(Listener {
                source: format!("/{}/{}", site.name, port.name),
                ingest: port.ingest,
                triggers: site
                    .triggers
                    .iter()
                    .filter(|t| t.is_for(&port.name))
                    .cloned()
                    .collect(),
                socket: sockets.swap_remove(index).1.into(),
            }),
            None => log::error!(
                "{}: no socket {name} was handed down, nothing is taken from it",
                port.name
            ),
        }
    }
    listeners
}

/// The box's own first report: what it is and what it runs.
fn hello(name: &str) -> Option<super::NewRecord> {
    let build: Option<BuildInfo> = std::fs::read(paths::BUILD_INFO)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let source = format!("/{name}");
    let id = uuid::Uuid::new_v4().to_string();
    let event = serde_json::json!({
        "specversion": "1.0",
        "id": id,
        "type": "rap.box.started",
        "source": source,
        "datacontenttype": "application/json",
        "data": {
            "name": name,
            "version": build.as_ref().map(|b| b.version.as_str()),
            "build-id": build.as_ref().map(|b| b.build_id.as_str()),
        },
    });
    Some(super::NewRecord {
        source,
        id,
        received: super::clock::now_ms(),
        event: event.to_string().into_bytes(),
    })
}

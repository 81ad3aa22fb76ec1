//! `rap forward` on the box: the forwarder with what init, site.toml and the identity directory give it.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::{Config, Forwarder, Listener};
use crate::build_info::BuildInfo;
use crate::identity::Identity;
use crate::notify::{Notifier, inherited_sockets};
use crate::paths;
use crate::site::Site;

const BEAT: Duration = Duration::from_secs(2);

/// Runs the service; returns only on an error. Without a usable site or identity it stays and says so.
///
/// # Errors
/// When the log's directory cannot be used, or a part of the forwarder ended.
pub fn run() -> anyhow::Result<()> {
    let notifier = Notifier::from_environment();
    let configured = || -> anyhow::Result<_> {
        let site = Site::load(Path::new(paths::SITE)).with_context(|| format!("reading {}", paths::SITE))?;
        Ok((site, Identity::load(Path::new(paths::IDENTITY))?))
    };
    let (site, identity) = match configured() {
        Ok(configured) => configured,
        Err(error) => crate::status::stay("forward", &notifier, &error),
    };
    let mut config = Config::new(Path::new(paths::FORWARD), centre_url(&site));
    config.listeners = listeners(&site);
    config.hello = hello(&site.name);
    let forwarder = Forwarder::start(config, &identity)?;
    notifier.ready();
    log::info!(
        "listening on {} port(s), delivering to {}",
        forwarder.addresses().len(),
        centre_url(&site)
    );
    loop {
        if !forwarder.is_running() {
            anyhow::bail!("a part of the forwarder ended");
        }
        notifier.alive();
        let status = forwarder.status();
        notifier.status(&status.summary());
        if let Err(error) = crate::status::write(Path::new(paths::STATUS), "forward", &status) {
            log::warn!("the status cannot be written: {error}");
        }
        std::thread::sleep(BEAT);
    }
}

fn centre_url(site: &Site) -> String {
    use netfw::model::Host;
    use std::net::IpAddr;
    let host = match &site.centre.host {
        Host::Ip(IpAddr::V6(address)) => format!("[{address}]"),
        Host::Ip(IpAddr::V4(address)) => address.to_string(),
        Host::Name(name) => name.clone(),
    };
    format!("https://{host}:{}", site.centre.port)
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

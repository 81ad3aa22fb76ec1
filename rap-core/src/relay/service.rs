//! `rap relay` on the box: the relay with what init, site.toml and the identity directory give it.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::server::Relay;
use super::{ADDRESS, Patience};
use crate::notify::Notifier;
use crate::site::Site;
use crate::{paths, status};

const BEAT: Duration = Duration::from_secs(2);
/// Threads that look names up at the same time; each may hang for as long as the name servers do.
const RESOLVERS: usize = 8;

/// Where a relay finds things; tests have their own places.
#[derive(Debug, Clone)]
pub struct Place {
    /// The site's description.
    pub site: PathBuf,
    /// Directory of the identity, where the proxies' passwords are.
    pub identity: PathBuf,
    /// Directory of the status files.
    pub status: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// How long it waits.
    pub patience: Patience,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            site: paths::SITE_IN_FORCE.into(),
            identity: paths::IDENTITY.into(),
            status: paths::STATUS.into(),
            listen: ADDRESS.into(),
            patience: Patience::default(),
        }
    }
}

/// Runs the service; returns only on an error. Without a usable site it stays and says so.
///
/// # Errors
/// When it cannot listen.
pub fn run(place: &Place) -> anyhow::Result<()> {
    let notifier = Notifier::from_environment();
    let site = match Site::load(&place.site) {
        Ok(site) => site,
        Err(error) => status::stay("relay", &notifier, &error.into()),
    };
    let relay = Arc::new(Relay::new(&site, &place.identity, place.patience));
    let socket =
        TcpListener::bind(place.listen).with_context(|| format!("cannot listen on {}", place.listen))?;
    socket.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(RESOLVERS)
        .enable_all()
        .build()
        .context("cannot start the relay")?;
    runtime.block_on(async {
        let socket = tokio::net::TcpListener::from_std(socket)?;
        tokio::spawn(Arc::clone(&relay).serve(socket));
        log::info!("listening on {}: {}", place.listen, relay.status().summary());
        notifier.ready();
        loop {
            notifier.alive();
            let now = relay.status();
            notifier.status(&now.summary());
            if let Err(error) = status::write(&place.status, "relay", &now) {
                log::warn!("the status cannot be written: {error}");
            }
            tokio::time::sleep(BEAT).await;
        }
    })
}

//! The service: the pages at every port's door.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::origin::Host;
use super::pages::Pages;
use super::person::Person;
use super::seal::Seal;
use super::view::Sources;
use crate::door::{self, Door};
use crate::identity;
use crate::notify::{Notifier, inherited_sockets};
use crate::paths;
use crate::session::people::Ear;
use crate::site::Site;

/// What the names of its sockets begin with; the port's name follows.
const PREFIX: &str = "web@";
const BEAT: Duration = Duration::from_secs(2);
/// Open connections a port; a person's browser has six.
const CONNECTIONS: usize = 16;
/// For handshake, head and each answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where the service finds things; tests have their own places.
#[derive(Debug, Clone)]
pub struct Place {
    /// The site's description.
    pub site: PathBuf,
    /// Directory of the identity.
    pub identity: PathBuf,
    /// Directory of the status files.
    pub status: PathBuf,
    /// What the image says of itself.
    pub build: PathBuf,
    /// The image's packages.
    pub packages: PathBuf,
    /// Where the session service is asked.
    pub sessions: PathBuf,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            site: paths::SITE_IN_FORCE.into(),
            identity: paths::IDENTITY.into(),
            status: paths::STATUS.into(),
            build: paths::BUILD_INFO.into(),
            packages: paths::PACKAGES.into(),
            sessions: paths::CONSENT_SOCKET.into(),
        }
    }
}

/// A listening socket of one port.
#[derive(Debug)]
pub struct Listener {
    /// The port's name.
    pub port: String,
    /// The socket, listening.
    pub socket: TcpListener,
}

/// Everything a server needs.
#[derive(Debug)]
pub struct Config {
    /// The box's name.
    pub name: String,
    /// Where what it tells is read.
    pub place: Place,
    /// The ports' sockets.
    pub listeners: Vec<Listener>,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[error("the local page's {part} cannot be started")]
pub struct StartError {
    part: &'static str,
    #[source]
    source: std::io::Error,
}

/// The pages, served until it is dropped.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// When a socket or the runtime cannot be used.
    pub fn start(config: Config, tls: Arc<ServerConfig>) -> Result<Self, StartError> {
        let failed = |part| move |source| StartError { part, source };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("web")
            .enable_all()
            .build()
            .map_err(failed("runtime"))?;
        let tls = TlsAcceptor::from(tls);
        let sources = Arc::new(Sources {
            status: config.place.status,
            build: config.place.build,
            packages: config.place.packages,
        });
        let name: Arc<str> = config.name.into();
        let seal = Arc::new(Seal::new().map_err(failed("key"))?);
        let certificate = identity::certificates(&config.place.identity.join("ingest.crt"));
        let certificate = certificate.ok().and_then(|chain| chain.into_iter().next());
        let mut addresses = Vec::new();
        for listener in config.listeners {
            let address = listener.socket.local_addr().map_err(failed("socket"))?;
            addresses.push(address);
            listener.socket.set_nonblocking(true).map_err(failed("socket"))?;
            let _context = runtime.enter();
            let socket = tokio::net::TcpListener::from_std(listener.socket).map_err(failed("socket"))?;
            let port: Arc<str> = listener.port.into();
            let door = Door {
                name: Arc::clone(&port),
                tls: Some(tls.clone()),
                connections: CONNECTIONS,
                head: PATIENCE,
                answer: PATIENCE,
            };
            let person = Person {
                port: Arc::clone(&port),
                host: Host {
                    address: address.ip(),
                    certificate: certificate.clone(),
                },
                seal: Arc::clone(&seal),
                ear: Ear::new(config.place.sessions.clone()),
            };
            let pages = Pages {
                name: Arc::clone(&name),
                port,
                sources: Arc::clone(&sources),
                person: Arc::new(person),
            };
            runtime.spawn(door::serve(socket, door, pages));
        }
        Ok(Self {
            addresses,
            _runtime: runtime,
        })
    }

    /// Where it listens, in the order of [`Config::listeners`].
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// Runs the service; returns only on an error. Without a usable site or identity it stays and says so.
///
/// # Errors
/// When it cannot listen.
pub fn run(place: &Place) -> anyhow::Result<()> {
    let notifier = Notifier::from_environment();
    let configured = || -> anyhow::Result<_> {
        let site = Site::load(&place.site).context("netd has published no site")?;
        Ok((site, identity::ingest_tls(&place.identity)?))
    };
    let (site, tls) = match configured() {
        Ok(configured) => configured,
        Err(error) => crate::status::stay("web", &notifier, &error),
    };
    let config = Config {
        listeners: listeners(&site),
        name: site.name,
        place: place.clone(),
    };
    let server = Server::start(config, tls)?;
    notifier.ready();
    let text = format!("at {} port(s)", server.addresses().len());
    log::info!("{text}");
    loop {
        notifier.alive();
        notifier.status(&text);
        if let Err(error) = crate::status::write(&place.status, "web", &serde_json::json!({})) {
            log::warn!("the status cannot be written: {error}");
        }
        std::thread::sleep(BEAT);
    }
}

/// Pairs the inherited sockets `web@PORT` with the site's ports.
fn listeners(site: &Site) -> Vec<Listener> {
    let ports = |name: &str| site.ports.iter().any(|port| port.name.as_str() == name);
    let ours = inherited_sockets().into_iter().filter_map(|(name, socket)| {
        let port = name.strip_prefix(PREFIX).filter(|port| ports(port))?.to_owned();
        Some(Listener {
            port,
            socket: socket.into(),
        })
    });
    ours.collect()
}

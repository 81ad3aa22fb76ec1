//! The service: the pages at every port's door.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ACCEPT_LANGUAGE, ALLOW, HeaderValue};
use hyper::{Method, Request, StatusCode};
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::access::Access;
use super::language::Words;
use super::page::{self, Frame};
use super::policy::{self, Kind};
use super::route::{Nowhere, Route};
use super::view::Sources;
use crate::door::{self, Answer, Door, Handler, Peer};
use crate::identity;
use crate::notify::{Notifier, inherited_sockets};
use crate::paths;
use crate::site::Site;

/// What the names of its sockets begin with; the port's name follows.
const PREFIX: &str = "web@";
const BEAT: Duration = Duration::from_secs(2);
/// Open connections a port; a person's browser has six.
const CONNECTIONS: usize = 16;
/// For handshake, head and each answer.
const PATIENCE: Duration = Duration::from_secs(15);
const STYLE: &str = include_str!("style.css");
const ICON: &str = include_str!("icon.svg");

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
}

impl Default for Place {
    fn default() -> Self {
        Self {
            site: paths::SITE_IN_FORCE.into(),
            identity: paths::IDENTITY.into(),
            status: paths::STATUS.into(),
            build: paths::BUILD_INFO.into(),
            packages: paths::PACKAGES.into(),
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
        let mut addresses = Vec::new();
        for listener in config.listeners {
            addresses.push(listener.socket.local_addr().map_err(failed("socket"))?);
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
            let pages = Pages {
                name: Arc::clone(&name),
                port,
                sources: Arc::clone(&sources),
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

/// One port's pages.
#[derive(Clone)]
struct Pages {
    name: Arc<str>,
    port: Arc<str>,
    sources: Arc<Sources>,
}

impl Handler for Pages {
    async fn answer(&self, request: Request<Incoming>, working: impl FnOnce() + Send) -> Answer {
        working();
        let (head, body) = request.into_parts();
        // No page takes a body: the connection ends where there is one.
        drop(body);
        let (method, target) = (head.method.as_str(), head.uri.path());
        let language = head
            .headers
            .get(ACCEPT_LANGUAGE)
            .and_then(|value| value.to_str().ok());
        let target = head
            .uri
            .query()
            .map_or_else(|| target.to_owned(), |query| format!("{target}?{query}"));
        let (answer, bytes) = self.respond(method, &target, Words::accepted(language));
        let peer = head.extensions.get::<Peer>().map(|peer| peer.0);
        let status = answer.status().as_u16();
        let access = Access {
            port: &self.port,
            peer,
            method,
            target: &target,
            status,
            bytes,
        };
        log::info!("{access}");
        answer
    }
}

impl Pages {
    /// The answer, and the bytes of its body.
    fn respond(&self, method: &str, target: &str, words: &'static Words) -> (Answer, usize) {
        let found = Route::of(method, target);
        let frame = Frame {
            words,
            name: &self.name,
            port: &self.port,
            here: found.ok(),
        };
        let (status, kind, body) = match found {
            Ok(route) => self.content(route, &frame),
            Err(why) => {
                let status = match why {
                    Nowhere::NotFound => StatusCode::NOT_FOUND,
                    Nowhere::Method => StatusCode::METHOD_NOT_ALLOWED,
                };
                (
                    status,
                    Kind::Html,
                    page::nowhere(&frame, why).into_string().into(),
                )
            }
        };
        let bytes = body.len();
        // hyper leaves the body of an answer to HEAD out by itself.
        let mut answer = policy::answer(status, kind, body);
        if status == StatusCode::METHOD_NOT_ALLOWED {
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        let sent = if method == Method::HEAD.as_str() { 0 } else { bytes };
        (answer, sent)
    }

    fn content(&self, route: Route, frame: &Frame<'_>) -> (StatusCode, Kind, Bytes) {
        let html = |page: maud::Markup| (StatusCode::OK, Kind::Html, page.into_string().into());
        match route {
            Route::Overview => html(page::overview(frame, &self.sources.look())),
            Route::Instrument => html(page::instrument(frame, &self.sources.look())),
            Route::Evidence => {
                let packages = self.sources.packages();
                html(page::evidence(frame, &self.sources.look(), &packages))
            }
            Route::Packages => match self.sources.packages_file() {
                Some(file) => (StatusCode::OK, Kind::Json, file.into()),
                None => (StatusCode::SERVICE_UNAVAILABLE, Kind::Json, "null".into()),
            },
            Route::Style => (StatusCode::OK, Kind::Css, Bytes::from_static(STYLE.as_bytes())),
            Route::Icon => (StatusCode::OK, Kind::Svg, Bytes::from_static(ICON.as_bytes())),
        }
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

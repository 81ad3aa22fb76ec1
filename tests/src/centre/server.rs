//! The centre's HTTP side: connections, requests, and what a test may ask of both.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, DATE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::HandshakeKind;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::batches::{self, From};
use super::directives::{self, Directives};
use super::fault::{Fault, Post};
use super::files::{self, Files};
use super::identity;
use super::outbox::{self, Outbox};
use super::store::{Arrival, Store};
use super::tls;

/// Called with each connection refused in its TLS handshake.
pub type OnRefusal = Box<dyn Fn(SocketAddr, &str) + Send + Sync>;

/// How a centre is started.
pub struct Config {
    /// The listening socket.
    pub socket: TcpListener,
    /// Directory with `centre.crt`, `centre.key`, and `centre-ca.crt`, which issued the boxes' certificates.
    pub tls: PathBuf,
    /// The database, made if missing.
    pub database: PathBuf,
    /// Called with each arrival.
    pub on_arrival: Box<dyn Fn(&Arrival) + Send + Sync>,
    /// Called with each connection refused in its TLS handshake: from where, and why in words.
    pub on_refusal: OnRefusal,
}

/// A running centre; dropping it stops it.
#[derive(Debug)]
pub struct Centre {
    address: SocketAddr,
    database: PathBuf,
    state: Arc<State>,
    runtime: Option<tokio::runtime::Runtime>,
}

pub(super) struct State {
    pub(super) store: Mutex<Store>,
    pub(super) files: Files,
    pub(super) directives: Directives,
    /// Which certificates are not taken.
    refused: PathBuf,
    outbox: Outbox,
    pub(super) posts: Mutex<Vec<Post>>,
    fault: Mutex<Option<Fault>>,
    /// How often a fault was shown.
    shown: Mutex<usize>,
    /// Whether answers are as short as they can be.
    pub(super) short: AtomicBool,
    handshakes: Mutex<Vec<HandshakeKind>>,
    refusals: Mutex<Vec<String>>,
    pub(super) on_arrival: Box<dyn Fn(&Arrival) + Send + Sync>,
    on_refusal: OnRefusal,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("State")
    }
}

impl Centre {
    /// Starts serving.
    ///
    /// # Errors
    /// When the TLS files or the database cannot be used.
    pub fn start(config: Config) -> anyhow::Result<Self> {
        let acceptor = tls::acceptor(&config.tls)?;
        let state = Arc::new(State {
            store: Mutex::new(Store::open(&config.database)?),
            files: Files::open(config.database.with_extension("files"))?,
            directives: Directives::default(),
            refused: identity::refused_file(&config.database),
            outbox: Outbox::default(),
            fault: Mutex::new(None),
            shown: Mutex::new(0),
            short: AtomicBool::new(false),
            posts: Mutex::new(Vec::new()),
            handshakes: Mutex::new(Vec::new()),
            refusals: Mutex::new(Vec::new()),
            on_arrival: config.on_arrival,
            on_refusal: config.on_refusal,
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let address = config.socket.local_addr()?;
        config.socket.set_nonblocking(true)?;
        let socket = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(config.socket)?
        };
        runtime.spawn(accept(socket, acceptor, Arc::clone(&state)));
        Ok(Self {
            address,
            database: config.database,
            state,
            runtime: Some(runtime),
        })
    }

    /// A centre on a free port of 127.0.0.1 that says nothing.
    ///
    /// # Errors
    /// As [`Centre::start`].
    pub fn quiet(tls: &Path, database: &Path) -> anyhow::Result<Self> {
        Self::start(Config {
            socket: TcpListener::bind("127.0.0.1:0")?,
            tls: tls.to_owned(),
            database: database.to_owned(),
            on_arrival: Box::new(|_| {}),
            on_refusal: Box::new(|_, _| {}),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, as site.toml has it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A reader of its database.
    ///
    /// # Errors
    /// When the database cannot be opened once more.
    pub fn store(&self) -> anyhow::Result<Store> {
        Store::open(&self.database)
    }

    /// The instruments' data files; they lie beside the database.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.state.files
    }

    /// What it asks of the boxes.
    #[must_use]
    pub fn directives(&self) -> &Directives {
        &self.state.directives
    }

    /// The files it has for the boxes.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.state.outbox
    }

    /// Shows `fault` from now on, or none.
    pub fn fault(&self, fault: Option<Fault>) {
        *lock(&self.state.fault) = fault;
        *lock(&self.state.shown) = 0;
    }

    /// How often the current fault was shown.
    #[must_use]
    pub fn shown(&self) -> usize {
        *lock(&self.state.shown)
    }

    /// Answers without padding from now on, for who measures.
    pub fn answer_shortly(&self) {
        self.state.short.store(true, Ordering::Relaxed);
    }

    /// Every batch posted, oldest first.
    #[must_use]
    pub fn posts(&self) -> Vec<Post> {
        lock(&self.state.posts).clone()
    }

    /// How each connection's TLS handshake went, oldest first; those that failed are not among them.
    #[must_use]
    pub fn handshakes(&self) -> Vec<HandshakeKind> {
        lock(&self.state.handshakes).clone()
    }

    /// Why connections were refused in their TLS handshake, in words, oldest first.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        lock(&self.state.refusals).clone()
    }
}

impl Drop for Centre {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(socket: tokio::net::TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    loop {
        let Ok((stream, from)) = socket.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        tokio::spawn(async move { connection(stream, from, acceptor, state).await });
    }
}

async fn connection(stream: TcpStream, from: SocketAddr, acceptor: TlsAcceptor, state: Arc<State>) {
    match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => {
            let tls = stream.get_ref().1;
            let certificate = tls.peer_certificates().and_then(|chain| chain.first());
            let device: Arc<str> = certificate
                .map(|c| hex(&Sha256::digest(c)))
                .unwrap_or_default()
                .into();
            let connection = {
                let mut handshakes = lock(&state.handshakes);
                handshakes.extend(tls.handshake_kind());
                handshakes.len()
            };
            let requests = AtomicUsize::new(0);
            let service = hyper::service::service_fn(move |request| {
                let from = From {
                    device: device.to_string(),
                    connection,
                    request: requests.fetch_add(1, Ordering::Relaxed) + 1,
                };
                let state = Arc::clone(&state);
                async move { answer(request, &from, &state).await }
            });
            // Connections break as the boxes' power does.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
        Err((error, stream)) => {
            let why = format!("refused {}: {}", from.ip(), tls::refusal(&error));
            lock(&state.refusals).push(why.clone());
            (state.on_refusal)(from, &why);
            tls::linger(stream).await;
        }
    }
}

pub(super) type Answer = Response<Full<Bytes>>;

async fn answer(request: Request<Incoming>, from: &From, state: &State) -> anyhow::Result<Answer> {
    let fault = *lock(&state.fault);
    if fault.is_some() {
        *lock(&state.shown) += 1;
    }
    let mut answer = match (request.uri().path(), request.method()) {
        (batches::PATH, &Method::POST) => batches::answer(request, from, fault, state).await?,
        (batches::PATH, _) => respond(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "POST only\n"),
        (identity::PATH, &Method::GET) => identity::answer(&from.device, &state.refused),
        (directives::PATH, &Method::GET) => state.directives.answer(&request, fault).await,
        (path, &Method::GET) if path.starts_with(outbox::PATH) => state.outbox.answer(&request)?,
        (path, _) if path.starts_with(files::PATH) => files::answer(request, from, fault, state).await?,
        _ => respond(StatusCode::NOT_FOUND, "text/plain", "not here\n"),
    };
    if fault == Some(Fault::CloseAfter) {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(CONNECTION, close);
    }
    if let Some(date) = fault.and_then(Fault::date) {
        answer.headers_mut().insert(DATE, date);
    }
    Ok(answer)
}

pub(super) fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    answer
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, content_type);
    answer
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

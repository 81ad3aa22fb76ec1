//! The centre's HTTP side.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rap_core::identity;
use rustls::server::WebPkiClientVerifier;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::files::{Files, Reply};
use super::store::{Arrival, Store};

const PATH: &str = "/v1/batches";
pub(super) const RECEIPT: &str = "application/vnd.rap.receipt+json";
const MOST_JSON: usize = 8 * 1024 * 1024;

/// What a test may ask the centre to do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answers 503 and stores nothing.
    Busy,
    /// Stores, then breaks the connection instead of answering.
    DropReply,
    /// Answers 200 with a web page and stores nothing, as a captive portal does.
    CaptivePortal,
}

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

struct State {
    store: Mutex<Store>,
    files: Files,
    fault: Mutex<Option<Fault>>,
    /// How often a fault was shown.
    shown: Mutex<usize>,
    refusals: Mutex<Vec<String>>,
    on_arrival: Box<dyn Fn(&Arrival) + Send + Sync>,
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
        let acceptor = acceptor(&config.tls)?;
        let state = Arc::new(State {
            store: Mutex::new(Store::open(&config.database)?),
            files: Files::open(config.database.with_extension("files"))?,
            fault: Mutex::new(None),
            shown: Mutex::new(0),
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn acceptor(directory: &Path) -> anyhow::Result<TlsAcceptor> {
    let provider = identity::provider();
    let ca = directory.join("centre-ca.crt");
    let roots = identity::root_store(&identity::certificates(&ca)?, &ca)?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let pair = identity::Pair::load(&directory.join("centre.crt"), &directory.join("centre.key"))?;
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(pair.chain, pair.key)
        .with_context(|| format!("centre.key in {} does not fit centre.crt", directory.display()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
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
            let certificate = stream
                .get_ref()
                .1
                .peer_certificates()
                .and_then(|chain| chain.first());
            let device: Arc<str> = certificate
                .map(|c| hex(&Sha256::digest(c)))
                .unwrap_or_default()
                .into();
            let service = hyper::service::service_fn(move |request| {
                let (state, device) = (Arc::clone(&state), Arc::clone(&device));
                async move { answer(request, &device, &state).await }
            });
            // Connections break as the boxes' power does.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
        Err((error, stream)) => {
            let why = format!("refused {}: {}", from.ip(), refusal(&error));
            lock(&state.refusals).push(why.clone());
            (state.on_refusal)(from, &why);
            linger(stream).await;
        }
    }
}

fn refusal(error: &std::io::Error) -> String {
    let tls = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::NoCertificatesPresented) => "it has no client certificate".to_owned(),
        Some(rustls::Error::InvalidCertificate(cause)) => {
            format!("its client certificate is not ours: {cause}")
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            format!("it refuses this centre's certificate: {alert:?}")
        }
        _ => error.to_string(),
    }
}

/// Lets the alert arrive: closing with unread data would reset the connection and destroy it.
async fn linger(mut stream: TcpStream) {
    let mut sink = [0; 4096];
    let drain = async { while stream.read(&mut sink).await.is_ok_and(|n| n > 0) {} };
    let _ = tokio::time::timeout(Duration::from_secs(1), drain).await;
}

type Answer = Response<Full<Bytes>>;

async fn answer(request: Request<Incoming>, device: &str, state: &State) -> anyhow::Result<Answer> {
    let is_file = request.uri().path().starts_with(rap_core::forward::files::PATH);
    if request.uri().path() != PATH && !is_file {
        return Ok(respond(StatusCode::NOT_FOUND, "text/plain", "not here\n"));
    }
    if request.method() != Method::POST && !is_file {
        return Ok(respond(
            StatusCode::METHOD_NOT_ALLOWED,
            "text/plain",
            "POST only\n",
        ));
    }
    let fault = *lock(&state.fault);
    if fault.is_some() {
        *lock(&state.shown) += 1;
    }
    match fault {
        Some(Fault::Busy) => return Ok(respond(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "busy\n")),
        Some(Fault::CaptivePortal) => {
            return Ok(respond(
                StatusCode::OK,
                "text/html",
                "<html>Accept our terms</html>",
            ));
        }
        Some(Fault::DropReply) | None => {}
    }
    if is_file {
        let reply = state.files.answer(request, device).await;
        return match (fault, reply) {
            (Some(Fault::DropReply), _) => bail!("the reply is dropped on request"),
            (_, Reply::Receipt(status, receipt)) => Ok(respond(status, RECEIPT, receipt)),
            (_, Reply::Text(status, text)) => Ok(respond(status, "text/plain", text)),
        };
    }
    match take(request, device, state).await {
        Ok(_) if fault == Some(Fault::DropReply) => bail!("the reply is dropped on request"),
        Ok(receipt) => Ok(padded(respond(StatusCode::OK, RECEIPT, receipt))),
        Err(error) => Ok(respond(
            StatusCode::BAD_REQUEST,
            "text/plain",
            format!("{error:#}\n"),
        )),
    }
}

async fn take(request: Request<Incoming>, device: &str, state: &State) -> anyhow::Result<String> {
    let header = |name: &str| {
        let value = request.headers().get(name).and_then(|v| v.to_str().ok());
        value.map(str::to_owned).with_context(|| format!("no {name}"))
    };
    let key = header("idempotency-key")?;
    let lane = header("rap-lane")?;
    if header("content-type")? != "application/cloudevents-batch+json"
        || header("content-encoding")? != "zstd"
    {
        bail!("expected a zstd-compressed application/cloudevents-batch+json");
    }
    let body = Limited::new(request.into_body(), MOST_JSON).collect().await;
    let body = body.map_err(|e| anyhow::anyhow!("the body: {e}"))?.to_bytes();
    let json = zstd::bulk::decompress(&body, MOST_JSON).context("decompressing the body")?;
    if key != hex(&Sha256::digest(&json))[..32] {
        bail!("the Idempotency-Key is not the body's digest");
    }
    let events: Vec<serde_json::Value> = serde_json::from_slice(&json).context("reading the batch")?;
    let arrivals = lock(&state.store).add(device, &key, &lane, &events)?;
    for arrival in &arrivals {
        (state.on_arrival)(arrival);
    }
    Ok(serde_json::json!({ "receipt": key, "events": events.len() }).to_string())
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let content_type = hyper::header::HeaderValue::from_static(content_type);
    answer
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, content_type);
    answer
}

/// Longer than a packet, as many a server's answer is: a path that loses long packets shows in this direction too.
fn padded(mut answer: Answer) -> Answer {
    const PADDING: &str = match std::str::from_utf8(&[b'p'; 2000]) {
        Ok(text) => text,
        Err(_) => "",
    };
    let padding = hyper::header::HeaderValue::from_static(PADDING);
    answer.headers_mut().insert("x-padding", padding);
    answer
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

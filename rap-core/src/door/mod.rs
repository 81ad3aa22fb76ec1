//! Accepting connections at a port and serving HTTP on them: the one server of the box, behind the agents' API and the
//! local page.
//!
//! Invariant: every connection has a deadline for the handshake, each request's head and each write of an answer; of a
//! socket's connections those that do nothing give way to new ones ([`room`]), so a client can only keep itself out.

mod room;
mod timed;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use self::room::{Phase, Room, Verdict};
use self::timed::Timed;

/// Bytes of a request's head, answered with 431 above that.
const HEAD_BYTES: usize = 16 * 1024;
/// Header fields of a request, answered with 431 above that.
const HEAD_FIELDS: usize = 64;

/// What is answered.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Who sent a request: among its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What a door is like.
#[derive(Clone)]
pub(crate) struct Door {
    /// What the log calls it.
    pub(crate) name: Arc<str>,
    /// `None` for plain HTTP.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Open connections; above it one that does nothing is closed for a new one.
    pub(crate) connections: usize,
    /// For the TLS handshake, and for a request's head counted from the last answer.
    pub(crate) head: Duration,
    /// For the client to take what was written to it.
    pub(crate) answer: Duration,
}

/// Who answers.
pub(crate) trait Handler: Clone + Send + Sync + 'static {
    /// Answers one request; `working` is to be called when all of it was read.
    fn answer(
        &self,
        request: Request<Incoming>,
        working: impl FnOnce() + Send,
    ) -> impl Future<Output = Answer> + Send;
}

/// Accepts until the task is dropped.
pub(crate) async fn serve(socket: TcpListener, door: Door, handler: impl Handler) {
    let lobby = Arc::new(Lobby {
        room: Mutex::new(Room::new(door.connections)),
        left: Notify::new(),
    });
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                let (place, close) = Lobby::enter(&lobby).await;
                let (door, handler) = (door.clone(), handler.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = connection(stream, Peer(peer), &door, &handler, &place) => {}
                        () = close.notified() => log::debug!("a connection gave way to a new one"),
                    }
                });
            }
            Err(error) => {
                log::warn!("{}: a connection could not be accepted: {error}", door.name);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The room, and who is told when somebody leaves it.
struct Lobby {
    room: Mutex<Room>,
    left: Notify,
}

impl Lobby {
    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room, closing whatever has to give way.
    async fn enter(lobby: &Arc<Self>) -> (Place, Arc<Notify>) {
        loop {
            let verdict = lobby.room().verdict(Instant::now());
            match verdict {
                Verdict::Enter => {
                    let (id, close) = lobby.room().enter(Instant::now());
                    let lobby = Arc::clone(lobby);
                    return (Place { lobby, id }, close);
                }
                Verdict::Close(id) => lobby.room().close(id),
                Verdict::Wait(until) => {
                    let _ = tokio::time::timeout_at(until.into(), lobby.left.notified()).await;
                }
            }
        }
    }
}

/// One connection's place in the room, given back when it is dropped.
struct Place {
    lobby: Arc<Lobby>,
    id: u64,
}

impl Place {
    fn note(&self, phase: Phase) {
        self.lobby.room().note(self.id, phase, Instant::now());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lobby.room().leave(self.id);
        self.lobby.left.notify_one();
    }
}

async fn connection(stream: TcpStream, peer: Peer, door: &Door, handler: &impl Handler, place: &Place) {
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    let stream = Timed::new(stream, door.answer);
    match &door.tls {
        None => http(stream, peer, door, handler, place).await,
        Some(tls) => match tokio::time::timeout(door.head, tls.accept(stream)).await {
            Ok(Ok(stream)) => http(stream, peer, door, handler, place).await,
            Ok(Err(error)) => log::debug!("{}: TLS handshake failed: {error}", door.name),
            Err(_) => log::debug!("{}: TLS handshake took too long", door.name),
        },
    }
}

async fn http(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: Peer,
    door: &Door,
    handler: &impl Handler,
    place: &Place,
) {
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| async move {
        request.extensions_mut().insert(peer);
        place.note(Phase::Body);
        let answer = handler.answer(request, || place.note(Phase::Working)).await;
        place.note(Phase::Idle);
        Ok::<_, Infallible>(answer)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(door.head)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        log::debug!("connection ended: {error}");
    }
}

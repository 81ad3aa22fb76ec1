//! Accepting connections and serving HTTP on them.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::room::{Phase, Room, Verdict};
use super::timed::Timed;
use super::{Port, request};

/// Bytes of a request's head, answered with 431 above that.
const HEAD_BYTES: usize = 16 * 1024;
/// Header fields of a request, answered with 431 above that.
const HEAD_FIELDS: usize = 64;

/// Accepts until the task is dropped.
pub(in crate::forward) async fn serve(socket: TcpListener, port: Port) {
    let lobby = Arc::new(Lobby {
        room: Mutex::new(Room::new(port.limits.connections)),
        left: Notify::new(),
    });
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                let (place, close) = Lobby::enter(&lobby).await;
                let port = port.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = connection(stream, port, &place) => {}
                        () = close.notified() => log::debug!("a connection gave way to a new one"),
                    }
                });
            }
            Err(error) => {
                log::warn!("{}: a connection could not be accepted: {error}", port.source);
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

async fn connection(stream: TcpStream, port: Port, place: &Place) {
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    let stream = Timed::new(stream, port.limits.answer);
    match port.tls.clone() {
        None => http(stream, port, place).await,
        Some(tls) => match tokio::time::timeout(port.limits.head, tls.accept(stream)).await {
            Ok(Ok(stream)) => http(stream, port, place).await,
            Ok(Err(error)) => log::debug!("{}: TLS handshake failed: {error}", port.source),
            Err(_) => log::debug!("{}: TLS handshake took too long", port.source),
        },
    }
}

async fn http(stream: impl AsyncRead + AsyncWrite + Unpin, port: Port, place: &Place) {
    let head = port.limits.head;
    let port = &port;
    let service = hyper::service::service_fn(move |request| async move {
        place.note(Phase::Body);
        let answer = request::answer(request, port, || place.note(Phase::Working)).await;
        place.note(Phase::Idle);
        Ok::<_, Infallible>(answer)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        log::debug!("connection ended: {error}");
    }
}

//! Makes the connection to a destination: resolve, connect and, through a proxy, ask it to go on. Each step has its own
//! time; each failure names who failed.

use std::net::SocketAddr;
use std::time::Duration;

use netfw::model::Host;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

use super::password::Password;
use super::route::{Hop, Route, Way};
use super::socks::{self, Method};
use super::trouble::{Cause, ReadError, Trouble};
use super::tunnel::WINDOW;
use super::{Malformed, Patience, http};
use crate::site::{ProxyKind, Target};

/// How many addresses of one name are tried.
const MOST_ADDRESSES: usize = 4;

/// A connection to the destination.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) stream: TcpStream,
    /// What the destination has said already.
    pub(super) first: Vec<u8>,
}

/// Connects to the destination of `route`.
///
/// # Errors
/// Which station of the way failed, and why.
pub(super) async fn reach(route: &Route, patience: &Patience) -> Result<Reached, Trouble> {
    let window = route.rate_limit.map(|_| WINDOW);
    let attempt = async {
        match &route.way {
            Way::Direct => {
                let stream = connect(&route.target, window, patience).await?;
                let first = Vec::new();
                Ok(Reached { stream, first })
            }
            Way::Through(hop) => through(hop, &route.target, window, patience).await,
        }
    };
    attempt.await.map_err(|cause| Trouble {
        at: route.first_station(),
        cause,
    })
}

async fn through(
    hop: &Hop,
    target: &Target,
    window: Option<u32>,
    patience: &Patience,
) -> Result<Reached, Cause> {
    let password = match &hop.proxy.user {
        None => None,
        Some(_) => Some(Password::read(&hop.password).map_err(|why| Cause::Password {
            file: hop.proxy.password_file(),
            why,
        })?),
    };
    let credentials = hop.proxy.user.as_deref().zip(password.as_ref());
    let mut stream = connect(&hop.proxy.target, window, patience).await?;
    let ask = async {
        match hop.proxy.kind {
            ProxyKind::Http => ask_http(&mut stream, target, credentials).await,
            ProxyKind::Socks5 => ask_socks(&mut stream, target, credentials).await,
        }
    };
    let first = timeout(patience.answer, ask).await.map_err(|_| Cause::Silent)??;
    Ok(Reached { stream, first })
}

/// A TCP connection; the addresses of a name are tried in turn, for as long as one may take in all. The kernel takes no
/// more than `window` bytes ahead.
async fn connect(target: &Target, window: Option<u32>, patience: &Patience) -> Result<TcpStream, Cause> {
    let addresses = resolve(target, patience).await?;
    let attempt = async {
        let mut cause = Cause::Unresolvable;
        for address in addresses {
            match open(address, window).await {
                Ok(stream) => return Ok(stream),
                Err(error) => cause = Cause::of_connect(&error),
            }
        }
        Err(cause)
    };
    let stream = timeout(patience.connect, attempt)
        .await
        .map_err(|_| Cause::Unreachable)??;
    keep_alive(&stream);
    Ok(stream)
}

async fn open(address: SocketAddr, window: Option<u32>) -> std::io::Result<TcpStream> {
    let Some(window) = window else {
        return TcpStream::connect(address).await;
    };
    // `resolve` gives IPv4 only; a literal of the site is what it is.
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Before connecting: the window's scale is told with the first packet (tcp(7)).
    socket.set_recv_buffer_size(window)?;
    socket.connect(address).await
}

async fn resolve(target: &Target, patience: &Patience) -> Result<Vec<SocketAddr>, Cause> {
    let name = match &target.host {
        Host::Ip(address) => return Ok(vec![SocketAddr::new(*address, target.port)]),
        Host::Name(name) => name,
    };
    let found = timeout(patience.resolve, lookup_host((name.as_str(), target.port)))
        .await
        .map_err(|_| Cause::ResolverSilent)?
        .map_err(|_| Cause::Unresolvable)?;
    // IPv6 is off on the box.
    let found: Vec<_> = found.filter(SocketAddr::is_ipv4).take(MOST_ADDRESSES).collect();
    if found.is_empty() {
        return Err(Cause::Unresolvable);
    }
    Ok(found)
}

/// What was already said beyond the proxy's answer is returned.
async fn ask_http(
    stream: &mut TcpStream,
    target: &Target,
    credentials: Option<(&str, &Password)>,
) -> Result<Vec<u8>, Cause> {
    let with_user = credentials.is_some();
    let request = http::request(
        target,
        credentials.map(|(user, password)| (user, password.bytes())),
    );
    // A proxy that is gone shows when its answer is read.
    let _ = stream.write_all(&request).await;
    let mut buffer = Vec::new();
    loop {
        let answer = read_message(stream, &mut buffer, http::parse_answer)
            .await
            .map_err(|error| Cause::of_read(error, "HTTP"))?;
        match answer.status {
            // Interim answers (RFC 9110 §15.2); how many there are is bounded by time.
            100 | 102..=199 => {}
            200..=299 => return Ok(buffer),
            _ => return Err(Cause::of_answer(&answer, target, with_user)),
        }
    }
}

/// RFC 1928 §3, §4, §6; RFC 1929 §2.
async fn ask_socks(
    stream: &mut TcpStream,
    target: &Target,
    credentials: Option<(&str, &Password)>,
) -> Result<Vec<u8>, Cause> {
    const PROTOCOL: &str = "SOCKS 5";
    let with_user = credentials.is_some();
    let foreign = |error| Cause::of_read(error, PROTOCOL);
    let mut buffer = Vec::new();
    let _ = stream.write_all(socks::greeting(with_user)).await;
    let method = read_message(stream, &mut buffer, |bytes| socks::parse_method(bytes, with_user))
        .await
        .map_err(foreign)?;
    match (method, credentials) {
        (Method::Nothing, _) => {}
        (Method::Password, Some((user, password))) => {
            let said = "answered";
            // Lengths were checked when the site and the password were read.
            let message = socks::password(user, password.bytes()).ok_or(Cause::Credentials { said })?;
            let _ = stream.write_all(&message).await;
            match read_message(stream, &mut buffer, socks::parse_verdict).await {
                Ok(true) => {}
                // Some close the connection instead of saying no.
                Ok(false) | Err(ReadError::Closed) => return Err(Cause::Credentials { said }),
                Err(error) => return Err(foreign(error)),
            }
        }
        (Method::Unacceptable, Some(_)) => return Err(Cause::NoSocksMethod),
        (Method::Unacceptable | Method::Password, _) => return Err(Cause::NoUser { said: "answered" }),
    }
    let request = socks::request(target).ok_or(Cause::Foreign(PROTOCOL))?;
    let _ = stream.write_all(&request).await;
    match read_message(stream, &mut buffer, socks::parse_reply).await {
        Ok(0) => Ok(buffer),
        Ok(reply) => Err(Cause::of_reply(reply, target)),
        Err(error) => Err(foreign(error)),
    }
}

/// Reads until `parse` finds a whole message at the beginning of `buffer`, and takes it out. `parse` bounds it.
pub(super) async fn read_message<T>(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, Malformed>,
) -> Result<T, ReadError> {
    let mut chunk = [0; 1024];
    loop {
        if let Some((message, used)) = parse(buffer)? {
            buffer.drain(..used);
            return Ok(message);
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return Err(ReadError::Closed),
            Ok(count) => buffer.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Small writes go out at once, and a peer that vanished is noticed within two minutes though nobody speaks.
fn keep_alive(stream: &TcpStream) {
    use rustix::net::sockopt;
    let set = || {
        stream.set_nodelay(true)?;
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, Duration::from_secs(60))?;
        sockopt::set_tcp_keepintvl(stream, Duration::from_secs(15))?;
        sockopt::set_tcp_keepcnt(stream, 4)?;
        std::io::Result::Ok(())
    };
    if let Err(error) = set() {
        log::warn!("a connection cannot be watched: {error}");
    }
}

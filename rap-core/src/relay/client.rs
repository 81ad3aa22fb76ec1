//! How the box's own programs get out: a `ureq` agent that asks the relay for every connection and resolves nothing
//! itself.
//!
//! `ureq` could do that by its own proxy support, but it throws the relay's reason away and knows only its status. A
//! failure here is a [`RelayError`] inside [`ureq::Error::Other`].

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, NextTimeout, RustlsConnector, TcpConnector, Transport,
};

use super::http::{self, parse_answer};
use crate::site::Target;

/// Why the relay gave no connection.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// It does not listen, or went away; init starts it again.
    #[error("the box's own relay does not answer")]
    Away(#[source] Option<Box<ureq::Error>>),
    /// It said why.
    #[error("{reason}")]
    Refused {
        /// Its HTTP status.
        status: u16,
        /// In words a person can act on.
        reason: String,
    },
}

/// An agent with this configuration whose connections all go through the relay at `relay`. The configuration's time to
/// connect has to cover [`Patience::to_answer`](super::Patience::to_answer).
#[must_use]
pub fn agent(config: Config, relay: SocketAddr) -> Agent {
    let connector = Through::default().chain(RustlsConnector::default());
    Agent::with_parts(config, connector, Only(relay))
}

/// A connection through the relay to `target`, for what is no HTTPS. Each step of it has `step`, and the relay's answer as
/// long as the relay may take.
///
/// # Errors
/// When the relay does not give one; in its words.
pub fn connect(relay: SocketAddr, target: &Target, step: Duration) -> Result<TcpStream, RelayError> {
    let away = |error: io::Error| RelayError::Away(Some(Box::new(ureq::Error::Io(error))));
    let mut stream = TcpStream::connect_timeout(&relay, step).map_err(away)?;
    let until = Instant::now() + super::Patience::default().to_answer();
    stream.set_write_timeout(Some(step)).map_err(away)?;
    stream.write_all(&http::request(target, None)).map_err(away)?;
    let mut head = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(RelayError::Away(None));
        }
        stream.set_read_timeout(Some(left)).map_err(away)?;
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer).map_err(away)?;
        head.extend_from_slice(&buffer[..length]);
        match parse_answer(&head).map_err(|_| RelayError::Away(None))? {
            None if length == 0 => return Err(RelayError::Away(None)),
            None => {}
            // Whom we talk to waits for our first word.
            Some((answer, used)) if answer.status == 200 && used == head.len() => return Ok(stream),
            Some((answer, _)) if answer.status == 200 => return Err(RelayError::Away(None)),
            Some((answer, _)) => {
                return Err(RelayError::Refused {
                    status: answer.status,
                    reason: answer.reason,
                });
            }
        }
    }
}

/// Every name is found at the relay.
#[derive(Debug)]
pub struct Only(pub SocketAddr);

impl Resolver for Only {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(self.0);
        Ok(addresses)
    }
}

/// Connects to the relay and asks it to go on. What is chained to it sees the destination's bytes only.
#[derive(Debug, Default)]
pub struct Through(TcpConnector);

impl Connector<()> for Through {
    type Out = <TcpConnector as Connector<()>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let away = |error| other(RelayError::Away(Some(Box::new(error))));
        let Some(mut transport) = self.0.connect(details, chained).map_err(away)? else {
            return Ok(None);
        };
        send_request(&mut transport, details).map_err(away)?;
        loop {
            if !transport.maybe_await_input(details.timeout).map_err(away)? {
                return Err(other(RelayError::Away(None)));
            }
            let parsed = parse_answer(transport.buffers().input());
            match parsed.map_err(|_| other(RelayError::Away(None)))? {
                // Nothing used says that more is needed.
                None => transport.buffers().input_consume(0),
                Some((answer, used)) => {
                    transport.buffers().input_consume(used);
                    return match answer.status {
                        200 => Ok(Some(transport)),
                        status => Err(other(RelayError::Refused {
                            status,
                            reason: answer.reason,
                        })),
                    };
                }
            }
        }
    }
}

fn send_request(transport: &mut impl Transport, details: &ConnectionDetails<'_>) -> Result<(), ureq::Error> {
    let uri = details.uri;
    let (Some(host), Some(scheme)) = (uri.host(), uri.scheme_str()) else {
        return Err(ureq::Error::BadUri(uri.to_string()));
    };
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
    let Some(room) = transport.buffers().output().get_mut(..request.len()) else {
        return Err(ureq::Error::BadUri("too long".to_owned()));
    };
    room.copy_from_slice(request.as_bytes());
    transport.transmit_output(request.len(), details.timeout)
}

fn other(error: RelayError) -> ureq::Error {
    ureq::Error::Other(Box::new(error))
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::*;

    /// A relay for one connection: hears a request's head, then says each of `words` by itself.
    fn play(words: Vec<&'static [u8]>) -> (SocketAddr, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let playing = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                heard.push(byte[0]);
            }
            for word in words {
                stream.write_all(word).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
            String::from_utf8(heard).unwrap()
        });
        (address, playing)
    }

    fn get(relay: SocketAddr) -> Result<String, ureq::Error> {
        let config = Agent::config_builder()
            .timeout_connect(Some(Duration::from_millis(500)))
            .proxy(None)
            .build();
        let mut response = agent(config, relay).get("http://centre.test:8080/x").call()?;
        response.body_mut().read_to_string()
    }

    fn why(relay: SocketAddr) -> RelayError {
        match get(relay).unwrap_err() {
            ureq::Error::Other(cause) => *cause.downcast().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_name_goes_to_the_relay_and_what_follows_its_answer_is_the_destinations() {
        let (relay, playing) = play(vec![
            b"HTTP/1.1 200 Conn",
            b"ection established\r\n",
            b"\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        ]);
        assert_eq!(get(relay).unwrap(), "ok");
        let heard = playing.join().unwrap();
        let request = "CONNECT centre.test:8080 HTTP/1.1\r\nHost: centre.test:8080\r\n\r\n";
        assert_eq!(heard, request);
    }

    #[test]
    fn the_relays_reason_arrives() {
        let (relay, _) = play(vec![
            b"HTTP/1.1 502 proxy x answered 407: user na",
            b"me or password refused\r\n\r\n",
        ]);
        let error = why(relay);
        assert!(
            matches!(&error, RelayError::Refused { status: 502, .. }),
            "{error:?}"
        );
        assert_eq!(
            error.to_string(),
            "proxy x answered 407: user name or password refused"
        );
    }

    #[test]
    fn a_relay_that_is_not_there_or_says_nothing_is_away() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = why(nobody);
        assert!(
            matches!(error, RelayError::Away(_)) && error.source().is_some(),
            "{error:?}"
        );
        let (gone, _) = play(Vec::new());
        assert!(matches!(why(gone), RelayError::Away(_)));
        // The kernel takes the connection, nobody else does.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(matches!(why(silent.local_addr().unwrap()), RelayError::Away(_)));
        let (strange, _) = play(vec![b"SSH-2.0\r\n"]);
        assert_eq!(why(strange).to_string(), "the box's own relay does not answer");
    }
}

//! Records on their way to the collector: syslog over TLS (RFC 5425).
//!
//! ```text
//! TLS, both sides with certificates │ 251 <109>1 2026-… │ 198 <109>1 … │ close_notify ──►
//!                                     octet counting (4.3)               ◄── close_notify
//! ```
//!
//! The protocol has no acknowledgement. What there is: the collector's close_notify, which it owes to ours (4.4) and can
//! send only when it has read all that came before. So it has had every record then; whether they are on its disk it does
//! not say. A plain end of the connection says nothing: any proxy on the way makes one.
//!
//! Every wait has an end, and so has the whole exchange.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use netfw::model::Host;
use rustls::pki_types::{DnsName, ServerName};
use rustls::{ClientConfig, ClientConnection};

use crate::client::words::{self, Times};
use crate::forward::uplink;
use crate::relay::client;
use crate::site::{Audit, Target};

/// What the collector is called.
const PEER: &str = "the audit collector";
/// What a collector may say, in bytes, though it has nothing to say.
const CHATTER: usize = 64 << 10;

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection, and for each read or write.
    pub step: Duration,
    /// For a whole batch: connection, records, end.
    pub whole: Duration,
    /// The bound of the first pause after a failure; it doubles with each in a row.
    pub first_pause: Duration,
    /// The largest bound of a pause.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            step: Duration::from_secs(30),
            whole: Duration::from_secs(180),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(120),
        }
    }
}

impl Patience {
    pub(super) fn pauses(&self) -> uplink::Patience {
        uplink::Patience {
            step: self.step,
            first_pause: self.first_pause,
            longest_pause: self.longest_pause,
        }
    }
}

/// The way to the collector.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) target: Target,
    pub(super) patience: Patience,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    relay: Option<SocketAddr>,
    end_is_enough: bool,
}

/// Why records did not get there, or it is not known.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Relay(#[from] client::RelayError),
    #[error("{}", words::of_request(.0, &times()))]
    Line(ureq::Error),
    #[error(
        "{PEER} ends connections without close_notify (RFC 5425, 4.4): whether it has the records is not known, and they \
         are sent again. rsyslog says it with the driver ossl and not with gtls; for a collector that never does, \
         end-is-enough = true in [audit] takes a plain end for it"
    )]
    NoGoodbye,
    #[error("{PEER} does not end the connection within {} s", .0.as_secs())]
    Endless(Duration),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Line(ureq::Error::Io(error))
    }
}

fn times() -> Times {
    let here = jiff::Timestamp::now().as_second();
    Times {
        peer: PEER,
        authority: crate::provision::COLLECTOR_CA,
        here: u64::try_from(here).unwrap_or(0),
        ..Times::default()
    }
}

impl Way {
    /// The way to the site's collector; nothing is connected yet.
    ///
    /// # Errors
    /// When its name can stand in no certificate.
    pub(super) fn new(
        audit: &Audit,
        tls: Arc<ClientConfig>,
        relay: Option<SocketAddr>,
        patience: Patience,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            target: audit.collector.clone(),
            patience,
            name: server_name(audit)?,
            tls,
            relay,
            end_is_enough: audit.end_is_enough,
        })
    }

    /// Brings lines to the collector: all of them when it returns `Ok`, any part of them otherwise.
    ///
    /// # Errors
    /// In words, why it is not known that they are there.
    pub(super) fn deliver(&self, lines: &[String]) -> Result<(), String> {
        self.exchange(lines).map_err(|failure| failure.to_string())
    }

    fn exchange(&self, lines: &[String]) -> Result<(), Failure> {
        let until = Instant::now() + self.patience.whole;
        let stream = self.connect()?;
        let mut timed = Timed {
            stream,
            until,
            step: self.patience.step,
        };
        let mut tls =
            ClientConnection::new(Arc::clone(&self.tls), self.name.clone()).map_err(io::Error::other)?;
        tls.complete_io(&mut timed)?;
        let mut stream = rustls::Stream::new(&mut tls, &mut timed);
        for line in lines {
            stream.write_all(frame(line).as_bytes())?;
        }
        stream.flush()?;
        tls.send_close_notify();
        while tls.wants_write() {
            tls.write_tls(&mut timed)?;
        }
        self.hear_end(&mut tls, &mut timed)
    }

    fn connect(&self) -> Result<TcpStream, Failure> {
        if let Some(relay) = self.relay {
            return Ok(client::connect(relay, &self.target, self.patience.step)?);
        }
        let mut addresses = self.target.to_string().to_socket_addrs()?;
        let address = addresses.next().ok_or(ErrorKind::NotFound);
        let address = address.map_err(io::Error::from)?;
        Ok(TcpStream::connect_timeout(&address, self.patience.step)?)
    }

    /// Waits for the collector's close_notify.
    fn hear_end(&self, tls: &mut ClientConnection, timed: &mut Timed) -> Result<(), Failure> {
        let mut heard = 0;
        let mut buffer = [0; 4096];
        loop {
            match rustls::Stream::new(tls, timed).read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => heard += length,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && self.end_is_enough => return Ok(()),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(Failure::NoGoodbye),
                Err(error) if is_timeout(&error) => return Err(Failure::Endless(self.patience.step)),
                Err(error) => return Err(error.into()),
            }
            if heard > CHATTER {
                return Err(Failure::Endless(self.patience.whole));
            }
        }
    }
}

/// The name that the collector's certificate has to carry.
fn server_name(audit: &Audit) -> anyhow::Result<ServerName<'static>> {
    Ok(match audit.name.as_ref().unwrap_or(&audit.collector.host) {
        Host::Ip(address) => ServerName::IpAddress((*address).into()),
        Host::Name(name) => ServerName::DnsName(
            DnsName::try_from(name.clone()).with_context(|| format!("{name} can stand in no certificate"))?,
        ),
    })
}

/// `MSG-LEN SP SYSLOG-MSG` (RFC 5425, 4.3); the length in octets.
fn frame(line: &str) -> String {
    format!("{} {line}", line.len())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// A connection whose every step has an end, and so has all of it together.
#[derive(Debug)]
struct Timed {
    stream: TcpStream,
    until: Instant,
    step: Duration,
}

impl Timed {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(Some(left.min(self.step)))
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_counts_octets() {
        assert_eq!(frame("<109>1 x"), "8 <109>1 x");
        assert_eq!(frame("ä"), "2 ä");
    }
}

//! Looks at the network that the service centre may ask for: one of a closed list, at a socket of its own, one at a time.
//!
//! An instrument is asked by frames that this program makes and reads itself (`wire`), past the firewall: no rule is
//! opened for it, in no direction, and nothing but these few frames can go that way. What comes back is dropped by the
//! port's rules as ever, after it was read here.
//!
//! Invariants: a look ends within seconds, whatever comes or does not; netd's loop waits for none of them; what is told is
//! bounded and typed.

mod frame;
mod wire;

use std::net::{Ipv4Addr, ToSocketAddrs as _};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use netfw::netns::Namespace;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::wire::Wire;
use super::Place;
use super::daemon::{Daemon, Event};
use super::drops;
use super::sessions::FOLDER;
use crate::control::{self, Answer, Asked};
use crate::directive::Diagnostic;
use crate::init::users;
use crate::session::USER;

pub use self::frame::{Heard, parse};

/// The socket's name.
pub(crate) const SOCKET: &str = "look.sock";
/// How long an instrument has for one answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between one ping and the next.
const APART: Duration = Duration::from_millis(200);
/// How often a connection is tried.
const TRIES: u32 = 3;
/// Addresses of a name that are told, at most.
const MOST_ADDRESSES: usize = 16;

/// What is asked there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Take a look.
    Look {
        /// At what.
        look: Diagnostic,
    },
}

/// What netd's loop knows of a look; the rest takes time.
#[derive(Debug)]
pub(super) enum Known {
    /// All there is to tell.
    Told(Value),
    /// Where an instrument is.
    Instrument(Target),
    /// Where names are looked up.
    Names(Namespace),
}

/// An instrument and the way to it.
#[derive(Debug)]
pub(super) struct Target {
    namespace: Namespace,
    port: String,
    gateway: Ipv4Addr,
    instrument: Ipv4Addr,
}

/// Answers at the socket.
///
/// # Errors
/// When the socket cannot be made.
pub(super) fn start(place: &Place, events: SyncSender<Event>) -> anyhow::Result<()> {
    let socket = place.control.with_file_name(FOLDER).join(SOCKET);
    let take = move |it: Asked<Request>| {
        let Request::Look { look } = it.request;
        let (reply, answer) = sync_channel(1);
        let asked = events.send(Event::Look(look.clone(), reply));
        let known = asked.ok().and_then(|()| answer.recv().ok());
        let known = known.unwrap_or_else(|| Err("netd is ending; ask again in a moment".to_owned()));
        let taken = known.and_then(|known| take(&look, known));
        taken.map_or_else(Answer::Refused, Answer::Done)
    };
    control::start_for("netd", &socket, users::guest(USER), take)
}

impl Daemon<'_> {
    /// What is known of a look at once.
    ///
    /// # Errors
    /// Why it cannot be taken, in words.
    pub(super) fn know(&self, look: &Diagnostic) -> Result<Known, String> {
        let current = self.current.as_ref().map_err(Clone::clone)?;
        let machine = &self.place.machine;
        let name = match look {
            Diagnostic::Counters { instrument } => {
                let all = drops::read(machine, current);
                return Ok(Known::Told(json!({ "port": instrument.as_str(), "drops": all })));
            }
            Diagnostic::Dns { .. } => return Ok(Known::Names(machine.root.clone())),
            Diagnostic::Ping { instrument, .. } | Diagnostic::Tcp { instrument, .. } => instrument,
        };
        let port = current.network.ports.iter().find(|port| port.name == *name);
        let port = port.ok_or_else(|| format!("there is no port {name}"))?;
        Ok(Known::Instrument(Target {
            namespace: machine.port(name.as_str()),
            port: name.to_string(),
            gateway: port.address.addr(),
            instrument: port.instrument,
        }))
    }
}

/// Takes the look.
fn take(look: &Diagnostic, known: Known) -> Result<Value, String> {
    match (look, known) {
        (_, Known::Told(told)) => Ok(told),
        (Diagnostic::Dns { name }, Known::Names(root)) => resolve(name.as_str(), &root),
        (Diagnostic::Ping { count, .. }, Known::Instrument(target)) => target.ask(|wire| ping(wire, *count)),
        (Diagnostic::Tcp { port, .. }, Known::Instrument(target)) => target.ask(|wire| connect(wire, *port)),
        _ => Err("this box cannot look at that".to_owned()),
    }
}

impl Target {
    /// Finds the instrument by ARP, then asks it.
    fn ask(&self, ask: impl FnOnce(&mut Wire) -> std::io::Result<Value> + Send) -> Result<Value, String> {
        let asked = self.namespace.run(|| {
            let mut wire = Wire::open(&self.port, self.gateway, self.instrument)?;
            let stations = wire.find(PATIENCE)?;
            let Some(first) = stations.first() else {
                return Ok(None);
            };
            let said = ask(&mut wire)?;
            let others: Vec<_> = stations[1..]
                .iter()
                .map(|station| frame::text(*station))
                .collect();
            Ok(Some(json!({
                "port": self.port, "address": self.instrument, "station": frame::text(*first), "also": others,
                "said": said,
            })))
        });
        let asked: std::io::Result<_> = asked.map_err(|error| error.to_string())?;
        match asked {
            Ok(Some(told)) => Ok(told),
            Ok(None) => Err(format!(
                "nobody at {} answers to ARP for {}: is the instrument on, its cable plugged, its address right?",
                self.port, self.instrument
            )),
            Err(error) => Err(format!("{} cannot be looked at: {error}", self.port)),
        }
    }
}

fn ping(wire: &mut Wire, count: u8) -> std::io::Result<Value> {
    let mut times = Vec::new();
    for number in 0..count {
        if number > 0 {
            std::thread::sleep(APART);
        }
        times.extend(wire.echo(u16::from(number), PATIENCE)?.map(in_milliseconds));
    }
    let least = times.iter().copied().fold(f64::INFINITY, f64::min);
    let most = times.iter().copied().fold(0.0, f64::max);
    let mut said = json!({ "sent": count, "received": times.len() });
    if !times.is_empty() {
        said["milliseconds"] = json!({ "least": least, "most": most });
    }
    Ok(said)
}

fn connect(wire: &mut Wire, port: u16) -> std::io::Result<Value> {
    for _ in 0..TRIES {
        if let Some((answer, time)) = wire.connect(port, PATIENCE)? {
            return Ok(json!({ "answer": answer, "milliseconds": in_milliseconds(time) }));
        }
    }
    Ok(json!({ "answer": "none" }))
}

/// In tenths.
fn in_milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// By the name servers that the box uses itself.
fn resolve(name: &str, root: &Namespace) -> Result<Value, String> {
    let clean = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if !name.bytes().all(clean) {
        return Err(format!(
            "\"{name}\" is no host name: expected letters, digits, - and ."
        ));
    }
    let found = root
        .run(|| (name, 0).to_socket_addrs())
        .map_err(|error| error.to_string())?;
    let found = found.map_err(|error| format!("{name} is not found: {error}"))?;
    let mut addresses: Vec<_> = found.map(|address| address.ip()).collect();
    addresses.dedup();
    addresses.truncate(MOST_ADDRESSES);
    Ok(json!({ "name": name, "addresses": addresses }))
}

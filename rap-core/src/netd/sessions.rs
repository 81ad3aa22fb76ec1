//! What the session service asks of netd, at a socket of its own: the tunnel's link, exactly a ticket's ports for its
//! time, the end of both, and a new site. Nothing else of netd's can be asked there.
//!
//! Invariant: netd opens nothing that the site does not name, whoever asks; what it opens has the kernel's own timeout.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use ipnet::Ipv4Net;
use netfw::model::{Addressing, Opening, PortName};
use netfw::plan::TUNNEL;
use netfw::session;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Place;
use super::control as netd_control;
use super::daemon::{Daemon, Event};
use super::in_force::InForce;
use crate::control::{self, Answer, Asked};
use crate::init::users;
use crate::session::USER;
use crate::sys;

/// The socket's folder, beside netd's own socket, and its name.
pub(super) const FOLDER: &str = "sessions";
const SOCKET: &str = "netd.sock";
/// Openings asked for at once, at most.
const MOST: usize = 16;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Make the tunnel's link, for who asks.
    Tunnel {},
    /// Give it the box's address, and open the services of a port to who comes by it.
    Open {
        /// The port.
        port: String,
        /// Such as `tcp/5900`.
        services: Vec<String>,
        /// The box's address in the tunnel, with the length of its prefix.
        address: Ipv4Net,
        /// For how long.
        seconds: u64,
    },
    /// Close everything of a port, and take the tunnel's link away.
    Close {
        /// The port.
        port: String,
    },
    /// Put another site on trial.
    Try {
        /// Its text.
        site: String,
    },
}

/// Answers at the socket, by netd's loop.
///
/// # Errors
/// When the socket cannot be made.
pub(super) fn start(place: &Place, events: SyncSender<Event>) -> anyhow::Result<()> {
    let ask = move |it: Asked<Request>| {
        let (reply, answer) = sync_channel(1);
        let asked = events.send(Event::Session(it.request, it.user, reply));
        let answer = asked.ok().and_then(|()| answer.recv().ok());
        answer.unwrap_or_else(|| Answer::Refused("netd is ending; ask again in a moment".to_owned()))
    };
    let folder = place.control.with_file_name(FOLDER);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let socket = folder.join(SOCKET);
    control::start_for("netd", &socket, users::guest(USER), ask)
}

impl Daemon<'_> {
    /// Does what the session service asks.
    ///
    /// # Errors
    /// When the box cannot be brought back to the last good site.
    pub(super) fn answer_session(&mut self, request: Request, user: u32) -> anyhow::Result<Answer> {
        if let Request::Try { site } = request {
            let file = "the service centre's site.toml".to_owned();
            return self.answer(netd_control::Request::Try { file, site });
        }
        let done = match &self.current {
            Ok(current) => self.do_for_session(current, &request, user),
            Err(trouble) => Err(trouble.clone()),
        };
        Ok(done.map_or_else(Answer::Refused, Answer::Done))
    }

    fn do_for_session(&self, current: &InForce, request: &Request, user: u32) -> Result<Value, String> {
        match request {
            Request::Tunnel {} => self.make_tunnel(user).map(|()| json!({})),
            Request::Open {
                port,
                services,
                address,
                seconds,
            } => self
                .open(current, port, services, *address, *seconds)
                .map(|()| json!({})),
            Request::Close { port } => self.close(current, port).map(|()| json!({})),
            Request::Try { .. } => Err("a site is tried by netd's loop".to_owned()),
        }
    }

    /// A link that is there is a session's that is over.
    fn make_tunnel(&self, user: u32) -> Result<(), String> {
        let root = &self.place.machine.root;
        session::leave(&self.place.machine).map_err(in_words)?;
        let made = root.run(|| sys::make_tunnel(TUNNEL, user));
        made.map_err(in_words)?
            .map_err(|error| format!("the tunnel's link cannot be made: {error}"))
    }

    fn open(
        &self,
        current: &InForce,
        port: &str,
        services: &[String],
        address: Ipv4Net,
        seconds: u64,
    ) -> Result<(), String> {
        let machine = &self.place.machine;
        let name: PortName = port.parse().map_err(|_| format!("there is no port {port:?}"))?;
        let described = current
            .network
            .ports
            .iter()
            .find(|described| described.name == name);
        let described = described.ok_or_else(|| format!("there is no port {port}"))?;
        let openings: Option<Vec<Opening>> = services
            .iter()
            .take(MOST)
            .map(|text| {
                let mut remote = described.remote.iter();
                remote.find(|opening| opening.to_string() == *text).copied()
            })
            .collect();
        if let Some(net) = self.taken(current).into_iter().find(|net| overlap(net, &address)) {
            return Err(format!("the tunnel's {address} overlaps {net} of this box"));
        }
        let openings = openings.ok_or_else(|| format!("not all of {services:?} may be opened at {port}"))?;
        let time = Duration::from_secs(seconds);
        session::join(machine, address).map_err(in_words)?;
        session::open(machine, &current.network, &name, &openings, time).map_err(in_words)?;
        log::info!(
            "opened {} of {port} to the tunnel for {seconds} s",
            services.join(", ")
        );
        Ok(())
    }

    /// The networks that are behind other links.
    fn taken(&self, current: &InForce) -> Vec<Ipv4Net> {
        let network = &current.network;
        let mut taken: Vec<_> = network.ports.iter().map(|port| port.address).collect();
        taken.extend(network.sessions);
        match &network.uplink.addressing {
            Addressing::Static { address, .. } => taken.push(*address),
            Addressing::Dhcp => taken.extend(self.leased()),
        }
        taken
    }

    /// The openings first: without them the tunnel leads nowhere.
    fn close(&self, current: &InForce, port: &str) -> Result<(), String> {
        let machine = &self.place.machine;
        let name: PortName = port.parse().map_err(|_| format!("there is no port {port:?}"))?;
        match session::close(machine, &current.network, &name) {
            // A new site may have no sessions there any more: then its tables are gone.
            Ok(()) | Err(session::Error::NoRemote { .. }) => {}
            Err(error) => return Err(in_words(error)),
        }
        session::leave(machine).map_err(in_words)
    }
}

fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

fn in_words(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

//! The sockets of the ports, ingest and local page: opened inside their namespaces, kept by init, used by services that
//! are outside.
//!
//! Invariant: what init keeps under a port's name is a socket at that port's address in that port's namespace, or
//! nothing.

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use netfw::Machine;
use netfw::netns::Namespace;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::notify::{Notifier, inherited_sockets};
use crate::site::{PAGE_PORT, Port};
use crate::sys;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;
/// What the names of these sockets begin with; the port's name follows.
const KINDS: [&str; 2] = ["ingest@", "web@"];

/// The sockets that init keeps, by name.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    kept: BTreeMap<String, TcpListener>,
    lacking: bool,
}

impl Sockets {
    /// Those that init gave back to this process.
    pub(super) fn inherited() -> Self {
        let ours = inherited_sockets()
            .into_iter()
            .filter(|(name, _)| KINDS.iter().any(|kind| name.starts_with(kind)));
        Self {
            kept: ours.map(|(name, socket)| (name, socket.into())).collect(),
            lacking: false,
        }
    }

    /// Sees to it that init keeps one socket of each kind a port, and no other. Says what it could not do.
    pub(super) fn settle(&mut self, machine: &Machine, ports: &[Port], notifier: &Notifier) -> Vec<String> {
        self.kept.retain(|name, _| {
            let wanted = ports.iter().flat_map(doors).any(|(wanted, _)| wanted == *name);
            if !wanted {
                notifier.forget(name);
            }
            wanted
        });
        let mut problems = Vec::new();
        for port in ports {
            let namespace = machine.port(port.name.as_str());
            for (name, address) in doors(port) {
                if let Err(error) = self.settle_one(&namespace, name, address, notifier) {
                    problems.push(format!("{}: {error:#}", port.name));
                }
            }
        }
        self.lacking = !problems.is_empty();
        problems
    }

    /// Whether a socket could not be opened when they were settled.
    pub(super) fn lacking(&self) -> bool {
        self.lacking
    }

    fn settle_one(
        &mut self,
        namespace: &Namespace,
        name: String,
        address: SocketAddrV4,
        notifier: &Notifier,
    ) -> anyhow::Result<()> {
        if let Some(kept) = self.kept.get(&name) {
            if is_at(kept, address, namespace) {
                return Ok(());
            }
            self.kept.remove(&name);
            notifier.forget(&name);
        }
        // In use: by the service that got it before and is about to be restarted. The next look opens it.
        let socket = namespace
            .run(|| bind(address))?
            .with_context(|| format!("cannot listen at {address}"))?;
        notifier.store(&name, socket.as_fd());
        self.kept.insert(name, socket);
        Ok(())
    }
}

/// The sockets of a port, by name.
fn doors(port: &Port) -> [(String, SocketAddrV4); 2] {
    let [ingest, page] = KINDS.map(|kind| format!("{kind}{}", port.name));
    let at = |number| SocketAddrV4::new(port.address.addr(), number);
    [(ingest, at(port.ingest_port())), (page, at(PAGE_PORT))]
}

fn is_at(socket: &TcpListener, address: SocketAddrV4, namespace: &Namespace) -> bool {
    let inside = || -> Option<bool> {
        let found = rustix::fs::fstat(sys::socket_namespace(socket).ok()?).ok()?;
        let wanted = rustix::fs::fstat(namespace.open().ok()?).ok()?;
        Some((found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino))
    };
    matches!(socket.local_addr(), Ok(found) if found == SocketAddr::V4(address)) && inside() == Some(true)
}

/// The address need not be there yet: a card that is plugged in later finds its service waiting.
fn bind(address: SocketAddrV4) -> Result<TcpListener, Errno> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_ip_freebind(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

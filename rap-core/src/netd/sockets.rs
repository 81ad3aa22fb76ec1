//! The ingest sockets of the ports: opened inside their namespaces, kept by init, used by a service that is outside.
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
use crate::site::Port;
use crate::sys;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;
/// What the names of these sockets begin with.
const PREFIX: &str = "ingest@";

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
            .filter(|(name, _)| name.starts_with(PREFIX));
        Self {
            kept: ours.map(|(name, socket)| (name, socket.into())).collect(),
            lacking: false,
        }
    }

    /// Sees to it that init keeps one socket a port, and no other. Says what it could not do.
    pub(super) fn settle(&mut self, machine: &Machine, ports: &[Port], notifier: &Notifier) -> Vec<String> {
        self.kept.retain(|name, _| {
            let wanted = ports.iter().any(|port| socket_name(port) == *name);
            if !wanted {
                notifier.forget(name);
            }
            wanted
        });
        let mut problems = Vec::new();
        for port in ports {
            if let Err(error) = self.settle_one(&machine.port(port.name.as_str()), port, notifier) {
                problems.push(format!("{}: no ingest: {error:#}", port.name));
            }
        }
        self.lacking = !problems.is_empty();
        problems
    }

    /// Whether a socket could not be opened when they were settled.
    pub(super) fn lacking(&self) -> bool {
        self.lacking
    }

    fn settle_one(&mut self, namespace: &Namespace, port: &Port, notifier: &Notifier) -> anyhow::Result<()> {
        let name = socket_name(port);
        let address = SocketAddrV4::new(port.address.addr(), port.ingest_port());
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

fn socket_name(port: &Port) -> String {
    format!("{PREFIX}{}", port.name)
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

//! The ingest socket of a port: opened inside its namespace, used by a service that is outside.

use std::net::{SocketAddrV4, TcpListener};

use anyhow::Context as _;
use netfw::netns::Namespace;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::network::ingest_port;
use crate::site::Port;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// What became of opening.
#[derive(Debug)]
pub(super) enum Socket {
    /// A listening socket.
    New(TcpListener),
    /// The address is in use: by the socket that an earlier netd opened and init keeps.
    Kept,
}

/// Opens the socket at the port's gateway address. The address need not be there yet: a card that is plugged in
/// later finds its service waiting.
pub(super) fn open(namespace: &Namespace, port: &Port) -> anyhow::Result<Socket> {
    let address = SocketAddrV4::new(port.address.addr(), ingest_port(port));
    match namespace.run(|| bind(address))? {
        Ok(socket) => Ok(Socket::New(socket)),
        Err(Errno::ADDRINUSE) => Ok(Socket::Kept),
        Err(error) => Err(error).with_context(|| format!("cannot listen at {address}")),
    }
}

fn bind(address: SocketAddrV4) -> rustix::io::Result<TcpListener> {
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

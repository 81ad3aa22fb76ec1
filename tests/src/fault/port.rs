//! A port that stays one's own while nobody listens on it.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A socket that is bound and does not listen: connections to its address are refused, and the kernel gives the port to
/// nobody who asks for any. Who binds the address with `SO_REUSEADDR`, as servers do, may listen on it (socket(7)).
#[derive(Debug)]
pub struct Port {
    socket: TcpSocket,
    address: SocketAddr,
}

impl Port {
    /// Takes `address`, with port 0 a free one.
    ///
    /// # Errors
    /// When somebody listens there.
    pub fn take(address: SocketAddr) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// A free one of 127.0.0.1.
    ///
    /// # Errors
    /// When there is none.
    pub fn free() -> io::Result<Self> {
        Self::take(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Which.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens on it, from within a runtime.
    ///
    /// # Errors
    /// When somebody does already.
    pub(super) fn listen(self, backlog: u32) -> io::Result<tokio::net::TcpListener> {
        self.socket.listen(backlog)
    }
}

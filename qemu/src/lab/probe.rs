//! What somebody on a host sees when he tries a door: TCP, UDP, ICMP, forged packets.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto};

use super::Host;
use crate::{Error, Result};

/// The answer at a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It opened: a TCP handshake, or a reply to a datagram.
    Open,
    /// Refused by the host: a TCP reset, or ICMP port unreachable.
    Refused,
    /// Refused on the way: ICMP unreachable or administratively prohibited, or no such station.
    Unreachable,
    /// Not a word.
    Silent,
}

impl Verdict {
    fn of(error: &io::Error) -> Option<Self> {
        match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Some(Self::Refused),
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Some(Self::Unreachable),
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Some(Self::Silent),
            _ if error.raw_os_error() == Some(Errno::PROTO.raw_os_error()) => Some(Self::Unreachable),
            _ => None,
        }
    }
}

impl Host {
    /// Tries a TCP connection to `address` for at most `patience`.
    ///
    /// # Errors
    /// Only for faults of the lab itself.
    pub fn try_tcp(&self, address: impl Into<SocketAddr>, patience: Duration) -> Result<Verdict> {
        let address = address.into();
        match self.run(|| TcpStream::connect_timeout(&address, patience))? {
            Ok(_) => Ok(Verdict::Open),
            Err(error) => Verdict::of(&error).ok_or(Error::Network("try a TCP connection", error)),
        }
    }

    /// Sends one datagram to `address` and waits for a reply for at most `patience`.
    ///
    /// # Errors
    /// Only for faults of the lab itself.
    pub fn try_udp(&self, address: SocketAddrV4, payload: &[u8], patience: Duration) -> Result<Verdict> {
        let exchange = || {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect(address)?;
            socket.set_read_timeout(Some(patience))?;
            socket.send(payload)?;
            socket.recv(&mut [0; 2048])
        };
        match self.run(exchange)? {
            Ok(_) => Ok(Verdict::Open),
            Err(error) => Verdict::of(&error).ok_or(Error::Network("try a datagram", error)),
        }
    }

    /// Whether `address` answers one of three pings within three seconds. IPv6 with a zone works too: `fe80::1%eth0`.
    ///
    /// # Errors
    /// When `ping` is missing.
    pub fn pings(&self, address: &str) -> Result<bool> {
        let mut ping = Command::new("ping");
        ping.args(["-n", "-q", "-c", "3", "-i", "0.2", "-w", "3", address]);
        let output = self.output(ping)?;
        // It succeeds when at least one reply came.
        Ok(output.status.success())
    }

    /// Sends one UDP datagram whose source address is `source`, whatever this host's own addresses are.
    ///
    /// # Errors
    /// When the packet cannot be sent.
    pub fn send_forged(&self, source: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Result<()> {
        let send = || {
            let packet = udp_packet(source, to, payload)?;
            // IPPROTO_RAW: the header is ours (raw(7)).
            let socket = rustix::net::socket_with(
                AddressFamily::INET,
                SocketType::RAW,
                SocketFlags::CLOEXEC,
                Some(ipproto::RAW),
            )?;
            rustix::net::sendto(&socket, &packet, SendFlags::empty(), &to)?;
            Ok(())
        };
        self.run(send)?
            .map_err(|e| Error::Network("send a forged packet", e))
    }

    /// Tries every TCP port in `ports` of `address` and returns all that were not [`Verdict::Silent`], by port.
    /// Up to 400 tries at a time, each for `patience`.
    ///
    /// # Errors
    /// Only for faults of the lab itself.
    pub fn scan_tcp(
        &self,
        address: Ipv4Addr,
        ports: impl IntoIterator<Item = u16> + Send,
        patience: Duration,
    ) -> Result<BTreeMap<u16, Verdict>> {
        let ports: Vec<u16> = ports.into_iter().collect();
        let scan = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(scan(address, &ports, patience))
        };
        self.run(scan)?.map_err(|e| Error::Network("scan ports", e))
    }
}

async fn scan(address: Ipv4Addr, ports: &[u16], patience: Duration) -> io::Result<BTreeMap<u16, Verdict>> {
    const AT_ONCE: usize = 400;
    let mut found = BTreeMap::new();
    for batch in ports.chunks(AT_ONCE) {
        let mut tries = tokio::task::JoinSet::new();
        for &port in batch {
            tries.spawn(async move {
                let connecting = tokio::net::TcpStream::connect((address, port));
                let verdict = match tokio::time::timeout(patience, connecting).await {
                    Ok(Ok(_)) => Ok(Verdict::Open),
                    Ok(Err(error)) => Verdict::of(&error).ok_or(error),
                    Err(_) => Ok(Verdict::Silent),
                };
                (port, verdict)
            });
        }
        for (port, verdict) in tries.join_all().await {
            let verdict = verdict?;
            if verdict != Verdict::Silent {
                found.insert(port, verdict);
            }
        }
    }
    Ok(found)
}

/// IPv4 (RFC 791 §3.1) and UDP (RFC 768) without a UDP checksum; the kernel fills in length, id and the header's
/// checksum (raw(7)).
fn udp_packet(source: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(8 + payload.len()).map_err(io::Error::other)?;
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend(source.ip().octets());
    packet.extend(to.ip().octets());
    for field in [source.port(), to.port(), length, 0] {
        packet.extend(field.to_be_bytes());
    }
    packet.extend(payload);
    Ok(packet)
}

//! A namespace of the box, from inside: who hears what the rules let in, and a mouth that says whatever it is told.
//!
//! An ear is a raw socket: it gets what has passed the input chain, whether a program listens on that port or not
//! (`net/ipv4/ip_input.c`, `ip_protocol_deliver_rcu`). The mouth's packets go through the output chain as any
//! program's do (`net/ipv4/raw.c`, `raw_send_hdrinc`).

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use netfw::netns::Namespace;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recvfrom, sendto,
    socket_with, sockopt,
};

use crate::netfilter::Netfilter;
use crate::packet::{self, Heard, Live};

/// Room for whatever a batch can make.
const BUFFER: usize = 8 << 20;

/// One namespace.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) name: String,
    pub(crate) namespace: Namespace,
    mouths: [OwnedFd; 2],
    pub(crate) netfilter: Netfilter,
    ears: Vec<Ear>,
    /// Programs that listen: their answers have to get out as well.
    tcp: Vec<OwnedFd>,
    udp: Vec<UdpSocket>,
    connections: Vec<OwnedFd>,
}

#[derive(Debug)]
struct Ear {
    protocol: u8,
    ipv6: bool,
    socket: OwnedFd,
}

impl Inside {
    /// Opens ears, and listeners on all of `ports`, in a namespace that is there.
    pub(crate) fn new(name: impl Into<String>, namespace: Namespace, ports: &[u16]) -> Self {
        let opened = namespace.run(|| {
            // Nobody is asked twice: what comes late would be taken for an answer to something else.
            std::fs::write("/proc/sys/net/ipv4/tcp_synack_retries", "0").unwrap();
            let mouth = |family| raw(family, ipproto::RAW);
            let mouths = [mouth(AddressFamily::INET), mouth(AddressFamily::INET6)];
            sockopt::set_socket_broadcast(&mouths[0], true).unwrap();
            let tcp: Vec<_> = ports.iter().map(|port| tcp_listener(*port)).collect();
            let udp: Vec<_> = ports.iter().map(|port| udp_listener(*port)).collect();
            (mouths, ears(), tcp, udp, Netfilter::open())
        });
        let (mouths, ears, tcp, udp, netfilter) = opened.unwrap();
        Self {
            name: name.into(),
            namespace,
            mouths,
            netfilter,
            ears,
            tcp,
            udp,
            connections: Vec::new(),
        }
    }

    /// Sends an IP packet as it is, on the way that leads to `via`.
    pub(crate) fn speak(&self, via: IpAddr, packet: &[u8]) -> Result<(), Errno> {
        let mouth = &self.mouths[usize::from(via.is_ipv6())];
        sendto(mouth, packet, SendFlags::empty(), &SocketAddr::new(via, 0)).map(|_| ())
    }

    /// Everything that got in, in no particular order. Listeners answer.
    pub(crate) fn hear(&mut self, live: &Live) -> Vec<Heard> {
        let mut heard = Vec::new();
        for ear in &self.ears {
            while let Some((source, packet)) = receive(&ear.socket) {
                heard.extend(match (ear.ipv6, source) {
                    (false, _) => packet::read(&packet, live),
                    // Without its header: to whom it was sent is not said.
                    (true, source) => packet::read_transport(
                        source,
                        Ipv6Addr::UNSPECIFIED.into(),
                        ear.protocol,
                        &packet,
                        live,
                    ),
                });
            }
        }
        for listener in &self.tcp {
            while let Ok(connection) = rustix::net::accept(listener) {
                // So that it ends at once and says nothing later.
                sockopt::set_socket_linger(&connection, Some(Duration::ZERO)).unwrap();
                self.connections.push(connection);
            }
        }
        let mut buffer = [0; 4096];
        for listener in &self.udp {
            loop {
                match listener.recv_from(&mut buffer) {
                    Ok((length, sender)) => {
                        // An answer is not answered.
                        if length > 4 && buffer[4] != packet::ANSWER && sender.port() != 0 {
                            buffer[4] = packet::ANSWER;
                            // Refused by the rules, or nobody to send to: then it is not heard, which is the finding.
                            let _ = listener.send_to(&buffer[..length], sender);
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // An ICMP error about an answer sent before.
                    Err(_) => {}
                }
            }
        }
        heard
    }

    /// Forgets connections that were accepted.
    pub(crate) fn hang_up(&mut self) {
        self.connections.clear();
    }
}

fn ears() -> Vec<Ear> {
    let ear = |family, protocol: Protocol, number| {
        let socket = raw(family, protocol);
        sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER).unwrap();
        Ear {
            protocol: number,
            ipv6: family == AddressFamily::INET6,
            socket,
        }
    };
    vec![
        ear(AddressFamily::INET, ipproto::ICMP, 1),
        ear(AddressFamily::INET, ipproto::TCP, 6),
        ear(AddressFamily::INET, ipproto::UDP, 17),
        ear(AddressFamily::INET, ipproto::GRE, 47),
        ear(AddressFamily::INET6, ipproto::TCP, 6),
        ear(AddressFamily::INET6, ipproto::UDP, 17),
        ear(AddressFamily::INET6, ipproto::ICMPV6, 58),
    ]
}

fn raw(family: AddressFamily, protocol: Protocol) -> OwnedFd {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    socket_with(family, SocketType::RAW, flags, Some(protocol)).unwrap()
}

fn tcp_listener(port: u16) -> OwnedFd {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET6, SocketType::STREAM, flags, None).unwrap();
    sockopt::set_ipv6_v6only(&socket, false).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    rustix::net::bind(&socket, &SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)).unwrap();
    rustix::net::listen(&socket, 1024).unwrap();
    socket
}

fn udp_listener(port: u16) -> UdpSocket {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET6, SocketType::DGRAM, flags, None).unwrap();
    sockopt::set_ipv6_v6only(&socket, false).unwrap();
    rustix::net::bind(&socket, &SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)).unwrap();
    socket.into()
}

fn receive(socket: &OwnedFd) -> Option<(IpAddr, Vec<u8>)> {
    let mut buffer = vec![0; 4096];
    let (length, _, sender) = recvfrom(socket, &mut buffer, RecvFlags::empty()).ok()?;
    buffer.truncate(length);
    let sender = sender
        .map(SocketAddr::try_from)
        .and_then(Result::ok)
        .map_or(Ipv4Addr::UNSPECIFIED.into(), |sender| sender.ip());
    Some((sender, buffer))
}

//! What really passes an interface of a host, packet by packet (packet(7)).
//!
//! A card of the lab may hand over several segments as one (GSO), which shows as one long packet. Where lengths matter,
//! the lab makes its links split them first: a tagged uplink, and every link on a narrow path ([`super::Layout`]).
//! What comes in a burst longer than the kernel keeps for us is missing: 8 MiB as root, much less as a user.

use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::Host;
use crate::{Error, Result, sys};

/// Enough for the headers; how long a packet is stands in them.
const HEAD: usize = 256;
/// What the kernel may keep for us, in bytes, with its own book-keeping.
const KEPT: usize = 8 << 20;
/// How soon a capture that is dropped ends.
const BEAT: Duration = Duration::from_millis(100);

/// A packet that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// The Ethernet address it came from.
    pub sender: [u8; 6],
    /// What its IPv4 header says; nothing of any other protocol.
    pub ip: Option<Ip>,
}

/// What an IPv4 header says (RFC 791 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ip {
    /// From.
    pub source: Ipv4Addr,
    /// To.
    pub destination: Ipv4Addr,
    /// The protocol's number: 1 ICMP, 6 TCP, 17 UDP.
    pub protocol: u8,
    /// The whole packet's length in bytes.
    pub length: u16,
    /// Of an ICMP message "fragmentation needed": the MTU it names (RFC 1191 §4).
    pub too_big: Option<u16>,
}

/// Everything that has passed an interface, in both directions, since the capture began.
#[derive(Debug)]
pub struct Capture {
    heard: Arc<Heard>,
    end: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Heard {
    socket: File,
    packets: Mutex<Vec<Packet>>,
}

impl Host {
    /// Begins to note what passes `interface`.
    ///
    /// # Errors
    /// When there is no such interface, or no right to listen.
    pub fn capture(&self, interface: &str) -> Result<Capture> {
        let socket = self.run(|| sys::listen_to_frames(interface))?;
        let socket = socket.map_err(|e| Error::Network("listen to an interface's packets", e))?;
        // Refused to a user, who has the usual size then.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, KEPT);
        let heard = Arc::new(Heard {
            socket: File::from(socket),
            packets: Mutex::default(),
        });
        let capture = Capture {
            heard: Arc::clone(&heard),
            end: Arc::default(),
        };
        let end = Arc::clone(&capture.end);
        thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                heard.wait();
                drop(heard.take_in());
            }
        });
        Ok(capture)
    }
}

impl Capture {
    /// What has passed until now.
    #[must_use]
    pub fn packets(&self) -> Vec<Packet> {
        self.heard.take_in().clone()
    }

    /// The IPv4 headers of what has passed until now.
    #[must_use]
    pub fn ip(&self) -> Vec<Ip> {
        let packets = self.packets();
        packets.into_iter().filter_map(|packet| packet.ip).collect()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
    }
}

impl Heard {
    /// Reads all that the kernel has kept for us.
    fn take_in(&self) -> MutexGuard<'_, Vec<Packet>> {
        // Packets are added whole: a panic elsewhere leaves the list as good as before.
        let mut packets = self.packets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut head = [0; HEAD];
        while let Ok(length @ 1..) = (&self.socket).read(&mut head) {
            packets.extend(Packet::parse(&head[..length]));
        }
        packets
    }

    fn wait(&self) {
        let beat = Timespec::try_from(BEAT).unwrap_or_default();
        // Whatever comes of it, reading tells.
        let _ = rustix::event::poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&beat));
    }
}

impl Packet {
    fn parse(frame: &[u8]) -> Option<Self> {
        let (_receiver, rest) = frame.split_first_chunk::<6>()?;
        let (&sender, rest) = rest.split_first_chunk()?;
        let ip = rest.strip_prefix(&[0x08, 0x00]).and_then(Ip::parse);
        Some(Self { sender, ip })
    }
}

impl Ip {
    fn parse(packet: &[u8]) -> Option<Self> {
        let header: &[u8; 20] = packet.first_chunk()?;
        let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
        let protocol = header[9];
        let payload = packet.get(usize::from(header[0] & 0x0f) * 4..)?;
        let too_big = match payload {
            // Type 3 code 4; checksum, unused, MTU.
            [3, 4, _, _, _, _, high, low, ..] if protocol == 1 => Some(u16::from_be_bytes([*high, *low])),
            _ => None,
        };
        Some(Self {
            source: address(12),
            destination: address(16),
            protocol,
            length: u16::from_be_bytes([header[2], header[3]]),
            too_big,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ICMP "fragmentation needed", MTU 1280, of 10.9.0.1 to 10.9.0.2; its quoted packet is left out.
    const TOO_BIG: &[u8] = b"rrrrrrssssss\x08\x00\
        \x45\x00\x02\x40\x00\x00\x00\x00\x40\x01\x00\x00\x0a\x09\x00\x01\x0a\x09\x00\x02\
        \x03\x04\x00\x00\x00\x00\x05\x00";

    #[test]
    fn an_icmp_message_tells_the_mtu_it_names() {
        let ip = Ip {
            source: [10, 9, 0, 1].into(),
            destination: [10, 9, 0, 2].into(),
            protocol: 1,
            length: 576,
            too_big: Some(1280),
        };
        let expected = Packet {
            sender: *b"ssssss",
            ip: Some(ip),
        };
        assert_eq!(Packet::parse(TOO_BIG), Some(expected));
    }

    #[test]
    fn what_is_cut_short_or_of_another_protocol_is_no_ip() {
        for length in 12..34 {
            let packet = Packet::parse(&TOO_BIG[..length]).unwrap();
            assert_eq!(packet.ip, None, "{length} bytes");
        }
        assert_eq!(Packet::parse(&TOO_BIG[..11]), None);
        let packet = Packet::parse(b"rrrrrrssssss\x86\xddabcdefghijklmnopqrstuvwxyz").unwrap();
        assert_eq!(packet.ip, None);
    }
}

//! A cable of the box whose other end is in this program, and the hosts there.
//!
//! A frame that is written has gone through the box's rules when the write returns: the kernel takes it in on the
//! writer's time (`drivers/net/tun.c`, `tun_get_user`). Hosts answer what real ones would: ARP and neighbour discovery
//! for their own addresses, connections, datagrams and pings; and they hang up connections they never asked for.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};

use crate::packet::{self, Body, Heard, Live, Packet};
use crate::sys::Cable;

/// An Ethernet address.
pub(crate) type Station = [u8; 6];

pub(crate) const EVERYBODY: Station = [0xff; 6];

/// The types of frames (IEEE 802 numbers).
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const VLAN: u16 = 0x8100;
const IPV6: u16 = 0x86dd;

/// Somebody at the far end.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) name: &'static str,
    pub(crate) station: Station,
    /// The first of each version is the one it sends from.
    pub(crate) addresses: Vec<IpAddr>,
    /// Whether it takes packets for others, as a router does.
    pub(crate) routes: bool,
}

/// One cable.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) name: String,
    pub(crate) hosts: Vec<Host>,
    /// The box's end.
    pub(crate) station: Station,
    /// The box's address there.
    pub(crate) own: Option<Ipv4Addr>,
    cable: Cable,
    file: File,
    vlan: Option<u16>,
    /// What came that belongs to no case.
    pub(crate) strays: Vec<Stray>,
    /// Whose ARP answers came.
    pub(crate) arp: Vec<(Ipv4Addr, Station)>,
}

/// How hosts behave towards a case, when not as usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// They answer nothing.
    AnswersNothing,
    /// They keep connections they did not ask for.
    HangsNothingUp,
}

/// Cases with a mood of their own.
pub(crate) type Moods = HashMap<u16, Mood>;

/// A packet of a case that came out of the box.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// Whether its frame was for the host that has its address or routes to it, or for a group.
    pub(crate) arrives: bool,
    pub(crate) heard: Heard,
}

/// Something the box said that belongs to no case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stray {
    /// An ICMPv6 message of this type.
    Icmpv6(u8),
    /// Anything else.
    Other(String),
}

impl Host {
    pub(crate) fn ipv4(&self) -> Ipv4Addr {
        let found = self.addresses.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        });
        found.unwrap_or_else(|| panic!("{} has no IPv4 address", self.name))
    }
}

impl Wire {
    pub(crate) fn new(
        name: impl Into<String>,
        file: File,
        cable: Cable,
        vlan: Option<u16>,
        station: Station,
        own: Option<Ipv4Addr>,
        hosts: Vec<Host>,
    ) -> Self {
        Self {
            name: name.into(),
            hosts,
            station,
            own,
            cable,
            file,
            vlan,
            strays: Vec::new(),
            arp: Vec::new(),
        }
    }

    pub(crate) fn host(&self, name: &str) -> &Host {
        let found = self.hosts.iter().find(|host| host.name == name);
        found.unwrap_or_else(|| panic!("no {name} on {}", self.name))
    }

    /// Sends an IP packet from one station to another.
    pub(crate) fn send(&self, from: Station, to: Station, packet: &[u8]) {
        let kind = if packet[0] >> 4 == 4 { IPV4 } else { IPV6 };
        self.write(from, to, kind, packet, self.vlan);
    }

    /// The same outside the VLAN the box is on.
    pub(crate) fn send_astray(&self, from: Station, to: Station, packet: &[u8]) {
        let kind = if packet[0] >> 4 == 4 { IPV4 } else { IPV6 };
        let vlan = self.vlan.map_or(Some(7), |_| None);
        self.write(from, to, kind, packet, vlan);
    }

    /// Asks (or, with `answer`, tells) who has an address (RFC 826).
    pub(crate) fn arp(&self, from: (Station, Ipv4Addr), to: (Station, Ipv4Addr), answer: bool) {
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, if answer { 2 } else { 1 }];
        bytes.extend(from.0);
        bytes.extend(from.1.octets());
        bytes.extend(if answer { to.0 } else { [0; 6] });
        bytes.extend(to.1.octets());
        self.write(from.0, to.0, ARP, &bytes, self.vlan);
    }

    fn write(&self, from: Station, to: Station, kind: u16, content: &[u8], vlan: Option<u16>) {
        let mut bytes = Vec::with_capacity(content.len() + 18);
        if self.cable == Cable::Frames {
            bytes.extend(to);
            bytes.extend(from);
            if let Some(number) = vlan {
                bytes.extend(VLAN.to_be_bytes());
                bytes.extend(number.to_be_bytes());
            }
            bytes.extend(kind.to_be_bytes());
        }
        bytes.extend(content);
        // A cable whose card is off takes nothing; the policy says what that must look like.
        if let Err(error) = (&self.file).write(&bytes)
            && error.raw_os_error() != Some(rustix::io::Errno::IO.raw_os_error())
        {
            panic!("{}: cannot send: {error}", self.name);
        }
    }

    /// Takes everything that has come, answers as the hosts would, and returns what belongs to cases.
    pub(crate) fn take(&mut self, live: &Live, moods: &Moods) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        let mut buffer = [0; 10_000];
        loop {
            match (&self.file).read(&mut buffer) {
                Ok(0) => return arrivals,
                Ok(length) => arrivals.extend(self.frame(&buffer[..length], live, moods)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return arrivals,
                // A card that is off has nothing to read.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                    return arrivals;
                }
                Err(error) => panic!("{}: cannot read: {error}", self.name),
            }
        }
    }

    fn frame(&mut self, frame: &[u8], live: &Live, moods: &Moods) -> Option<Arrival> {
        if self.cable == Cable::Packets {
            return self.ip(self.hosts[0].station, frame, live, moods);
        }
        let to: Station = frame.get(..6)?.try_into().ok()?;
        let short = |at: usize| Some(u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
        let (vlan, kind, content) = match short(12)? {
            VLAN => (Some(short(14)? & 0xfff), short(16)?, &frame[18..]),
            kind => (None, kind, &frame[14..]),
        };
        if vlan != self.vlan {
            self.strays
                .push(Stray::Other(format!("a frame of VLAN {vlan:?}, type {kind:04x}")));
            return None;
        }
        match kind {
            ARP => {
                self.arp_came(content);
            }
            IPV4 | IPV6 => return self.ip(to, content, live, moods),
            other => self
                .strays
                .push(Stray::Other(format!("a frame of type {other:04x}"))),
        }
        None
    }

    fn arp_came(&mut self, content: &[u8]) -> Option<()> {
        let address = |at: usize| -> Option<Ipv4Addr> {
            Some(<[u8; 4]>::try_from(content.get(at..at + 4)?).ok()?.into())
        };
        let (sender, wanted) = (address(14)?, address(24)?);
        let station: Station = content.get(8..14)?.try_into().ok()?;
        match content.get(7)? {
            1 => {
                let host = self
                    .hosts
                    .iter()
                    .find(|host| host.addresses.contains(&wanted.into()))?;
                self.arp((host.station, wanted), (station, sender), true);
            }
            _ => self.arp.push((sender, station)),
        }
        Some(())
    }

    fn ip(&mut self, to: Station, content: &[u8], live: &Live, moods: &Moods) -> Option<Arrival> {
        let Some(heard) = packet::read(content, live) else {
            self.other(content);
            return None;
        };
        let group = to[0] & 1 != 0;
        let broadcast = heard.destination == IpAddr::V4(Ipv4Addr::BROADCAST);
        let takes = |host: &&Host| host.routes || host.addresses.contains(&heard.destination);
        let host = self.hosts.iter().find(|host| host.station == to).filter(takes);
        if let Some(host) = host {
            let mood = moods.get(&heard.case);
            let answers = (mood != Some(&Mood::AnswersNothing))
                .then(|| Packet::answer(&heard))
                .flatten();
            let hang_ups = || {
                (mood != Some(&Mood::HangsNothingUp))
                    .then(|| Packet::hang_up(&heard))
                    .flatten()
            };
            for answer in answers.or_else(hang_ups).into_iter().flatten() {
                self.send(host.station, self.station, &answer);
            }
        }
        Some(Arrival {
            arrives: group || broadcast || host.is_some(),
            heard,
        })
    }

    /// Answers neighbour solicitations (RFC 4861 §7.2.4); anything else without a case is a stray.
    fn other(&mut self, content: &[u8]) {
        let solicited = (content[0] >> 4 == 6 && content[6] == 58 && content.get(40) == Some(&135))
            .then(|| content.get(48..64))
            .flatten()
            .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
            .map(|bytes| IpAddr::from(std::net::Ipv6Addr::from(bytes)));
        let asker = content
            .get(8..24)
            .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        match (solicited, asker) {
            // From nobody: the box makes sure that its own address is free (RFC 4862 §5.4).
            (Some(_), Some(asker)) if asker == [0; 16] => {}
            (Some(target), Some(asker)) => {
                let host = self.hosts.iter().find(|host| host.addresses.contains(&target));
                if let (Some(host), IpAddr::V6(wanted)) = (host, target) {
                    let mut payload = wanted.octets().to_vec();
                    payload.extend([2, 1]);
                    payload.extend(host.station);
                    let body = Body::Icmp {
                        kind: 136,
                        code: 0,
                        rest: [0x60, 0, 0, 0],
                        payload,
                    };
                    let asker = std::net::Ipv6Addr::from(asker);
                    for packet in Packet::new(wanted, asker, body).bytes(u16::MAX) {
                        self.send(host.station, self.station, &packet);
                    }
                }
            }
            // Late, of a case that is over.
            _ if packet::read(content, &(0..u16::MAX)).is_some() => {}
            _ => {
                let bytes: Vec<_> = content
                    .iter()
                    .take(64)
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                let other = || Stray::Other(format!("packet {}", bytes.concat()));
                self.strays
                    .push(icmpv6(content).map_or_else(other, Stray::Icmpv6));
            }
        }
    }
}

/// The type of an ICMPv6 message, behind an option for routers or not (RFC 2711).
fn icmpv6(content: &[u8]) -> Option<u8> {
    if content.first()? >> 4 != 6 {
        return None;
    }
    match (content.get(6)?, content.get(40)?) {
        (58, kind) => Some(*kind),
        (0, 58) => content.get(48).copied(),
        _ => None,
    }
}

//! A port's cable as one program sees it past the kernel: frames out, and the answers to them.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::frame::{self, Ends, Heard, Station};
use crate::sys;

/// Ports of the box's that are used for nothing else (RFC 6335 §6).
const OWN_PORTS: u16 = 0xc000;
/// Stations that claim an address, at most: two are one too many.
const MOST_STATIONS: usize = 4;
/// After the first that claims an address others are listened for.
const OTHERS: Duration = Duration::from_millis(300);
/// The longest frame that is read; answers are short.
const LONGEST: usize = 2048;

/// The cable.
#[derive(Debug)]
pub(super) struct Wire {
    socket: OwnedFd,
    here: (Station, Ipv4Addr),
    there: (Option<Station>, Ipv4Addr),
}

impl Wire {
    /// The link of this name, in the namespace of the calling thread.
    pub(super) fn open(link: &str, gateway: Ipv4Addr, instrument: Ipv4Addr) -> io::Result<Self> {
        let (socket, station) = sys::packet_socket(link)?;
        Ok(Self {
            socket,
            here: (station, gateway),
            there: (None, instrument),
        })
    }

    /// The stations that say they have the instrument's address, the first first; it is the one that is asked.
    pub(super) fn find(&mut self, patience: Duration) -> io::Result<Vec<Station>> {
        self.send(&frame::who_has(self.here, self.there.1))?;
        let mut stations: Vec<Station> = Vec::new();
        let mut until = Instant::now() + patience;
        while let Some(heard) = self.hear(until)? {
            let Heard::Has(station, address) = heard else {
                continue;
            };
            if address != self.there.1 || stations.contains(&station) || stations.len() == MOST_STATIONS {
                continue;
            }
            if stations.is_empty() {
                until = Instant::now() + OTHERS;
            }
            stations.push(station);
        }
        self.there.0 = stations.first().copied();
        Ok(stations)
    }

    /// How long the answer to an echo took, if it came.
    pub(super) fn echo(&mut self, number: u16, patience: Duration) -> io::Result<Option<Duration>> {
        let Some(ends) = self.ends() else { return Ok(None) };
        let asker = random()?;
        let began = Instant::now();
        self.send(&frame::echo(&ends, asker, number))?;
        let expected = Heard::Echo(self.there.1, self.here.1, asker, number);
        while let Some(heard) = self.hear(began + patience)? {
            if heard == expected {
                return Ok(Some(began.elapsed()));
            }
        }
        Ok(None)
    }

    /// Whether a port takes a connection, `open` or `closed`, and how long that took to say; the connection is given up.
    pub(super) fn connect(
        &mut self,
        port: u16,
        patience: Duration,
    ) -> io::Result<Option<(&'static str, Duration)>> {
        let Some(ends) = self.ends() else { return Ok(None) };
        let ports = (OWN_PORTS | random()?, port);
        let sequence = u32::from(random()?) << 16;
        let began = Instant::now();
        self.send(&frame::open(&ends, ports, sequence))?;
        while let Some(heard) = self.hear(began + patience)? {
            let Heard::Segment {
                from,
                to,
                acknowledged,
                takes,
            } = heard
            else {
                continue;
            };
            let is_ours = from == (self.there.1, ports.1) && to == (self.here.1, ports.0);
            if !is_ours || acknowledged != sequence.wrapping_add(1) {
                continue;
            }
            let time = began.elapsed();
            if takes {
                self.send(&frame::reset(&ends, ports, acknowledged))?;
            }
            return Ok(Some((if takes { "open" } else { "closed" }, time)));
        }
        Ok(None)
    }

    fn ends(&self) -> Option<Ends> {
        let there = (self.there.0?, self.there.1);
        let here = self.here;
        Some(Ends { here, there })
    }

    fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(&self.socket, frame, SendFlags::empty())?;
        Ok(())
    }

    /// The next frame that may be an answer, until then.
    fn hear(&self, until: Instant) -> io::Result<Option<Heard>> {
        let mut frame = [0; LONGEST];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let wait = Timespec::try_from(left).ok();
            let mut ready = [PollFd::new(&self.socket, PollFlags::IN)];
            if poll(&mut ready, wait.as_ref())? == 0 {
                return Ok(None);
            }
            let (length, _) = match recv(&self.socket, &mut frame, RecvFlags::DONTWAIT) {
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => continue,
                received => received?,
            };
            if let Some(heard) = frame::parse(&frame[..length.min(LONGEST)]) {
                return Ok(Some(heard));
            }
        }
    }
}

fn random() -> io::Result<u16> {
    let mut bytes = [0; 2];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u16::from_ne_bytes(bytes))
}

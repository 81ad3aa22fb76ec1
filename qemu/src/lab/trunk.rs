//! A port of a switch that carries one VLAN with its tag (IEEE 802.1Q) and everything else without.
//!
//! ```text
//!              ┌ tag 7 ──── tagged tap   (a host of the hospital sees plain frames)
//! QEMU ── port ┤
//!              └ no tag ─── untagged tap (a host that is none of the hospital)
//! ```
//!
//! In user space, because not every kernel a lab runs on knows VLANs. Invariant: no frame passes from one tap to the
//! other, and a frame with another VLAN's tag goes nowhere.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::thread;

use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::tap::Tap;
use crate::{Error, Result};

/// The tag's own type (IEEE 802.1Q-2022 §9.6).
const TAG: [u8; 2] = [0x81, 0x00];
/// Both addresses of a frame, which the tag follows.
const ADDRESSES: usize = 12;
/// The longest frame with a tag, generously.
const LONGEST: usize = 65_550;

/// The port, and the interfaces behind it.
#[derive(Debug)]
pub(super) struct Trunk {
    vlan: u16,
    tagged: Tap,
    untagged: Tap,
}

impl Trunk {
    /// A port for `vlan`. The taps are without headers.
    pub(super) fn new(vlan: u16, tagged: Tap, untagged: Tap) -> Self {
        Self {
            vlan,
            tagged,
            untagged,
        }
    }

    /// The machine's end: a socket of frames. What carries them ends when the machine's end is closed.
    pub(super) fn plug(&self) -> Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let pair = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
        let (ours, theirs) = pair.map_err(|e| Error::Network("make a socket pair", e.into()))?;
        let port = Port {
            vlan: self.vlan,
            machine: File::from(ours),
            tagged: self.tagged.plug()?,
            untagged: self.untagged.plug()?,
        };
        thread::spawn(move || port.carry());
        Ok(theirs)
    }

    /// Both interfaces get a carrier, or lose it.
    pub(super) fn set_carrier(&self, on: bool) -> Result<()> {
        self.tagged.set_carrier(on)?;
        self.untagged.set_carrier(on)
    }
}

/// One machine's time at the port.
struct Port {
    vlan: u16,
    machine: File,
    tagged: File,
    untagged: File,
}

impl Port {
    /// Carries frames until the machine is gone. As a switch does, it drops what cannot be sent at once.
    fn carry(self) {
        let mut buffer = vec![0; LONGEST];
        loop {
            let mut ends =
                [&self.machine, &self.tagged, &self.untagged].map(|end| PollFd::new(end, PollFlags::IN));
            match rustix::event::poll(&mut ends, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            loop {
                match (&self.machine).read(&mut buffer) {
                    Ok(0) => return,
                    Ok(length) => self.take_out(&buffer[..length]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => return,
                }
            }
            while let Ok(length @ 1..) = (&self.tagged).read(&mut buffer) {
                send(&self.machine, &tag(&buffer[..length], self.vlan));
            }
            while let Ok(length @ 1..) = (&self.untagged).read(&mut buffer) {
                send(&self.machine, &buffer[..length]);
            }
        }
    }

    /// A frame that the machine sent.
    fn take_out(&self, frame: &[u8]) {
        match untag(frame) {
            None => send(&self.untagged, frame),
            Some((vlan, plain)) if vlan == self.vlan => send(&self.tagged, &plain),
            Some(_) => {}
        }
    }
}

/// A full queue, or an interface that is down, loses the frame.
fn send(mut to: &File, frame: &[u8]) {
    if let Err(error) = to.write(frame) {
        log::debug!("a frame of {} bytes is lost: {error}", frame.len());
    }
}

/// The frame with the tag of `vlan`, priority 0.
fn tag(frame: &[u8], vlan: u16) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(frame.len().min(ADDRESSES));
    [addresses, &TAG, &vlan.to_be_bytes(), rest].concat()
}

/// The VLAN of a tagged frame, and the frame without its tag.
fn untag(frame: &[u8]) -> Option<(u16, Vec<u8>)> {
    let (addresses, rest) = frame.split_at_checked(ADDRESSES)?;
    let (&[high, low], rest) = rest.strip_prefix(&TAG)?.split_first_chunk()?;
    // The upper four bits are priority and drop eligibility.
    let vlan = u16::from_be_bytes([high, low]) & 0x0fff;
    Some((vlan, [addresses, rest].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"ddddddssssss\x08\x00payload";

    #[test]
    fn a_tag_stands_between_addresses_and_type_and_comes_off_again() {
        let tagged = tag(PLAIN, 7);
        assert_eq!(tagged, b"ddddddssssss\x81\x00\x00\x07\x08\x00payload");
        assert_eq!(untag(&tagged), Some((7, PLAIN.to_vec())));
    }

    #[test]
    fn priority_is_no_part_of_the_vlan() {
        let frame = b"ddddddssssss\x81\x00\xe0\x07\x08\x00payload";
        assert_eq!(untag(frame), Some((7, PLAIN.to_vec())));
    }

    #[test]
    fn what_has_no_tag_or_only_a_part_of_one_has_none() {
        for frame in [PLAIN, b"", b"dddddd", b"ddddddssssss\x81\x00\x00"] {
            assert_eq!(untag(frame), None, "{frame:?}");
        }
    }
}

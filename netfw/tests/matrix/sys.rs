//! The one unsafe call: a network card whose cable ends in this program.
#![allow(
    unsafe_code,
    reason = "TUNSETIFF has no safe wrapper; this is the only module that may"
)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

/// `struct ifreq` as TUNSETIFF reads it (`include/uapi/linux/if.h`): 16 bytes of name, the flags, padding to 40.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// `_IOW('T', 202, int)`, `include/uapi/linux/if_tun.h`.
const TUNSETIFF: Opcode = opcode::write::<u32>(b'T', 202);
const IFF_TUN: u16 = 0x0001;
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;

/// What goes over the cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cable {
    /// Ethernet frames.
    Frames,
    /// IP packets, as a tunnel's.
    Packets,
}

/// Makes the card `name` in the calling thread's namespace. It lives as long as its cable, which is returned; reading
/// from it never waits.
pub(crate) fn open(cable: Cable, name: &str) -> io::Result<File> {
    let kind = match cable {
        Cable::Frames => IFF_TAP,
        Cable::Packets => IFF_TUN,
    };
    let mut request = Request {
        name: [0; 16],
        flags: kind | IFF_NO_PI,
        rest: [0; 22],
    };
    assert!(name.len() < request.name.len(), "{name} is too long");
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open("/dev/net/tun")?;
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq` of 40 bytes, which `Request` is.
    unsafe { ioctl(&file, Updater::<TUNSETIFF, Request>::new(&mut request)) }?;
    Ok(file)
}

//! What the kernel refused: system calls that are not in a service's list, from netlink's audit group.
//!
//! ```text
//! audit(1732816800.123:45): auid=4294967295 uid=901 gid=901 ses=4294967295 pid=212 comm="rap-tls"
//!   exe="/usr/bin/rap-tls" sig=0 arch=c000003e syscall=41 compat=0 ip=0x7f… code=0x50000
//! ```
//!
//! Reading along needs `CAP_AUDIT_READ` and changes nothing (netlink(7), `AUDIT_NLGRP_READLOG`). What files Landlock
//! refuses it does not tell before Linux 6.15; there the error is all there is.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

/// `AUDIT_NLGRP_READLOG` (include/uapi/linux/audit.h).
const GROUP: u32 = 1;
/// `AUDIT_SECCOMP` (as there).
const SECCOMP: u16 = 1326;
/// `struct nlmsghdr` (netlink(7)).
const HEADER: usize = 16;
/// `MAX_AUDIT_MESSAGE_LENGTH` (include/uapi/linux/audit.h).
const LONGEST: usize = 8970;

/// The kernel's word of refusals.
#[derive(Debug)]
pub(super) struct Refusals(pub(super) OwnedFd);

/// A system call that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Whose process it was.
    pub(super) user: u32,
    /// Its number.
    pub(super) pid: u32,
    /// Its program.
    pub(super) program: String,
    /// The call's number on x86-64.
    pub(super) call: u32,
}

impl Refusals {
    /// Begins to listen.
    ///
    /// # Errors
    /// `EPERM` without `CAP_AUDIT_READ`.
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            flags,
            Some(netlink::AUDIT),
        )?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUP))?;
        Ok(Self(socket))
    }

    /// The next message: a refusal, or something else. `None` when nothing waits.
    pub(super) fn next(&self) -> Option<Option<Refusal>> {
        let mut packet = [0_u8; HEADER + LONGEST];
        let (length, _) = rustix::net::recv(&self.0, &mut packet, RecvFlags::empty()).ok()?;
        Some(parse(packet.get(..length).unwrap_or_default()))
    }
}

fn parse(packet: &[u8]) -> Option<Refusal> {
    let (header, text) = packet.split_at_checked(HEADER)?;
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    if kind != SECCOMP {
        return None;
    }
    let text = String::from_utf8_lossy(text);
    let field = |name: &str| {
        text.split([' ', '\0'])
            .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    Some(Refusal {
        user: field("uid")?.parse().ok()?,
        pid: field("pid")?.parse().ok()?,
        program: field("exe").unwrap_or_default().trim_matches('"').to_owned(),
        call: field("syscall")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: u16, text: &str) -> Vec<u8> {
        let mut packet = vec![0; HEADER];
        packet[4..6].copy_from_slice(&kind.to_ne_bytes());
        packet.extend(text.as_bytes());
        packet
    }

    #[test]
    fn a_refusal_is_read_and_nothing_else_is() {
        let text = "audit(1732816800.123:45): auid=4294967295 uid=901 gid=902 ses=4294967295 pid=212 comm=\"uid=0\" \
                    exe=\"/usr/bin/rap-tls\" sig=0 arch=c000003e syscall=41 compat=0 ip=0x7f code=0x50000\0";
        let refusal = Refusal {
            user: 901,
            pid: 212,
            program: "/usr/bin/rap-tls".to_owned(),
            call: 41,
        };
        assert_eq!(parse(&packet(SECCOMP, text)), Some(refusal));
        assert_eq!(parse(&packet(1300, text)), None);
        for length in 0..packet(SECCOMP, text).len() {
            let _ = parse(&packet(SECCOMP, text)[..length]);
        }
    }
}

//! The unsafe corner: tap devices, packet sockets, new network namespaces, and what a child inherits.

#![allow(
    unsafe_code,
    reason = "the one module that speaks to the kernel where no safe wrapper exists"
)]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::ioctl::{Opcode, Setter, Updater, ioctl, opcode};
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::Signal;
use rustix::thread::UnshareFlags;

/// `struct ifreq` as TUNSETIFF reads it (`include/uapi/linux/if.h`): 16 bytes of name, the flags, padding to 40.
#[repr(C)]
struct TapRequest {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// `_IOW('T', 202, int)`, `include/uapi/linux/if_tun.h`.
const TUNSETIFF: Opcode = opcode::write::<u32>(b'T', 202);
/// `_IOW('T', 226, int)`, `include/uapi/linux/if_tun.h`.
const TUNSETCARRIER: Opcode = opcode::write::<u32>(b'T', 226);
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;

/// Makes the tap device `name` in the calling thread's network namespace. It lives as long as the descriptor. With
/// `headers` each frame has the header virtio puts before it, which QEMU expects.
pub(crate) fn open_tap(name: &str, headers: bool) -> io::Result<OwnedFd> {
    let mut request = TapRequest {
        name: [0; 16],
        flags: IFF_TAP | IFF_NO_PI | if headers { IFF_VNET_HDR } else { 0 },
        rest: [0; 22],
    };
    if name.len() >= request.name.len() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an interface's name has at most 15 bytes",
        ));
    }
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let tap = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nonblocking)
        .open("/dev/net/tun")?;
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq` of 40 bytes, which `TapRequest` is.
    unsafe { ioctl(&tap, Updater::<TUNSETIFF, TapRequest>::new(&mut request)) }?;
    Ok(tap.into())
}

/// Plugs or pulls the cable as the host's side of a tap sees it.
pub(crate) fn set_carrier(tap: impl AsFd, on: bool) -> io::Result<()> {
    // SAFETY: TUNSETCARRIER reads one int.
    unsafe { ioctl(tap, Setter::<TUNSETCARRIER, u32>::new(u32::from(on))) }?;
    Ok(())
}

/// `struct sockaddr_ll` (packet(7)): protocol in network order, then the interface; the rest is for sending.
#[repr(C)]
struct LinkAddress {
    family: u16,
    protocol: u16,
    interface: i32,
    rest: [u8; 12],
}

// SAFETY: the pointer is to a whole `struct sockaddr_ll`, 20 bytes without padding, that lives during the call.
unsafe impl SocketAddrArg for LinkAddress {
    unsafe fn with_sockaddr<R>(&self, call: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        call(std::ptr::from_ref(self).cast(), 20)
    }
}

/// A packet socket that hears every frame on `interface` of the calling thread's network namespace, in both
/// directions, and never blocks.
pub(crate) fn listen_to_frames(interface: &str) -> io::Result<OwnedFd> {
    let every_protocol = 3_u16.to_be();
    // Protocol 0: it hears nothing before it is bound.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
    let index = rustix::net::netdevice::name_to_index(&socket, interface)?;
    let address = LinkAddress {
        family: AddressFamily::PACKET.as_raw(),
        protocol: every_protocol,
        interface: index.cast_signed(),
        rest: [0; 12],
    };
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

/// Moves the calling thread into a new, empty network namespace.
pub(crate) fn unshare_network() -> io::Result<()> {
    // SAFETY: only the network namespace is unshared, not the descriptor table.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    Ok(())
}

/// Lets the child keep `descriptors` under their numbers, and die with the thread that starts it.
pub(crate) fn tie_child(command: &mut Command, descriptors: &[OwnedFd]) {
    let numbers: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let child_setup = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        for number in &numbers {
            // SAFETY: the descriptors are borrowed from `descriptors`, which the caller keeps until the spawn is
            // over; the child has a copy of the table.
            let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(*number) };
            rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes plain system calls (prctl, fcntl) and allocates nothing.
    unsafe { command.pre_exec(child_setup) };
}

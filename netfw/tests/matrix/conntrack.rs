//! Emptying a namespace's table of connections (`include/uapi/linux/netfilter/nfnetlink_conntrack.h`).

use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

const NFNL_SUBSYS_CTNETLINK: u8 = 1;
const IPCTNL_MSG_CT_DELETE: u8 = 2;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const REQUEST: [u8; 2] = 5_u16.to_ne_bytes();

/// A socket to the calling thread's namespace.
pub(crate) fn open() -> OwnedFd {
    let flags = SocketFlags::CLOEXEC;
    socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        flags,
        Some(netlink::NETFILTER),
    )
    .unwrap()
}

/// Forgets every connection. Deleting without saying which means all.
pub(crate) fn flush(socket: &OwnedFd) {
    let mut message = 20_u32.to_ne_bytes().to_vec();
    message.extend([IPCTNL_MSG_CT_DELETE, NFNL_SUBSYS_CTNETLINK]);
    message.extend(REQUEST);
    message.extend([0; 8]);
    // Of any family, version 0.
    message.extend([0; 4]);
    send(socket, &message, SendFlags::empty()).unwrap();
    let mut answer = [0; 256];
    let (length, _) = recv(socket, &mut answer, RecvFlags::empty()).unwrap();
    assert!(length >= 20, "a short answer from netlink");
    let code = i32::from_ne_bytes(answer[16..20].try_into().unwrap());
    assert_eq!(code, 0, "connections could not be forgotten");
}

//! Talking to a namespace's netfilter: forgetting connections, and hearing what its rules log.
//!
//! Formats: `include/uapi/linux/netfilter/nfnetlink_conntrack.h` and `nfnetlink_log.h`.

use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

const CONNTRACK_DELETE: [u8; 2] = [2, 1];
const LOG_CONFIG: [u8; 2] = [1, 4];
const LOG_PACKET: [u8; 2] = [0, 4];
/// `NLM_F_REQUEST | NLM_F_ACK`.
const REQUEST: [u8; 2] = 5_u16.to_ne_bytes();
/// The group that netfw's rules log to.
const GROUP: u16 = 1;

/// The calling thread's namespace's netfilter.
#[derive(Debug)]
pub(crate) struct Netfilter {
    requests: OwnedFd,
    log: OwnedFd,
}

impl Netfilter {
    /// Opens both sockets and listens to the log.
    pub(crate) fn open() -> Self {
        let socket = || {
            let flags = SocketFlags::CLOEXEC;
            socket_with(
                AddressFamily::NETLINK,
                SocketType::RAW,
                flags,
                Some(netlink::NETFILTER),
            )
            .unwrap()
        };
        let (requests, log) = (socket(), socket());
        // NFULNL_CFG_CMD_BIND; then: nothing of the packet (NFULNL_COPY_META), and each message at once.
        ask(&log, LOG_CONFIG, GROUP, &attribute(1, &[1]));
        ask(&log, LOG_CONFIG, GROUP, &attribute(2, &[0, 0, 0, 0, 1, 0]));
        ask(&log, LOG_CONFIG, GROUP, &attribute(5, &1_u32.to_be_bytes()));
        Self { requests, log }
    }

    /// Forgets every connection: deleting without saying which means all.
    pub(crate) fn forget_connections(&self) {
        ask(&self.requests, CONNTRACK_DELETE, 0, &[]);
    }

    /// The prefixes of what was logged since the last call.
    pub(crate) fn logged(&self) -> Vec<String> {
        let mut prefixes = Vec::new();
        let mut buffer = vec![0; 65_536];
        while let Ok((length, _)) = recv(&self.log, &mut buffer, RecvFlags::DONTWAIT) {
            prefixes.extend(messages(&buffer[..length]).filter_map(prefix));
        }
        prefixes
    }
}

/// Sends one request and takes its acknowledgement.
fn ask(socket: &OwnedFd, kind: [u8; 2], group: u16, content: &[u8]) {
    let length = u32::try_from(20 + content.len()).unwrap();
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind);
    message.extend(REQUEST);
    message.extend([0; 8]);
    // `struct nfgenmsg`: any family, version 0.
    message.extend([0, 0]);
    message.extend(group.to_be_bytes());
    message.extend(content);
    send(socket, &message, SendFlags::empty()).unwrap();
    let mut answer = [0; 4096];
    loop {
        let (length, _) = recv(socket, &mut answer, RecvFlags::empty()).unwrap();
        // NLMSG_ERROR, which an acknowledgement is as well; the log may speak before it.
        if let Some(error) = messages(&answer[..length]).find(|message| message[4..6] == 2_u16.to_ne_bytes())
        {
            let code = i32::from_ne_bytes(error[16..20].try_into().unwrap());
            assert_eq!(code, 0, "netfilter refuses {kind:?}");
            return;
        }
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The messages, or attributes, one after the other.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?)).ok()?;
        let message = bytes.get(..length).filter(|message| message.len() >= 16)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// `NFULA_PREFIX` of a logged packet.
fn prefix(message: &[u8]) -> Option<String> {
    if message[4..6] != LOG_PACKET {
        return None;
    }
    let mut attributes = message.get(20..)?;
    loop {
        let length = usize::from(u16::from_ne_bytes(attributes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?);
        let value = attributes.get(4..length)?;
        if kind == 10 {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return String::from_utf8(text.to_vec()).ok();
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

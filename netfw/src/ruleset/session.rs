//! The tables of remote sessions.

use std::net::Ipv4Addr;

use super::set::{SERVICE, V4, V4_SERVICE};
use super::{INSTRUMENTS, OPEN, SESSION_TABLE, Set, Table};
use crate::model::Port;

/// The table in the root namespace.
pub(crate) fn root_session_table() -> Table {
    Table {
        name: SESSION_TABLE,
        sets: vec![empty(OPEN, V4_SERVICE), empty(INSTRUMENTS, V4)],
        chains: Vec::new(),
    }
}

/// The table in the namespace of `port`, whose instrument is reached at `service`.
pub(crate) fn port_session_table(port: &Port, service: Ipv4Addr) -> Table {
    let _ = (port, service);
    Table {
        name: SESSION_TABLE,
        sets: vec![empty(OPEN, SERVICE), empty(INSTRUMENTS, V4)],
        chains: Vec::new(),
    }
}

fn empty(name: &'static str, kind: &'static [nftables::schema::SetType]) -> Set {
    Set {
        name,
        kind,
        elements: Vec::new(),
    }
}

//! The test service centre: real TLS with client certificates, every event kept, faults on demand.
//!
//! Written from docs/protocol.md. Runs in a test's process ([`Centre`]) or as the program `rap-centre`; a test
//! beside the program reads its database with [`Store`].

mod batches;
mod desk;
mod directives;
mod fault;
mod files;
mod identity;
mod outbox;
mod server;
mod store;
mod tls;

pub use self::desk::{Desk, put};
pub use self::directives::{Directives, Poll};
pub use self::fault::{Fault, Post};
pub use self::files::{Delivered, Files, Traffic};
pub use self::identity::refused_file;
pub use self::outbox::Outbox;
pub use self::server::{Centre, Config, OnRefusal};
pub use self::store::{Arrival, Store};
pub(crate) use self::tls::config as tls_config;

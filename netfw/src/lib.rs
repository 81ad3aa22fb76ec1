//! A description of ports in, an isolated and firewalled network out, through netlink.
//!
//! For a box with one uplink and a number of ports, each with one device behind it that must be reached by the box
//! alone: every port becomes a network namespace of its own, so that there is no route between devices that a rule
//! could forget to block, and all of them may have the same address. netfw knows nothing of the appliance it was made
//! for.
//!
//! Data flows one way: [`model`] (what is wanted, valid or not at all) → [`plan`] and [`ruleset`] (what the kernel
//! shall look like; pure) → [`kernel`] (observe, change what differs). [`apply`] does all of it.
//!
//! ```
//! use netfw::model::{
//!     Addressing, Endpoint, Host, Ipv6, Limits, Network, Opening, Port, Protocol, Service, Uplink,
//! };
//! use netfw::plan::NetPlan;
//!
//! let uplink = Uplink {
//!     nic: "pci:0000:00:10.0".parse()?,
//!     vlan: None,
//!     mtu: None,
//!     addressing: Addressing::Dhcp,
//!     ipv6: Ipv6::Off,
//!     dns: vec![],
//!     search: vec![],
//! };
//! let port = Port {
//!     name: "port1".parse()?,
//!     nic: "mac:52:54:00:00:00:01".parse()?,
//!     address: "192.168.1.1/24".parse()?,
//!     instrument: "192.168.1.50".parse()?,
//!     dhcp: true,
//!     mac: None,
//!     services: vec![Service { name: "ingest", protocol: Protocol::Tcp, port: 8443 }],
//!     remote: vec![Opening { protocol: Protocol::Tcp, port: 5900 }],
//!     limits: Limits::default(),
//! };
//! let centre = Endpoint {
//!     name: "centre".into(),
//!     host: Host::Ip("10.9.0.10".parse()?),
//!     protocol: Protocol::Tcp,
//!     port: 443,
//! };
//!
//! let network = Network::new(uplink, vec![port], vec![centre], Some("10.200.0.0/24".parse()?))?;
//! let plan = NetPlan::new(&network);
//! assert_eq!(plan.ports[0].link.address, Some("192.168.1.1/24".parse()?));
//!
//! // Every rule says where it comes from.
//! let rules = plan.ports[0].table.text();
//! assert!(rules.contains(
//!     "tcp dport 8443 ct state new,established counter accept comment \"ports.port1.services.ingest\""
//! ));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `netfw::apply(&network)` then makes it so; it needs root's rights and the program `nft`.

mod check;
pub mod kernel;
pub mod model;
pub mod netns;
pub mod nft;
pub mod plan;
pub mod policy;
pub mod ruleset;
#[cfg(test)]
mod sample;
mod sys;

pub use check::{Fault, Faults};
pub use kernel::{
    Error, LinkReport, Machine, Report, apply, apply_on, apply_plan, check, diff, fill, observe, remove, undo, watch,
};

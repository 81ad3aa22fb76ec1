//! A description of ports in, an isolated and firewalled network out, through netlink.
//!
//! For a box with one uplink and a number of ports, each with one device behind it that must be reached by the box
//! alone: every port becomes a network namespace of its own, so that there is no route between devices that a rule
//! could forget to block, and all of them may have the same address. netfw knows nothing of the appliance it was made
//! for.
//!
//! Data flows one way: [`model`] (what is wanted, valid or not at all) → [`plan`] and [`ruleset`] (what the kernel
//! shall look like; pure) → [`kernel`] (observe, change what differs). [`apply`] does all of it. [`policy`] says what
//! comes of it for each packet, from the description and independent of the rules.
//!
//! ```
//! use netfw::model::{
//!     Addressing, Endpoint, Host, Ipv6, Limits, Network, Opening, Port, Protocol, Service, Uplink,
//! };
//! use netfw::plan::NetPlan;
//! use netfw::policy::{Kind, Moment, Packet, State, Verdict, Zone};
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
//! let sessions = Some("10.200.0.0/24".parse()?);
//! let network = Network::new(uplink, vec![port], vec![centre], sessions)?;
//!
//! // The plan: a namespace for the port, and an address no other instrument has for remote sessions.
//! let plan = NetPlan::new(&network);
//! assert_eq!(plan.ports[0].link.address, Some("192.168.1.1/24".parse()?));
//! let session = &plan.sessions.as_ref().ok_or("no sessions")?.ports[0];
//! assert_eq!(session.inner.address, "10.200.0.1/31".parse()?);
//!
//! // The rules, each with where it comes from.
//! let rules = plan.ports[0].table.text();
//! assert!(rules.contains("tcp dport 8443 counter accept comment \"ports.port1.services.ingest\""));
//!
//! // What they promise: the instrument knocks at a door that is not in the description.
//! let knock = Packet {
//!     zone: Zone::Instrument("port1".parse()?),
//!     station: None,
//!     from: "192.168.1.50".parse()?,
//!     to: "192.168.1.1".parse()?,
//!     kind: Kind::Transport {
//!         protocol: Protocol::Tcp,
//!         source: 40000,
//!         destination: 22,
//!         state: State::Opens,
//!     },
//! };
//! let answer = network.verdict(&Moment::default(), &knock);
//! assert_eq!(answer.verdict, Verdict::Silent);
//! assert_eq!(answer.reason, "Port port1 offers nothing at tcp/22.");
//!
//! // A mistake says where it is, what was found and what was expected.
//! let lease = network.check_lease("192.168.1.77/24".parse()?).unwrap_err().to_string();
//! assert!(lease.starts_with("uplink.lease: found 192.168.1.77/24, expected a network that does not overlap"));
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
pub mod session;
mod sys;

pub use check::{Fault, Faults};
pub use kernel::{
    Error, LinkReport, Machine, Report, apply, apply_on, apply_plan, check, diff, fill, observe, remove,
    undo, watch,
};

//! The appliance's one program, and the contracts it shares with the builder.
//!
//! What the builder writes and the box reads is one module here, used by both: [`site`] (site.toml), [`boot`] (disk,
//! slots, the loader's environment), [`release`], [`directive`], [`provision`], [`flash`], [`install`], [`build_info`], [`digest`], [`paths`],
//! [`notify`] and [`status`]. Rooms of the box's programs: `client` (HTTPS to a server of ours), `door` (HTTP for who asks
//! us), `control` (local sockets), [`folder`] (state that outlives power), [`confine`] (what each service may).
//! The services are [`init`], [`netd`], [`relay`], [`forward`], [`session`], [`update`], [`web`], [`enrol`], [`trail`]; [`rapctl`] is how a person
//! asks them.

pub mod audit;
pub mod boot;
pub mod build_info;
mod client;
pub mod confine;
pub mod console;
pub(crate) mod control;
pub mod digest;
pub mod directive;
mod door;
pub mod enrol;
pub mod flash;
pub mod folder;
pub mod forward;
mod hardening;
pub mod identity;
pub mod init;
pub mod install;
pub mod metrics;
pub mod moment;
pub mod netd;
pub mod notify;
pub mod paths;
pub mod provision;
pub mod rapctl;
pub mod relay;
pub mod release;
pub mod session;
pub mod site;
pub mod status;
pub mod sys;
pub mod trail;
pub mod update;
pub mod web;

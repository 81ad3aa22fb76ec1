//! The appliance's one program, and the contracts it shares with the builder.
//!
//! What the builder writes and the box reads is one module here, used by both: [`site`] (site.toml), [`boot`] (disk,
//! slots, the loader's environment), [`release`], [`provision`], [`build_info`], [`digest`], [`paths`], [`notify`] and
//! [`status`].
//! The services are [`init`], [`netd`], [`relay`], [`forward`], [`update`]; [`rapctl`] is how a person asks them.

pub mod audit;
pub mod boot;
pub mod build_info;
pub mod confine;
pub mod console;
pub mod digest;
pub mod forward;
mod hardening;
pub mod identity;
pub mod init;
pub mod metrics;
pub mod moment;
pub mod netd;
pub mod notify;
pub mod paths;
pub mod provision;
pub mod rapctl;
pub mod relay;
pub mod release;
pub mod site;
pub mod status;
pub mod sys;
pub mod update;

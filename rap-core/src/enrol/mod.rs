//! The box's own identity: keys that it makes itself and that never leave it, the request for their certificates, and
//! taking the answer.
//!
//! A box that was given no identity makes keys when it first starts, and waits. One that has an identity, made on the desk
//! or here, asks for the next beside it. An answer is judged first ([`judge`]); then the service centre is shown it
//! once ([`trial`]), and only when it takes it the new identity replaces the old one, whole ([`shelf`]). Where it refuses,
//! the old one stays, and why is said.
//!
//! Invariants: a private key is written to this box's data partition and nowhere else, and never said; nothing that a file
//! or the service centre says takes the identity in use away.

pub mod certificate;
pub(crate) mod control;
mod desk;
pub mod judge;
pub mod request;
pub mod service;
pub mod shelf;
pub mod status;
mod subject;
pub mod trial;

pub use service::{Place, run};
pub use subject::{NoSubject, Subject, serial_of_firmware};

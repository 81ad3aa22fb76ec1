//! The audit trail: what happened to the box's safety, in an order that cannot be changed unseen.
//!
//! ```text
//! <109>1 2026-11-28T18:00:00Z box1 netd - SITE-KEPT [rap@32473 seq="12" prev="9f2c…"][event@32473 by="rapctl"] the site was kept
//!  │                          │    │      │          │                               │                        └ for people
//!  │ facility 13 (log audit)  │    │      │ kind     └ number, digest of line 11     └ what it is about
//!  └ and severity             site └ who, by the kernel's word
//! ```
//!
//! * A record is one line of RFC 5424 (`record`) with the SHA-256 of the line before it, over all files. Who changes,
//!   removes or reorders a line breaks the chain there, and `verify` says where. Who may write the whole disk can make
//!   another whole chain: against that helps only who has seen its head elsewhere.
//! * One writer (`store`, in the service `audit`): a record is acknowledged after `fdatasync`. The oldest file goes when
//!   there is no more room, and before it goes a record says which numbers went and what the last digest was.
//! * Whoever has something to tell hands it over at a socket (`client`); who it is is the kernel's word (`SO_PEERCRED`,
//!   unix(7)), not the sender's. What could not be handed over is counted, and told with the next.
//! * Copies of it leave the box by [`crate::trail`], which is given `records` here; [`verify_copy`] holds a copy's records
//!   against one another.
//!
//! `32473` is the enterprise number that RFC 5612 keeps for examples.

pub(crate) mod client;
mod disk;
mod event;
mod excerpt;
mod kernel;
mod peer;
pub(crate) mod record;
pub(crate) mod records;
mod service;
mod store;
pub(crate) mod verify;

pub use client::{tell, tell_at};
pub use event::{Event, Kind};
pub use excerpt::Shown;
pub use service::{Place, Status, run};
pub use verify::{Verdict, copy as verify_copy};

#[doc(hidden)]
pub use record::fuzz;

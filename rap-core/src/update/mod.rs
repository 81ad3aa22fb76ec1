//! The updater: brings a release, writes it into the slot that does not run, tries it, and keeps it or goes back.
//!
//! * [`source`]: where the files of a repository come from: a web server through the relay, or a bundle.
//! * [`trust`]: TUF: from a source to a [`Manifest`](crate::release::Manifest) that was signed for this box's profile.
//! * [`pieces`]: the pieces of a release on their way to being complete, kept over power cuts.
//! * [`apply`]: from pieces, and what runs, to the new UKI as a stream.
//! * [`slots`]: what is in the slots, and writing, arming, confirming, mending them.
//! * [`policy`]: what is to be done about a release, and why. [`health`]: whether a box on trial does what it did before.
//! * [`service`]: `rap-tls update`, with one thread of work (`worker`) over two traits ([`needs`]).
//! * [`state`]: what is remembered. [`aftermath`]: what a boot finds of an update.

pub mod aftermath;
pub mod apply;
pub(crate) mod control;
pub mod health;
mod knowledge;
pub mod needs;
pub mod pieces;
pub mod policy;
mod repository;
pub mod service;
pub mod slots;
pub mod source;
pub mod state;
pub mod status;
pub mod trust;
mod worker;

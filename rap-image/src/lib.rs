//! The builder: from pinned Debian packages and this repository to one file that boots.
//!
//! [`overlay`] reads the recipes; [`lock`] pins every package they need, believing only [`archive`]'s signatures;
//! [`mirror`] says where from, [`fetch`] brings it into the [`store`], checked; [`deb`] opens packages; [`pick`] takes
//! the wanted files, with the libraries ([`elf`]) and kernel modules ([`modules`]) that follow, as [`payload`] parts.
//!
//! [`hermetic`] compiles the core in a root of locked packages; [`image`] composes everything into [`cpio`] archives, the
//! [`uki`] and the disk; [`signing`] signs it for Secure Boot, [`trust`] signs updates; [`output`] writes it; [`build`] is
//! all of that in order; [`verify`] reads it again, and [`sbom`] lists what it is made of, down to the crates that
//! [`auditable`] keeps in each program. [`publish`] makes updates of images, with a [`patch`] from each of the last ones.
//! [`staging`] makes an image ready for the lab, [`flash`] writes it to a device, [`installer`] makes a medium that does so in
//! the box; all give it a [`parcel`], whose identity [`provision`] makes.

pub mod archive;
pub mod auditable;
pub mod build;
pub mod cpio;
pub mod deb;
pub mod elf;
pub mod fetch;
pub mod fips;
pub mod flash;
pub mod hermetic;
pub mod image;
pub mod installer;
pub mod keys;
pub mod lock;
pub mod mirror;
pub mod modules;
pub mod output;
pub mod overlay;
pub mod parcel;
pub mod patch;
pub mod payload;
pub mod pick;
pub mod provision;
pub mod publish;
pub mod report;
pub mod sbom;
pub mod signing;
pub mod staging;
pub mod store;
pub mod trust;
pub mod uki;
pub mod verify;

#[cfg(test)]
#[allow(dead_code, reason = "the tests of the command line use the rest")]
mod testing;

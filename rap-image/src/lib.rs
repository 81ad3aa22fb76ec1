//! The builder: from pinned Debian packages and this repository to one file that boots.

pub mod cpio;
pub mod image;
pub mod payload;
pub mod staging;
pub mod uki;

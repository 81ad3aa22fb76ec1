//! The builder: from pinned Debian packages and this repository to one file that boots.

pub mod keys;
pub mod payload;

//! What goes into the initramfs, before it is bytes: parts of entries, each with an owner and a reason.
//!
//! Picking (packages, closures, overlays) makes [`Part`]s; composing turns each into one cpio archive.

/// One file, directory or link of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path without a leading slash, e.g. `usr/sbin/nft`.
    pub path: String,
    /// Permission bits only, e.g. `0o755`.
    pub mode: u32,
    /// What it is.
    pub kind: Kind,
    /// Why it is in the image, for `--explain`, e.g. `wanted by overlays/base`, `library of usr/sbin/nft`.
    pub reason: String,
}

/// What an [`Entry`] is. Everything is owned by root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file and its content.
    File(Vec<u8>),
    /// A symbolic link and its target.
    Link(String),
}

/// What becomes one cpio archive: the files from one Debian package, or one overlay's, or the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its owner, e.g. `nftables 1.1.3-1` or `overlays/base`.
    pub owner: String,
    /// Its entries, sorted by path; parents come before children, and no path is in two parts.
    pub entries: Vec<Entry>,
}

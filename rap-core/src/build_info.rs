//! What the running image says of itself: `/etc/rap/build.json`, written by the builder.

use serde::{Deserialize, Serialize};

/// Facts about one image. The build id is what tells one image from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BuildInfo {
    /// The release's version, e.g. `0.1.0`.
    pub version: String,
    /// 64 hexadecimal digits: SHA-256 over everything the image is made from.
    pub build_id: String,
    /// Seconds since 1970-01-01 UTC: the lock's Release timestamp or the commit's time, whichever is later. Never
    /// the wall clock, so that the same commit gives the same bits; the box's clock is never set earlier than this.
    pub built: u64,
    /// The overlays, lowest first, e.g. `["base", "qemu"]`.
    pub overlays: Vec<String>,
    /// Whether the core was built with the FIPS module.
    pub fips: bool,
    /// Whether anything in the image is for development only (a host toolchain, a debug overlay).
    pub development: bool,
}

//! Where things are on the box. One place, so that the builder, the box and the tests cannot disagree.

/// The sentinel: the last file of the last archive of the initramfs.
pub const SENTINEL: &str = "/.complete";
/// [`crate::build_info::BuildInfo`] as JSON.
pub const BUILD_INFO: &str = "/etc/rap/build.json";
/// Kernel modules: one absolute path a line, in load order.
pub const MODULES: &str = "/etc/rap/modules";
/// Mount point of the data partition.
pub const DATA: &str = "/data";
/// The site's description on the box.
pub const SITE: &str = "/data/config/site.toml";
/// The box's keys and certificates.
pub const IDENTITY: &str = "/data/config/identity";
/// The forwarder's log.
pub const FORWARD: &str = "/data/forward";
/// The last good time, decimal seconds since 1970-01-01 UTC.
pub const TIME: &str = "/data/time";
/// One status file a service.
pub const STATUS: &str = "/run/rap/status";

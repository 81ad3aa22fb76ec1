//! Where things are on the box. One place, so that the builder, the box and the tests cannot disagree.

/// The sentinel: the last file of the last archive of the initramfs.
pub const SENTINEL: &str = "/.complete";
/// [`crate::build_info::BuildInfo`] as JSON.
pub const BUILD_INFO: &str = "/etc/rap/build.json";
/// The TUF root an image trusts, as it was when the image was built; an image without it cannot update itself.
pub const UPDATE_ROOT: &str = "/etc/rap/update-root.json";
/// Kernel modules: one absolute path a line, in load order.
pub const MODULES: &str = "/etc/rap/modules";
/// Mount point of the data partition.
pub const DATA: &str = "/data";
/// Where the last good site is, and beside it the one on trial.
pub const CONFIG: &str = "/data/config";
/// The last good site: what the box starts with. Services read [`SITE_IN_FORCE`].
pub const SITE: &str = "/data/config/site.toml";
/// The site in force, the last good one or the one on trial: what every service reads.
pub const SITE_IN_FORCE: &str = "/run/rap/site.toml";
/// Where netd is asked: one line of JSON in, one out.
pub const NETD_SOCKET: &str = "/run/rap/netd.sock";
/// The box's keys and certificates.
pub const IDENTITY: &str = "/data/config/identity";
/// The forwarder's log.
pub const FORWARD: &str = "/data/forward";
/// The last good time, decimal seconds since 1970-01-01 UTC.
pub const TIME: &str = "/data/time";
/// One status file a service.
pub const STATUS: &str = "/run/rap/status";

//! Where things are on the box. One place, so that the builder, the box and the tests cannot disagree.

/// The sentinel: the last file of the last archive of the initramfs.
pub const SENTINEL: &str = "/.complete";
/// [`crate::build_info::BuildInfo`] as JSON.
pub const BUILD_INFO: &str = "/etc/rap/build.json";
/// OpenSSL's configuration for the tunnel: its FIPS provider with the checksum it holds itself against, nothing else.
/// Written by the builder.
pub const OPENSSL: &str = "/etc/rap/openssl.cnf";
/// The TUF root an image trusts, as it was when the image was built; an image without it cannot update itself.
pub const UPDATE_ROOT: &str = "/etc/rap/update-root.json";
/// The image's parts and packages, as JSON.
pub const PACKAGES: &str = "/etc/rap/packages.json";
/// Kernel modules: one absolute path a line, in load order.
pub const MODULES: &str = "/etc/rap/modules";
/// Kernel modules that only the installer loads, as in [`MODULES`].
pub const INSTALLER_MODULES: &str = "/etc/rap/installer-modules";
/// What an installer is to do: [`crate::install::Order`] as JSON.
pub const INSTALLER: &str = "/etc/rap/installer.json";
/// What an installer writes: [`crate::install::package`].
pub const PACKAGE: &str = "/etc/rap/installer.package";
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
/// Where the session service asks netd for what only netd may do.
pub const NETD_SESSIONS: &str = "/run/rap/sessions/netd.sock";
/// The folder of that socket: netd's, and reached by the session service's group.
pub const NETD_SESSIONS_RUN: &str = "/run/rap/sessions";
/// What the session service remembers: the docket of directives.
pub const SESSION: &str = "/data/session";
/// The session service's own folder: its socket, and OpenVPN's.
pub const SESSION_RUN: &str = "/run/rap/session";
/// Where the session service is asked, by the forwarder and by root.
pub const SESSION_SOCKET: &str = "/run/rap/session/session.sock";
/// The folder of the next: the session service's, and reached by the local page's group.
pub const CONSENT_RUN: &str = "/run/rap/consent";
/// Where the session service is asked for the people at the ports.
pub const CONSENT_SOCKET: &str = "/run/rap/consent/consent.sock";
/// The box's keys and certificates.
pub const IDENTITY: &str = "/data/config/identity";
/// What the identity service makes while the box runs; only it may write there.
pub const IDENTITY_RUN: &str = "/run/rap/identity";
/// Where the identity service is asked, by root and the session service.
pub const IDENTITY_SOCKET: &str = "/run/rap/identity/control.sock";
/// The serial number that firmware says, readable for all; init writes it.
pub const SERIAL: &str = "/run/rap/serial";
/// The forwarder's log.
pub const FORWARD: &str = "/data/forward";
/// The updater's files.
pub const UPDATE: &str = "/data/update";
/// How far an update's trial came, in init's words: `BUILD-ID ATTEMPT WORDS`.
pub const TRIAL_STAGE: &str = "/data/trial-stage";
/// What the updater makes while the box runs; only it may write there.
pub const UPDATE_RUNTIME: &str = "/run/rap/update";
/// Where the updater is asked: one line of JSON in, one out.
pub const UPDATE_SOCKET: &str = "/run/rap/update/control.sock";
/// Where the session service asks the updater to look for a release, and for nothing else.
pub const UPDATE_ASK: &str = "/run/rap/update-ask/update.sock";
/// The folder of that socket: the updater's, and reached by the session service's group.
pub const UPDATE_ASK_RUN: &str = "/run/rap/update-ask";
/// At how many starts firmware's boot entries had to be written.
pub const BOOT_ENTRIES: &str = "/data/boot-entries";
/// The audit trail.
pub const AUDIT: &str = "/data/audit";
/// Where events for the audit trail are handed over.
pub const AUDIT_SOCKET: &str = "/run/rap/audit/socket";
/// Where the records of the audit trail are asked for, by who carries them away.
pub const AUDIT_RECORDS: &str = "/run/rap/records/records.sock";
/// The folder of that socket: the writer's, and reached by the group of the keys.
pub const AUDIT_RECORDS_RUN: &str = "/run/rap/records";
/// How far the audit trail's copies have come.
pub const TRAIL: &str = "/data/trail";
/// Where the forwarder asks for the copy of the service centre.
pub const TRAIL_SOCKET: &str = "/run/rap/trail/trail.sock";
/// The folder of that socket: who carries the trail away, and reached by the forwarder's group.
pub const TRAIL_RUN: &str = "/run/rap/trail";
/// The last good time, decimal seconds since 1970-01-01 UTC.
pub const TIME: &str = "/data/time";
/// One status file a service.
pub const STATUS: &str = "/run/rap/status";

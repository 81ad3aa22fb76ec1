//! Every parser of bytes that others wrote, each as a function that takes any bytes and must neither panic, hang nor
//! take memory without bound. `scripts/soak fuzz` searches for bytes that make one; `tests/corpus.rs` replays in
//! seconds what was found worth keeping, in `corpus/TARGET`.
//!
//! Where a checksum would keep the fuzzer out, a target sets it right on most inputs, so that what is behind it is
//! reached too.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a target reports by panicking"
)]

mod audit;
mod boot;
mod builder;
mod desk;
mod files;
mod forward;
mod identity;
mod network;
mod patches;
mod session;
mod update;

/// A parser under test.
pub type Target = fn(&[u8]);

/// All targets by name, sorted.
pub const TARGETS: &[(&str, Target)] = &[
    ("accept-encoding", forward::accept_encoding),
    ("auditable", builder::auditable),
    ("audit-record", audit::record),
    ("batch", forward::batch),
    ("binary-event", forward::binary_event),
    ("bundle", update::bundle),
    ("boot-entry", boot::boot_entry),
    ("certificate-requests", identity::requests),
    ("certificates", identity::certificates),
    ("consent", session::consent),
    ("bzimage", patches::bzimage),
    ("content-type", forward::content_type),
    ("copyright", builder::copyright),
    ("deb", builder::deb),
    ("debian-version", builder::debian_version),
    ("dhcp", network::dhcp),
    ("directive", session::directive),
    ("directives", session::directives),
    ("elf", builder::elf),
    ("environment", boot::environment),
    ("event", forward::event),
    ("fat", builder::fat),
    ("file-name", files::name),
    ("file-range", files::range),
    ("file-shelf", files::shelf),
    ("form", session::form),
    ("gpt", boot::gpt),
    ("inbox", files::inbox),
    ("inbox-range", files::slice),
    ("identity-memory", identity::memory),
    ("installed-uki", boot::installed_uki),
    ("installer-order", boot::installer_order),
    ("json-pointer", forward::json_pointer),
    ("kept-copy", boot::kept_copy),
    ("kernel-module", builder::kernel_module),
    ("log", forward::log),
    ("look-frame", network::frame),
    ("names", network::names),
    ("nft-listing", network::nft_listing),
    ("notify", boot::notify),
    ("openings", network::openings),
    ("openvpn-line", session::openvpn),
    ("packages", builder::packages),
    ("patch", patches::patch),
    ("provision", boot::provision),
    ("receipt", forward::receipt),
    ("relay", network::relay),
    ("release", builder::release),
    ("retry-after", forward::retry_after),
    ("signature", builder::signature),
    ("site", boot::site),
    ("tuf", update::tuf),
    ("tuf-memory", update::memory),
    ("uki", builder::uki),
    ("update-floor", update::floor),
    ("update-key", desk::update_key),
    ("update-root", desk::update_root),
    ("update-state", update::state),
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, target)| *target)
}

/// A file without a name that holds `bytes`, for parsers that read files.
fn file_of(bytes: &[u8]) -> std::fs::File {
    use std::io::{Seek as _, Write as _};
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let mut file = std::fs::File::from(rustix::fs::memfd_create("fuzz", flags).expect("a memory file"));
    file.write_all(bytes).expect("room for it");
    file.rewind().expect("a file seeks");
    file
}

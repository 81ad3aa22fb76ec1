//! OpenVPN's command line: what matters is said, and not left to a default that may move.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use netfw::model::Host;
use netfw::plan::TUNNEL;

use super::Config;

/// What of the server's options is taken; everything else is ignored.
const TAKEN: [&str; 7] = [
    "ifconfig ",
    "topology",
    "ping",
    "peer-id",
    "cipher",
    "protocol-flags",
    "key-derivation",
];

/// The command line of one session of `time`.
pub(super) fn of(config: &Config, socket: &Path, time: Duration) -> Vec<OsString> {
    let mut list: Vec<OsString> = Vec::new();
    let mut add = |words: &[&str]| list.extend(words.iter().map(OsString::from));
    if config.fips {
        // Named here, so that a provider that cannot be loaded is an error and the default one never steps in.
        add(&["--providers", "fips", "base"]);
    }
    let host = match &config.server.host {
        Host::Ip(address) => address.to_string(),
        Host::Name(name) => name.clone(),
    };
    add(&["--client", "--proto", "tcp-client", "--nobind", "--disable-dco"]);
    add(&["--remote", &host, &config.server.port.to_string()]);
    let (relay, port) = (config.relay.ip().to_string(), config.relay.port().to_string());
    add(&["--http-proxy", &relay, &port]);
    // The link is there and is given its address by netd.
    add(&[
        "--dev",
        TUNNEL,
        "--dev-type",
        "tun",
        "--ifconfig-noexec",
        "--route-noexec",
    ]);
    add(&["--route-nopull", "--script-security", "0"]);
    for option in TAKEN {
        add(&["--pull-filter", "accept", option]);
    }
    add(&["--pull-filter", "ignore", ""]);
    add(&[
        "--tls-version-min",
        "1.3",
        "--tls-ciphersuites",
        "TLS_AES_256_GCM_SHA384",
    ]);
    add(&["--tls-groups", "secp384r1", "--data-ciphers", "AES-256-GCM"]);
    add(&["--remote-cert-tls", "server", "--auth-nocache"]);
    // A tunnel that broke is the end of its session.
    add(&["--single-session", "--remap-usr1", "SIGTERM"]);
    add(&["--connect-retry-max", "1", "--connect-timeout", "30"]);
    add(&["--hand-window", "30", "--ping", "10", "--ping-exit", "30"]);
    add(&["--session-timeout", &time.as_secs().max(1).to_string()]);
    if let Some(rate) = config.rate_limit {
        // Bytes a second; OpenVPN takes 100 at least.
        add(&["--shaper", &(rate.bits_per_second() / 8).max(100).to_string()]);
    }
    add(&["--management-client", "--management-hold", "--verb", "1"]);
    let files = [
        ("--ca", "tunnel-ca.crt"),
        ("--cert", "tunnel.crt"),
        ("--key", "tunnel.key"),
        ("--tls-crypt-v2", "tunnel-crypt.key"),
    ];
    for (option, file) in files {
        list.extend([option.into(), config.identity.join(file).into()]);
    }
    // It uses none, and does not start without one.
    list.extend(["--tmp-dir".into(), config.folder.clone().into()]);
    list.extend(["--management".into(), socket.into(), "unix".into()]);
    list
}

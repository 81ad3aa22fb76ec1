//! The local page: seen in a real browser, and attacked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of a test ends it, with its error"
)]

mod consent;
mod hostile;
mod seen;
mod sessions;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use rap_core::identity;
use rap_core::web::{Config, Listener, Place, Server};
use rap_tests::keys;
use serde_json::json;

/// The pages at one port, of a box that has something to tell.
struct Rig {
    directory: tempfile::TempDir,
    server: Server,
}

impl Rig {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        keys::write(directory.path()).unwrap();
        let place = tell(directory.path());
        let config = Config {
            name: "rap-ward-3".to_owned(),
            place,
            listeners: vec![Listener {
                port: "port1".to_owned(),
                socket: TcpListener::bind("127.0.0.1:0").unwrap(),
            }],
        };
        let tls = identity::ingest_tls(directory.path()).unwrap();
        let server = Server::start(config, tls).unwrap();
        Self { directory, server }
    }

    fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }
}

/// What the services of a box with a trouble say, below `directory`.
fn tell(directory: &Path) -> Place {
    let status = directory.join("status");
    std::fs::create_dir(&status).unwrap();
    let write = |path: &Path, value: &serde_json::Value| std::fs::write(path, value.to_string()).unwrap();
    let link = |name: &str, nic: &str, link: &str, address: Option<&str>| json!({ "name": name, "nic": nic, "link": link, "address": address });
    write(
        &status.join("netd.json"),
        &json!({
            "site": "ab", "on-trial": false, "trials": [], "problems": ["port2: no cable, or nothing at its other end"],
            "uplink": link("uplink", "pci:0000:00:10.0", "up", Some("10.9.0.2/24")),
            "ports": [link("port1", "pci:0000:00:11.0", "up", Some("192.168.1.1/24")),
                      link("port2", "pci:0000:00:12.0", "no cable", None)],
        }),
    );
    let lane = |waiting: u64| {
        json!({ "waiting": waiting, "waiting-bytes": 0, "taken": 40, "passed": 40 - waiting,
        "taken-per-second": 0.0, "passed-per-second": 0.0, "lost": 0 })
    };
    write(
        &status.join("forward.json"),
        &json!({
            "alert": lane(0), "routine": lane(3), "room": { "used": 1, "limit": 2 }, "refused": { "kept": 0, "given-up": 0 },
            "trouble": "the hospital's proxy wants a password", "delivered-at": "2026-11-28T10:00:00Z", "delivered": 37,
        }),
    );
    let service = |name: &str, restarts: u32| json!({ "name": name, "state": "running", "pid": 7, "restarts": restarts, "text": "" });
    write(
        &status.join("init.json"),
        &json!({
            "ready-after-seconds": 8.5, "watchdog": null, "data": true, "secure-boot": "on", "problems": [],
            "services": [service("netd", 0), service("relay", 0), service("forward", 1), service("web", 0)],
        }),
    );
    let release =
        |number: u64, version: &str| json!({ "number": number, "version": version, "build-id": "9c46c4db" });
    write(
        &status.join("update.json"),
        &json!({
            "running": release(7, "1.4.0"), "floor": 7, "doing": "idle", "repository": "https://updates.vendor.example/rap",
            "slots": [{ "slot": "A", "version": "1.4.0", "build-id": "9c46c4db", "state": "confirmed", "running": true },
                      { "slot": "B", "version": "1.3.9", "build-id": "0d57", "state": "failed", "running": false }],
            "offer": { "release": release(8, "1.4.1"), "published": 1_790_000_000_u64, "changes": ["OpenSSL 3.5.5"] },
            "history": [{ "at": "2026-11-20T02:00:00Z", "release": release(7, "1.4.0"), "what": "confirmed", "why": "all was well" }],
        }),
    );
    let packages: Vec<_> = (0..40)
        .map(|n| json!({ "name": format!("libexample{n}"), "version": format!("1:{n}.0-1+deb13u{n}") }))
        .collect();
    let place = Place {
        site: directory.join("site.toml"),
        identity: directory.to_owned(),
        status,
        build: directory.join("build.json"),
        packages: directory.join("packages.json"),
        sessions: directory.join("consent.sock"),
    };
    write(&place.packages, &json!({ "parts": [], "packages": packages }));
    write(
        &place.build,
        &json!({
            "version": "0.1.0", "build-id": "9c46c4db".repeat(8), "built": 1_790_000_000_u64,
            "overlays": ["base", "generic-x86"], "fips": true, "development": false,
        }),
    );
    place
}

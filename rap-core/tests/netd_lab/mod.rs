//! A machine of namespaces for netd: a hospital network and two instruments around a root namespace.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "shared by tests that each use a part; in a test a panic is the message"
)]

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use netfw::Machine;
use netfw::netns::Namespace;
use rap_core::netd::Place;
use rap_core::notify::{Channel, Message, Notifier};
use rap_core::site::Site;

pub(crate) struct Lab {
    prefix: String,
    directory: tempfile::TempDir,
    channel: Channel,
    pub(crate) sockets: Vec<(String, OwnedFd)>,
    pub(crate) ready: bool,
}

/// Says why not, and fails under CI, when this cannot be tried here.
pub(crate) fn possible(programs: &[&str]) -> bool {
    let root = rustix::process::geteuid().is_root();
    let missing = programs.iter().find(|program| !Path::new(program).exists());
    let reason = match missing {
        Some(program) => format!("needs {program}"),
        None if !root => "needs root".to_owned(),
        None => return true,
    };
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    println!("skipped: {reason}");
    false
}

impl Lab {
    /// Builds the machine and starts netd in it with `site`.
    pub(crate) fn start(test: &str, site: &str) -> Self {
        let prefix = format!("netd{}{test}-", std::process::id());
        let (channel, other) = Channel::pair().unwrap();
        let lab = Self {
            prefix,
            directory: tempfile::tempdir().unwrap(),
            channel,
            sockets: Vec::new(),
            ready: false,
        };
        for name in ["root", "lan", "i1", "i2"] {
            ip(&format!("netns add {}", lab.full(name)));
        }
        lab.cable("up0", "02:00:00:00:00:01", "lan");
        lab.cable("eth1", "02:00:00:00:00:11", "i1");
        lab.cable("eth2", "02:00:00:00:00:12", "i2");
        ip(&format!("-n {} addr add 10.9.0.10/24 dev eth0", lab.full("lan")));

        let site = Site::parse(site, Path::new("site.toml")).unwrap();
        let place = Place {
            machine: Machine {
                root: lab.ns("root"),
                prefix: lab.prefix.clone(),
            },
            status: lab.path("status"),
            runtime: lab.path("runtime"),
        };
        std::thread::spawn(move || {
            let ended = rap_core::netd::serve(&site, &place, &Notifier::over(other));
            eprintln!("netd ended: {ended:?}");
        });
        lab
    }

    pub(crate) fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(crate) fn ns(&self, name: &str) -> Namespace {
        Namespace::Named(self.full(name))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn cable(&self, end: &str, mac: &str, other: &str) {
        let (root, other) = (self.full("root"), self.full(other));
        ip(&format!(
            "link add {end} netns {root} address {mac} type veth peer name eth0 netns {other} address 06{}",
            &mac[2..]
        ));
        ip(&format!("-n {other} link set eth0 up"));
    }

    /// What netd last said of itself.
    pub(crate) fn status(&mut self) -> serde_json::Value {
        while let Ok(Some(message)) = self.channel.receive() {
            match message {
                Message::Ready => self.ready = true,
                Message::Store { name, socket } => self.sockets.push((name, socket)),
                Message::Alive | Message::Status(_) => {}
            }
        }
        let all = rap_core::status::read_all(&self.path("status")).unwrap_or_default();
        all.get("netd").cloned().unwrap_or_default()
    }

    /// Waits until the status is as wanted.
    pub(crate) fn wait(
        &mut self,
        what: &str,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            let status = self.status();
            if self.ready && wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "never {what}: {status:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in ["port1", "port2", "root", "lan", "i1", "i2"] {
            let _ = self.ns(name).remove();
        }
    }
}

pub(crate) fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

//! A machine of namespaces for netd: a hospital network and two instruments around a root namespace.
//!
//! netd is a process of its own, as on the box, so that it can be killed and started again: this very test program,
//! with what it needs in its environment ([`be_netd`]). The lab plays init: it keeps the sockets and hands them back.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "shared by tests that each use a part; in a test a panic is the message"
)]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use netfw::Machine;
use netfw::netns::Namespace;
use rap_core::netd::Place;
use rap_core::notify::{Channel, Message, NOTIFY_FD, Notifier, SOCKETS, socket_list};

use rustix::process::{Pid, Signal, kill_process};

/// What a netd in the lab finds in its environment: the prefix of the namespaces, the lab's folder, and the length of a
/// trial in milliseconds.
const PREFIX: &str = "RAP_LAB_PREFIX";
const FOLDER: &str = "RAP_LAB_FOLDER";
const TRIAL: &str = "RAP_LAB_TRIAL";

pub(crate) struct Lab {
    prefix: String,
    directory: tempfile::TempDir,
    /// The command with which this program becomes [`be_netd`].
    command: Vec<String>,
    trial: Duration,
    netd: Option<(Child, Channel)>,
    /// What init would keep.
    pub(crate) sockets: BTreeMap<String, OwnedFd>,
    pub(crate) ready: bool,
    /// How often netd said that what it gives to others changes.
    pub(crate) reloads: u32,
}

/// netd, when this process was started to be one; returns when it was not.
pub(crate) fn be_netd() {
    let variable = |name| std::env::var(name).ok();
    let (Some(prefix), Some(folder)) = (variable(PREFIX), variable(FOLDER).map(PathBuf::from)) else {
        return;
    };
    // Its lab may have gone without a word.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    rap_core::console::start("netd");
    let place = Place {
        machine: Machine {
            root: Namespace::Named(format!("{prefix}root")),
            prefix,
        },
        status: folder.join("status"),
        runtime: folder.join("runtime"),
        config: folder.join("config"),
        in_force: folder.join("site.toml"),
        control: folder.join("netd.sock"),
        boot_id: folder.join("boot-id"),
        trial: Duration::from_millis(variable(TRIAL).unwrap().parse().unwrap()),
    };
    panic!(
        "netd ended: {:?}",
        rap_core::netd::serve(&place, &Notifier::from_environment())
    );
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
        let mut lab = Self::build(test, site);
        lab.start_netd();
        lab
    }

    /// Builds the machine.
    pub(crate) fn build(test: &str, site: &str) -> Self {
        let prefix = format!("netd{}{test}-", std::process::id());
        let lab = Self {
            prefix,
            directory: tempfile::tempdir().unwrap(),
            command: [&*program(), "netd_process", "--exact", "--nocapture"]
                .map(str::to_owned)
                .to_vec(),
            trial: Duration::from_secs(120),
            netd: None,
            sockets: BTreeMap::new(),
            ready: false,
            reloads: 0,
        };
        for name in ["root", "lan", "i1", "i2"] {
            ip(&format!("netns add {}", lab.full(name)));
        }
        lab.cable("up0", "02:00:00:00:00:01", "lan");
        lab.cable("eth1", "02:00:00:00:00:11", "i1");
        lab.cable("eth2", "02:00:00:00:00:12", "i2");
        ip(&format!("-n {} addr add 10.9.0.10/24 dev eth0", lab.full("lan")));

        std::fs::create_dir(lab.path("config")).unwrap();
        std::fs::write(lab.path("config/site.toml"), site).unwrap();
        std::fs::write(lab.path("boot-id"), "the first boot").unwrap();
        lab
    }

    /// How long a trial lasts from the next start of netd on.
    pub(crate) fn with_trial(mut self, trial: Duration) -> Self {
        self.trial = trial;
        self
    }

    /// Gives netd folders of its own where dhcpcd keeps what belongs to a link's name, from its next start on: labs
    /// whose uplinks have the same name do not know of one another. What netd mounts in `/run/netns` is seen by all.
    pub(crate) fn with_own_dhcpcd(mut self) -> Self {
        let mounts = "mount --make-private / && { mount --make-private /run 2>/dev/null || true; } && \
                      mkdir -p /run/dhcpcd /var/lib/dhcpcd && \
                      mount -t tmpfs none /run/dhcpcd && mount -t tmpfs none /var/lib/dhcpcd && exec \"$0\" \"$@\"";
        let words = [
            "unshare",
            "--mount",
            "--propagation",
            "unchanged",
            "sh",
            "-c",
            mounts,
        ];
        self.command = words.map(str::to_owned).to_vec();
        self.command.push(program());
        self
    }

    /// Has netd know these users besides the host's, from its next start on: lines of passwd(5).
    pub(crate) fn with_users(mut self, lines: &str) -> Self {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
        std::fs::write(self.path("passwd"), format!("{passwd}{lines}")).unwrap();
        self.command.splice(0..0, self.knowing_users("exec"));
        self
    }

    /// Before a command, so that it finds the users of [`Self::with_users`]; `exec` is how it goes on.
    pub(crate) fn knowing_users(&self, exec: &str) -> Vec<String> {
        let passwd = self.path("passwd");
        let passwd = passwd.display();
        let mounts =
            format!("mount --make-private / && mount --bind {passwd} /etc/passwd && {exec} \"$0\" \"$@\"");
        let words = [
            "unshare",
            "--mount",
            "--propagation",
            "unchanged",
            "sh",
            "-c",
            &mounts,
        ];
        words.map(str::to_owned).to_vec()
    }

    /// Starts netd as init would: with the sockets that are kept.
    pub(crate) fn start_netd(&mut self) {
        let (channel, other) = Channel::pair().unwrap();
        let inherit = |fd: &dyn AsFd| {
            let copy = rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), 3).unwrap();
            rustix::io::fcntl_setfd(&copy, rustix::io::FdFlags::empty()).unwrap();
            copy
        };
        let notify = inherit(&other);
        let kept: Vec<_> = self
            .sockets
            .iter()
            .map(|(name, fd)| (name, inherit(fd)))
            .collect();
        let list = socket_list(kept.iter().map(|(name, fd)| (name.as_str(), fd.as_raw_fd())));
        let child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .env(NOTIFY_FD, notify.as_raw_fd().to_string())
            .env(SOCKETS, list)
            .env(PREFIX, &self.prefix)
            .env(FOLDER, self.directory.path())
            .env(TRIAL, self.trial.as_millis().to_string())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        self.ready = false;
        self.netd = Some((child, channel));
    }

    /// Ends netd as a crash does.
    pub(crate) fn kill_netd(&mut self) {
        if let Some((mut child, _)) = self.netd.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(crate) fn machine(&self) -> Machine {
        Machine {
            root: self.ns("root"),
            prefix: self.prefix.clone(),
        }
    }

    pub(crate) fn ns(&self, name: &str) -> Namespace {
        Namespace::Named(self.full(name))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs nft in one of the namespaces.
    pub(crate) fn nft(&self, name: &str, arguments: &str) -> String {
        nft_in(&self.ns(name), arguments)
    }

    pub(crate) fn cable(&self, end: &str, mac: &str, other: &str) {
        let (root, other) = (self.full("root"), self.full(other));
        ip(&format!(
            "link add {end} netns {root} address {mac} type veth peer name eth0 netns {other} address 06{}",
            &mac[2..]
        ));
        ip(&format!("-n {other} link set eth0 up"));
    }

    /// Asks netd over its control socket, in the words of its protocol.
    pub(crate) fn ask(&self, request: &serde_json::Value) -> serde_json::Value {
        let mut stream = UnixStream::connect(self.path("netd.sock")).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    /// What netd last said of itself.
    pub(crate) fn status(&mut self) -> serde_json::Value {
        while let Some(Ok(Some(message))) = self.netd.as_ref().map(|(_, channel)| channel.receive()) {
            match message {
                Message::Ready => self.ready = true,
                Message::Reloading => {
                    self.ready = false;
                    self.reloads += 1;
                }
                Message::Store { name, socket } => drop(self.sockets.insert(name, socket)),
                Message::Forget { name } => drop(self.sockets.remove(&name)),
                Message::Alive | Message::Status(_) | Message::Restart(_) => {}
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
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.kill_netd();
        // A DHCP client outlives its netd.
        for pid in ip(&format!("netns pids {}", self.full("root"))).split_whitespace() {
            let pid = pid.parse().ok().and_then(Pid::from_raw);
            let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
        }
        for name in ["port1", "port2", "root", "lan", "i1", "i2"] {
            let _ = self.ns(name).remove();
        }
    }
}

fn nft_in(namespace: &Namespace, arguments: &str) -> String {
    let run = || Command::new("nft").args(arguments.split_whitespace()).output();
    let output = namespace.run(run).unwrap().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "nft {arguments}: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn program() -> String {
    std::env::current_exe().unwrap().to_str().unwrap().to_owned()
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

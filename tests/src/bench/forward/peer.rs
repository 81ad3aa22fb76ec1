//! The peers' programs, unpacked from Debian's packages by `scripts/bench` and never installed: each is started in the
//! foreground, in a directory of its own, and with the rights of who measures.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rap_qemu::process::{Running, spawn};

use super::ours::memory;

/// How long a peer may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where nobody listens: the destination of a peer that is to keep everything.
pub(super) const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// The tree the packages were unpacked into.
#[derive(Debug, Clone)]
pub(super) struct Peers(PathBuf);

impl Peers {
    /// `None` when they are not there.
    pub(super) fn at(tree: &Path) -> Option<Self> {
        let tree = std::path::absolute(tree).ok()?;
        let both = ["usr/sbin/rsyslogd", "usr/sbin/syslog-ng"];
        both.iter()
            .all(|program| tree.join(program).is_file())
            .then_some(Self(tree))
    }

    /// A program of the tree, with the tree's libraries.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.0.join("usr/sbin").join(program));
        let libraries = [
            self.libraries("usr/lib"),
            self.libraries("lib"),
            self.0.join("usr/lib/syslog-ng"),
        ];
        let libraries = libraries.map(|path| path.display().to_string()).join(":");
        command.env("LD_LIBRARY_PATH", libraries);
        command
    }

    /// Where Debian has the machine's libraries, in the tree: below `usr/lib`, older ones below `lib`.
    pub(super) fn libraries(&self, parent: &str) -> PathBuf {
        let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
        self.0.join(parent).join(machine)
    }

    /// The only folder in `usr/lib/syslog-ng`: its modules, in a folder named after its version.
    pub(super) fn syslog_ng_modules(&self) -> anyhow::Result<PathBuf> {
        let parent = self.0.join("usr/lib/syslog-ng");
        let folders = std::fs::read_dir(&parent).with_context(|| parent.display().to_string())?;
        let folder = folders.filter_map(Result::ok).find(|entry| entry.path().is_dir());
        Ok(folder.context("the modules of syslog-ng")?.path())
    }
}

/// A peer that listens.
#[derive(Debug)]
pub(super) struct Peer {
    process: Running,
    pub(super) address: SocketAddr,
}

impl Peer {
    /// Starts `command`, whose output goes into `output`, and waits until `address` takes connections.
    pub(super) fn start(mut command: Command, address: SocketAddr, output: &Path) -> anyhow::Result<Self> {
        let file = File::create(output)?;
        command
            .stdin(Stdio::null())
            .stderr(file.try_clone()?)
            .stdout(file);
        let process = Running(spawn(command, None, Vec::new())?);
        let mut peer = Self { process, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let said = || std::fs::read_to_string(output).unwrap_or_default();
            ensure!(
                begun.elapsed() < PATIENCE && peer.process.0.try_wait()?.is_none(),
                "a peer does not listen: {}",
                said().trim()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(peer)
    }

    /// The most memory it ever held, in MiB.
    pub(super) fn most_memory(&self) -> anyhow::Result<f64> {
        memory(self.process.0.id())
    }
}

/// An address on the loopback that is free now.
pub(super) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

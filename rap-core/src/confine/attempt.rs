//! What a compromised service would try. A *twin* of a service, confined by the same line of the table and put to the same
//! lists, tries it for real, and says what came of it: so `rapctl hardening` tells what this kernel does now, and not what
//! somebody meant.
//!
//! No attempt harms when it succeeds: devices are opened and not written, signals are number 0.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::table::{Calls, Port};
use super::{Confinement, Needs, enter, of};

/// Something a service has no business with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Attempt {
    /// Read the box's private key.
    ReadKey,
    /// Look into the data of another service.
    OthersData,
    /// Put another site in force.
    WriteSite,
    /// Write the kernel's settings.
    WriteSettings,
    /// Write a slot of the system.
    WriteSlot,
    /// Send packets of one's own making.
    RawSocket,
    /// Change the firewall.
    Firewall,
    /// Connect to somewhere else than the relay.
    Connect,
    /// Listen where nobody expects it.
    Listen,
    /// Start a program.
    Execute,
    /// Be root.
    BecomeRoot,
    /// Mount a file system.
    Mount,
    /// Load code into the kernel.
    LoadModule,
    /// Signal a process outside.
    Signal,
    /// Run memory that was written.
    RunMemory,
}

/// Every attempt.
const ALL: [Attempt; 15] = [
    Attempt::ReadKey,
    Attempt::OthersData,
    Attempt::WriteSite,
    Attempt::WriteSettings,
    Attempt::WriteSlot,
    Attempt::RawSocket,
    Attempt::Firewall,
    Attempt::Connect,
    Attempt::Listen,
    Attempt::Execute,
    Attempt::BecomeRoot,
    Attempt::Mount,
    Attempt::LoadModule,
    Attempt::Signal,
    Attempt::RunMemory,
];

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// What was tried.
    pub(crate) attempt: Attempt,
    /// Why it was refused; `None` when it was not.
    pub(crate) refused: Option<String>,
}

/// What a twin tries its hands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Where `/data`, `/run` and the like are.
    pub(crate) root: PathBuf,
    /// The device or file that is a slot.
    pub(crate) slot: PathBuf,
}

impl Attempt {
    /// In words, as something that is refused.
    #[must_use]
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::ReadKey => "read the box's key",
            Self::OthersData => "look into another service's data",
            Self::WriteSite => "put another site in force",
            Self::WriteSettings => "write the kernel's settings",
            Self::WriteSlot => "write a slot",
            Self::RawSocket => "open a raw socket",
            Self::Firewall => "change the firewall",
            Self::Connect => "connect past the relay",
            Self::Listen => "listen on a port",
            Self::Execute => "start a program",
            Self::BecomeRoot => "become root",
            Self::Mount => "mount a file system",
            Self::LoadModule => "load a kernel module",
            Self::Signal => "signal a process outside",
            Self::RunMemory => "run memory it wrote",
        }
    }

    /// Whether the service has no business with it. The rest is what it is for.
    fn is_refused_to(self, needs: &Needs) -> bool {
        let makes_networks = needs.calls.contains(&Calls::Network);
        match self {
            // Who makes the keys reads them, and who shows them.
            Self::ReadKey => !matches!(needs.service, "forward" | "update" | "identity" | "trail"),
            Self::WriteSite | Self::RawSocket | Self::Firewall => !makes_networks,
            // Who starts programs lets their loader map them. Which ones is said by the files it may start.
            Self::Execute | Self::RunMemory => !makes_networks && !needs.calls.contains(&Calls::Tunnel),
            Self::Connect => needs.connects != Port::Any,
            Self::Listen => needs.binds != Port::Any,
            _ => true,
        }
    }

    fn make(self, needs: &Needs, target: &Target) -> io::Result<()> {
        let at = |path: &str| target.root.join(path);
        let write = |path: &Path| OpenOptions::new().write(true).open(path).map(drop);
        match self {
            Self::ReadKey => read_key(&at("data/config/identity")),
            Self::OthersData => {
                let whose = if matches!(needs.service, "forward" | "audit") {
                    "data/config"
                } else {
                    "data/forward"
                };
                std::fs::read_dir(at(whose)).map(drop)
            }
            Self::WriteSite => write(&at("run/rap/site.toml")),
            Self::WriteSettings => write(Path::new("/proc/sys/kernel/core_pattern")),
            Self::WriteSlot => write(&target.slot),
            Self::RawSocket => open(AddressFamily::INET, Some(rustix::net::ipproto::ICMP)),
            Self::Firewall => open(AddressFamily::NETLINK, Some(netlink::NETFILTER)),
            // Discard (RFC 863): nobody is there, and the kernel says so to whoever may ask.
            Self::Connect => TcpStream::connect((Ipv4Addr::LOCALHOST, 9)).map(drop),
            Self::Listen => TcpListener::bind((Ipv4Addr::LOCALHOST, 8080)).map(drop),
            Self::Execute => Err(Command::new("/proc/self/exe").arg("--version").exec()),
            Self::BecomeRoot => Ok(rustix::thread::set_thread_uid(rustix::fs::Uid::ROOT)?),
            Self::Mount => {
                let flags = rustix::mount::MountFlags::RDONLY;
                Ok(rustix::mount::mount("none", &target.root, "tmpfs", flags, c"")?)
            }
            Self::LoadModule => Ok(rustix::system::init_module(&[], c"")?),
            Self::Signal => Ok(rustix::process::test_kill_process(Pid::INIT)?),
            Self::RunMemory => crate::sys::map_executable(),
        }
    }
}

fn open(family: AddressFamily, protocol: Option<rustix::net::Protocol>) -> io::Result<()> {
    Ok(socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, protocol).map(drop)?)
}

/// Is the twin of `service`: confined already but for its system calls, tries everything that is to be refused, and writes
/// what came of it to standard output, a line of JSON an attempt.
#[must_use]
pub(crate) fn twin(service: &str, root: &Path, slot: &Path) -> ExitCode {
    let target = Target {
        root: root.to_owned(),
        slot: slot.to_owned(),
    };
    let Some(needs) = of(service) else {
        return ExitCode::from(2);
    };
    if let Err(error) = enter(service) {
        eprintln!("{:#}", anyhow::Error::from(error));
        return ExitCode::FAILURE;
    }
    for attempt in ALL.into_iter().filter(|attempt| attempt.is_refused_to(needs)) {
        let outcome = Outcome {
            attempt,
            refused: refusal(attempt.make(needs, &target)),
        };
        if let Ok(line) = serde_json::to_string(&outcome) {
            println!("{line}");
        }
    }
    ExitCode::SUCCESS
}

/// An error is a refusal only when it says so: that nobody answers, or that there is no such thing, is none.
fn refusal(result: io::Result<()>) -> Option<String> {
    let error = result.err()?;
    let is = matches!(error.kind(), io::ErrorKind::PermissionDenied);
    is.then(|| error.to_string())
}

/// Starts a twin of `needs`' service by `command`, whose program calls [`twin`], and reads what it says. An attempt that it
/// does not speak of was not refused: it ended the twin, or became another program.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn try_all(
    needs: &Needs,
    confinement: Confinement,
    mut command: Command,
) -> io::Result<Vec<Outcome>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    confinement.put_on(&mut command);
    let output = command.output()?;
    let said: Vec<Outcome> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let expected = ALL.into_iter().filter(|attempt| attempt.is_refused_to(needs));
    Ok(expected
        .map(|attempt| {
            let found = said.iter().find(|outcome| outcome.attempt == attempt);
            found.cloned().unwrap_or(Outcome {
                attempt,
                refused: None,
            })
        })
        .collect())
}

/// Opens the box's key, given or made on the box; where one is not there, what became of the other counts.
fn read_key(identity: &Path) -> io::Result<()> {
    let open = |name: &str| File::open(identity.join(name)).map(drop);
    match (open("device.key"), open("made/forward/device.pem")) {
        (Err(error), made) if error.kind() == io::ErrorKind::NotFound => made,
        (given, Err(error)) if error.kind() == io::ErrorKind::NotFound => given,
        (given, made) => given.or(made),
    }
}

#[cfg(test)]
mod tests;

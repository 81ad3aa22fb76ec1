//! One computer of the lab: a network namespace in which real programs run.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::Namespace;
use super::probe::Verdict;
use crate::process::{Running, spawn};
use crate::{Error, Result};

/// A host. It is gone with this value and the programs in it.
#[derive(Debug)]
pub struct Host {
    name: String,
    namespace: Namespace,
}

impl Host {
    /// A host with nothing but its loopback interface, which is up. The name is for messages only.
    ///
    /// # Errors
    /// When there is no right to make network namespaces.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let namespace = Namespace::new().map_err(|e| Error::Network("make a network namespace", e))?;
        let host = Self {
            name: name.into(),
            namespace,
        };
        host.ip("link set lo up")?;
        Ok(host)
    }

    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Starts a program on this host. It is killed when the returned value is dropped or this process ends.
    ///
    /// # Errors
    /// When the program is missing or cannot be started.
    pub fn start(&self, command: Command) -> Result<Running> {
        spawn(command, Some(&self.namespace), Vec::new()).map(Running)
    }

    /// Runs a program on this host to its end and returns what it printed, whether it succeeded or not.
    ///
    /// # Errors
    /// When the program is missing or cannot be started.
    pub fn output(&self, mut command: Command) -> Result<Output> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let child = spawn(command, Some(&self.namespace), Vec::new())?;
        child
            .wait_with_output()
            .map_err(|source| Error::Start { program, source })
    }

    /// Runs `work` on this host, on a thread of its own: sockets made there are this host's.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.namespace
            .run(work)
            .map_err(|e| Error::Network("enter a host's namespace", e))
    }

    /// Runs iproute2's `ip` here with `arguments` split at spaces.
    ///
    /// # Errors
    /// When `ip` is missing or refuses; its words are in the error.
    pub fn ip(&self, arguments: &str) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(arguments.split(' '));
        let output = self.output(command)?;
        if output.status.success() {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Failed {
            command: format!("ip {arguments} (on {})", self.name),
            stderr,
        })
    }

    /// Gives `interface` an address, brings it up, and routes everything else through `gateway` if there is one.
    ///
    /// # Errors
    /// As [`Self::ip`].
    pub fn configure(
        &self,
        interface: &str,
        address: Ipv4Addr,
        prefix: u8,
        gateway: Option<Ipv4Addr>,
    ) -> Result<()> {
        self.ip(&format!("address replace {address}/{prefix} dev {interface}"))?;
        self.ip(&format!("link set {interface} up"))?;
        match gateway {
            Some(gateway) => self.ip(&format!(
                "route replace default via {gateway} dev {interface} onlink"
            )),
            None => Ok(()),
        }
    }

    /// Lays a cable between this host's new interface `here` and the other's `there`.
    ///
    /// # Errors
    /// As [`Self::ip`].
    pub fn connect(&self, here: &str, other: &Host, there: &str) -> Result<()> {
        let place = other.namespace.path();
        self.ip(&format!(
            "link add {here} type veth peer name {there} netns {place}"
        ))
    }

    /// Starts a DHCP and name server (dnsmasq) on `interface`, where this host is `address`: one lease, `lease`, and
    /// the names in `names`. Returns when it serves.
    ///
    /// # Errors
    /// As [`Self::start`], and with its last words when it ends at once.
    pub fn serve_dhcp(
        &self,
        interface: &str,
        address: Ipv4Addr,
        lease: Ipv4Addr,
        names: &[(&str, Ipv4Addr)],
        directory: &Path,
    ) -> Result<Running> {
        let mut dnsmasq = Command::new("dnsmasq");
        // Debug mode: in the foreground, and no change of user, which a user namespace refuses.
        dnsmasq.args([
            "--no-daemon",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
        ]);
        dnsmasq.args([format!("--interface={interface}"), "--bind-interfaces".to_owned()]);
        dnsmasq.arg(format!("--dhcp-range={lease},{lease},1h"));
        dnsmasq.arg(format!("--dhcp-leasefile={}", directory.join("leases").display()));
        dnsmasq.arg("--dhcp-authoritative");
        // Firmware that would boot from the network takes no lease without a file's name; others do not ask for it.
        dnsmasq.arg("--dhcp-boot=none");
        for (name, address) in names {
            dnsmasq.arg(format!("--address=/{name}/{address}"));
        }
        let log = directory.join("dnsmasq.log");
        let failed = |source| Error::File {
            verb: "write",
            path: log.clone(),
            source,
        };
        let output = std::fs::File::create(&log).map_err(failed)?;
        dnsmasq.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        let mut server = self.start(dnsmasq)?;
        // It answers for names over TCP as soon as it serves.
        let here = SocketAddrV4::new(address, 53);
        while self.try_tcp(here, Duration::from_secs(1))? != Verdict::Open {
            if !matches!(server.0.try_wait(), Ok(None)) {
                let stderr = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(Error::Failed {
                    command: "dnsmasq".to_owned(),
                    stderr: stderr.trim().to_owned(),
                });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// Asks for an address by DHCP on `interface` (busybox udhcpc) for about six seconds. The answer is not applied.
    ///
    /// # Errors
    /// When busybox is missing; no answer is `Ok(None)`.
    pub fn ask_dhcp(&self, interface: &str) -> Result<Option<Lease>> {
        let failed = |source| Error::Start {
            program: "udhcpc".to_owned(),
            source,
        };
        let script = lease_script().map_err(failed)?;
        let mut udhcpc = Command::new("busybox");
        udhcpc.args([
            "udhcpc", "-f", "-n", "-q", "-t", "3", "-T", "2", "-i", interface, "-s",
        ]);
        udhcpc.arg(&script as &Path);
        let output = self.output(udhcpc)?;
        Ok(Lease::parse(&String::from_utf8_lossy(&output.stdout)))
    }
}

/// What a DHCP server offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// The prefix length of its network.
    pub prefix: u8,
    /// The router, if one was named.
    pub router: Option<Ipv4Addr>,
    /// How long it holds, in seconds.
    pub seconds: u32,
}

impl Lease {
    /// Reads the one line the script below prints: address, prefix, seconds, router.
    fn parse(output: &str) -> Option<Self> {
        let line = output.lines().find_map(|line| line.strip_prefix("lease "))?;
        let mut words = line.split_whitespace();
        Some(Self {
            address: words.next()?.parse().ok()?,
            prefix: words.next()?.parse().ok()?,
            seconds: words.next()?.parse().ok()?,
            router: words.next().and_then(|word| word.parse().ok()),
        })
    }
}

/// udhcpc tells a program what it got; ours only prints it.
fn lease_script() -> io::Result<tempfile::TempPath> {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    let mut file = tempfile::Builder::new().prefix("rap-udhcpc-").tempfile()?;
    file.write_all(b"#!/bin/sh\n[ \"$1\" != bound ] || echo \"lease $ip $mask $lease $router\"\n")?;
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(0o700))?;
    // Closed, or the kernel would refuse to execute it (ETXTBSY).
    Ok(file.into_temp_path())
}

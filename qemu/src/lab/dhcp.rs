//! The hospital's DHCP and name servers, and a client that asks them.
//!
//! dnsmasq gives the box its one lease and answers for names. It refuses leases under two minutes, so what a test
//! changes on a running lab ([`Offer`]) is given by udhcpd.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Host;
use super::probe::Verdict;
use crate::process::Running;
use crate::{Error, Result};

/// How long a server may take to serve.
const START: Duration = Duration::from_secs(20);

/// What a DHCP server gives to the one who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The address.
    pub address: Ipv4Addr,
    /// The prefix length of its network.
    pub prefix: u8,
    /// The default router.
    pub router: Ipv4Addr,
    /// The name server.
    pub dns: Ipv4Addr,
    /// How long the lease holds, in whole seconds. dhcpcd takes anything shorter for 20 s, and renews at half of it.
    pub lifetime: Duration,
}

impl Host {
    /// Starts a DHCP and name server (dnsmasq) on `interface`, where this host is `address`: one lease, `lease`, or
    /// none, and the names in `names`. Returns when it serves.
    ///
    /// # Errors
    /// As [`Self::start`], and with its last words when it ends at once.
    pub fn serve_dhcp(
        &self,
        interface: &str,
        address: Ipv4Addr,
        lease: Option<Ipv4Addr>,
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
        if let Some(lease) = lease {
            dnsmasq.arg(format!("--dhcp-range={lease},{lease},1h"));
            dnsmasq.arg(format!("--dhcp-leasefile={}", directory.join("leases").display()));
            // Nobody else can have the address; asking around first would take three seconds.
            dnsmasq.args(["--dhcp-authoritative", "--no-ping"]);
            // Firmware that would boot from the network takes no lease without a file's name; others do not ask.
            dnsmasq.arg("--dhcp-boot=none");
        }
        for (name, address) in names {
            dnsmasq.arg(format!("--address=/{name}/{address}"));
        }
        // It answers for names over TCP as soon as it serves.
        let here = SocketAddrV4::new(address, 53);
        let log = directory.join("dnsmasq.log");
        self.serve(dnsmasq, log, || {
            Ok(self.try_tcp(here, Duration::from_secs(1))? == Verdict::Open)
        })
    }

    /// Starts a DHCP server (udhcpd) on `interface` that gives `offer`. Returns when it serves.
    ///
    /// # Errors
    /// As [`Self::serve_dhcp`].
    pub fn serve_offer(&self, interface: &str, offer: &Offer, directory: &Path) -> Result<Running> {
        let [leases, pid, configuration, log] =
            ["leases", "pid", "conf", "log"].map(|file| directory.join(format!("udhcpd.{file}")));
        write(&leases, "")?;
        let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(offer.prefix)).unwrap_or(0));
        write(
            &configuration,
            &format!(
                "start {0}\nend {0}\ninterface {interface}\nlease_file {1}\npidfile {2}\nmin_lease 1\n\
                 option subnet {mask}\noption router {3}\noption dns {4}\noption lease {5}\n",
                offer.address,
                leases.display(),
                pid.display(),
                offer.router,
                offer.dns,
                offer.lifetime.as_secs()
            ),
        )?;
        let mut udhcpd = Command::new("udhcpd");
        // -a: how long, in ms, it asks around whether somebody has the address already.
        udhcpd.args(["-f", "-a", "100"]).arg(configuration);
        let said = log.clone();
        // It says so when its sockets are there.
        self.serve(udhcpd, log, || Ok(read(&said).contains("started")))
    }

    /// Starts `server`, whose words go to `log`, and waits until it is `ready`.
    fn serve(&self, mut server: Command, log: PathBuf, ready: impl Fn() -> Result<bool>) -> Result<Running> {
        let program = server.get_program().to_string_lossy().into_owned();
        let failed = |source| Error::File {
            verb: "write",
            path: log.clone(),
            source,
        };
        let errors = File::create(&log).map_err(failed)?;
        let output = errors.try_clone().map_err(failed)?;
        server.stdin(Stdio::null()).stdout(output).stderr(errors);
        let begun = Instant::now();
        let mut server = self.start(server)?;
        while !ready()? {
            if !matches!(server.0.try_wait(), Ok(None)) || begun.elapsed() > START {
                return Err(Error::Failed {
                    command: program,
                    stderr: read(&log).trim().to_owned(),
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

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|source| Error::File {
        verb: "write",
        path: path.to_owned(),
        source,
    })
}

/// What a server said so far; no file is nothing yet.
fn read(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}

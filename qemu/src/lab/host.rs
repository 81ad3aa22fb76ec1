//! One computer of the lab: a network namespace in which real programs run.

use std::net::Ipv4Addr;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use super::Namespace;
use crate::process::{Running, spawn};
use crate::{Error, Result};

/// A host. It is gone with the last clone of this value and the programs in it.
#[derive(Debug, Clone)]
pub struct Host {
    name: Arc<str>,
    namespace: Arc<Namespace>,
}

impl Host {
    /// A host with nothing but its loopback interface, which is up. The name is for messages only.
    ///
    /// # Errors
    /// When there is no right to make network namespaces.
    pub fn new(name: impl Into<Arc<str>>) -> Result<Self> {
        let namespace = Namespace::new().map_err(|e| Error::Network("make a network namespace", e))?;
        let host = Self {
            name: name.into(),
            namespace: Arc::new(namespace),
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

    /// Makes this host a router.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn forward(&self) -> Result<()> {
        const SWITCH: &str = "/proc/sys/net/ipv4/ip_forward";
        self.run(|| std::fs::write(SWITCH, "1"))?
            .map_err(|source| Error::File {
                verb: "write",
                path: SWITCH.into(),
                source,
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
}

//! The vendor's side of remote sessions: a real OpenVPN server on the service centre's host, an engineer's computer behind
//! it, and the service key.
//!
//! ```text
//! engineer 10.77.0.2 ── 10.77.0.1 centre: OpenVPN server 10.8.0.1 ══ tunnel ══ box ── port ── instrument
//! ```

use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rap_core::directive::{Envelope, signed_bytes};
use rap_core::provision::IDENTITY_FILES;
use rap_qemu::lab::probe::Verdict;
use rap_qemu::lab::{Host, Lab};
use rap_qemu::process::Running;
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};

use super::keys;

/// The program.
pub const OPENVPN: &str = "/usr/sbin/openvpn";
/// The TCP port of the server.
pub const PORT: u16 = 443;
/// The network of the tunnel.
pub const TUNNEL: &str = "10.8.0.0/24";
/// The network of the instruments' service addresses.
pub const PREFIX: &str = "10.200.0.0/24";
/// What nothing answers is given up after.
const SILENCE: Duration = Duration::from_millis(1500);
/// The PIN that a yes needs, and its hash as the box is given it (RFC 7914 §11).
pub const PIN: &str = "passwd";
const HASH: &str =
    "pbkdf2-sha256:1:73616c74:55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc\n";
const START: Duration = Duration::from_secs(20);

/// The keys of both ends.
#[derive(Debug)]
pub struct Keys {
    place: tempfile::TempDir,
    signer: KeyPair,
}

impl Keys {
    /// New ones, and with them a box's identity made of the one in `identity`.
    ///
    /// # Errors
    /// When a file is missing.
    pub fn new(identity: &Path) -> anyhow::Result<Self> {
        let place = tempfile::Builder::new().prefix("rap-office-").tempdir()?;
        let (ours, server) = (place.path().join("identity"), place.path().join("server"));
        fs::create_dir(&ours)?;
        fs::create_dir(&server)?;
        for name in IDENTITY_FILES {
            fs::copy(identity.join(name), ours.join(name)).with_context(|| name.to_owned())?;
        }
        fs::write(ours.join("consent.pin"), HASH)?;
        let signer = keys::write(&ours, &server);
        Ok(Self { place, signer })
    }

    /// The directory of the box's identity.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.place.path().join("identity")
    }

    /// A signed directive.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(&self, to: &str, docket: &str, number: u64, command: &Value) -> anyhow::Result<Value> {
        let now = jiff::Timestamp::now();
        let payload = json!({
            "version": 1, "box": to, "docket": docket, "number": number, "issued": now.to_string(),
            "expires": (now + Duration::from_secs(1800)).to_string(), "command": command,
        })
        .to_string();
        let signature = self.signer.sign(&signed_bytes(payload.as_bytes()))?;
        let envelope = Envelope::new(payload.as_bytes(), Some(&signature));
        Ok(serde_json::to_value(&envelope)?)
    }
}

/// The server and the engineer's computer.
#[derive(Debug)]
pub struct Office {
    /// The engineer's computer.
    pub engineer: Host,
    _server: Running,
}

impl Office {
    /// Opens it on the centre's host of `lab`.
    ///
    /// # Errors
    /// With the server's words when it does not listen.
    pub fn open(lab: &Lab, keys: &Keys) -> anyhow::Result<Self> {
        let engineer = Host::new("engineer")?;
        lab.centre.connect("office", &engineer, "eth0")?;
        let (near, far) = (Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2));
        lab.centre.configure("office", near, 24, None)?;
        engineer.configure("eth0", far, 24, Some(near))?;
        lab.centre.forward()?;
        // The box takes no route that a server pushes: what comes out of the tunnel has the server's own address.
        let rule = "add table ip office; add chain ip office out { type nat hook postrouting priority 100; }; \
                    add rule ip office out oifname tunnels masquerade";
        let mut nft = Command::new("nft");
        nft.arg(rule);
        let output = lab.centre.output(nft)?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let server = serve(lab, &keys.place.path().join("server"))?;
        Ok(Self {
            engineer,
            _server: server,
        })
    }

    /// The engineer tries each of these TCP ports, their UDP namesakes, and a ping of each of these hosts, all at once.
    ///
    /// # Errors
    /// With what opens or answers.
    pub fn all_closed(&self, doors: &[(Ipv4Addr, u16)], hosts: &[Ipv4Addr]) -> anyhow::Result<()> {
        let engineer = &self.engineer;
        let open = std::thread::scope(|scope| {
            let tries = doors.iter().map(|(at, port)| {
                scope.spawn(move || {
                    let tcp = engineer.try_tcp((*at, *port), SILENCE)?;
                    let udp = engineer.try_udp(SocketAddrV4::new(*at, *port), b"anybody", SILENCE)?;
                    let is_open = [tcp, udp].contains(&Verdict::Open);
                    anyhow::Ok(is_open.then(|| format!("{at}:{port}")))
                })
            });
            let pings = hosts.iter().map(|at| {
                scope.spawn(move || {
                    let answers = engineer.pings(&at.to_string())?;
                    anyhow::Ok(answers.then(|| format!("{at} by a ping")))
                })
            });
            // All are begun before one is waited for.
            let tries: Vec<_> = tries.chain(pings).collect();
            let found = tries.into_iter().filter_map(|each| each.join().ok());
            found.collect::<anyhow::Result<Vec<_>>>()
        })?;
        let open: Vec<String> = open.into_iter().flatten().collect();
        ensure!(open.is_empty(), "the engineer reaches {}", open.join(", "));
        Ok(())
    }
}

fn serve(lab: &Lab, folder: &Path) -> anyhow::Result<Running> {
    let address = *lab.centre_address().ip();
    let (net, mask) = network(PREFIX)?;
    fs::create_dir(folder.join("clients"))?;
    // What is behind the box.
    fs::write(folder.join("clients/box"), format!("iroute {net} {mask}\n"))?;
    let log = folder.join("server.log");
    let mut command = Command::new(OPENVPN);
    command
        .arg("--cd")
        .arg(folder)
        .args("--mode server --tls-server --dev tunnels --dev-type tun --topology subnet".split(' '))
        .args("--server 10.8.0.0 255.255.255.0 --proto tcp-server --disable-dco --dh none".split(' '))
        .args(["--route", &net, &mask, "--local", &address.to_string()])
        .args(["--port", &PORT.to_string()])
        .args("--client-config-dir clients --keepalive 5 20 --tls-groups secp384r1".split(' '))
        .args("--ca ca.crt --cert server.crt --key server.key --tls-crypt-v2 crypt.key".split(' '))
        .args("--tls-version-min 1.3 --data-ciphers AES-256-GCM --verb 3".split(' '));
    let output = OpenOptions::new().create(true).append(true).open(&log)?;
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let running = lab.centre.start(command)?;
    let begun = Instant::now();
    while lab.workstation.try_tcp((address, PORT), START)? != Verdict::Open {
        let words = fs::read_to_string(&log).unwrap_or_default();
        ensure!(
            begun.elapsed() < START,
            "the OpenVPN server does not listen: {words}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(running)
}

/// Address and mask of `10.200.0.0/24`.
fn network(prefix: &str) -> anyhow::Result<(String, String)> {
    let (net, length) = prefix.split_once('/').context("a network")?;
    let bits: u32 = length.parse()?;
    ensure!((1..=32).contains(&bits), "a network's length");
    Ok((
        net.to_owned(),
        Ipv4Addr::from(u32::MAX << (32 - bits)).to_string(),
    ))
}

//! The real session service behind the page, asked by its own socket as the forwarder would; its netd and OpenVPN are not
//! there. The whole of it is seen on the booted box (tests/tests/system/session.rs).

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rap_core::directive::{Envelope, signed_bytes};
use rap_core::session;
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};

use super::Rig;
use super::seen::lacks;

/// The PIN of the box, and its hash (RFC 7914 §11).
pub(super) const PIN: &str = "passwd";
const HASH: &str =
    "pbkdf2-sha256:1:73616c74:55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc\n";
const PATIENCE: Duration = Duration::from_secs(60);

/// The service of a box with two ports.
pub(super) struct Sessions {
    folder: PathBuf,
    signer: KeyPair,
    number: u64,
}

impl Sessions {
    /// Starts it for the page of `rig`, with `more` lines in `[sessions]`. None, and says so, where this is not root: on a
    /// desk the service answers nobody else.
    pub(super) fn start(rig: &Rig, more: &str) -> Option<Self> {
        let is_root = rustix::process::geteuid().is_root();
        if !is_root || !std::path::Path::new("/usr/bin/socat").exists() {
            lacks("root, and socat");
            return None;
        }
        let folder = rig.directory.path().to_owned();
        let signer = KeyPair::generate().unwrap();
        std::fs::write(folder.join("service.pub"), signer.public_key_pem()).unwrap();
        std::fs::write(folder.join("consent.pin"), HASH).unwrap();
        let port = |number: u8| {
            format!(
                "[[port]]\nname = \"port{number}\"\nnic = \"mac:02:00:00:00:00:1{number}\"\n\
                 address = \"192.168.1.1/24\"\ninstrument = \"192.168.1.50\"\nremote = [\"tcp/5900\"]\n"
            )
        };
        let site = format!(
            "version = 1\nname = \"rap-ward-3\"\n[uplink]\nnic = \"mac:02:00:00:00:00:01\"\naddress = \"10.9.0.2/24\"\n\
             [centre]\nurl = \"https://10.9.0.10:8443\"\n[sessions]\nprefix = \"10.200.0.0/24\"\n\
             tunnel = \"10.9.0.10:443\"\n{more}\n{}{}",
            port(1),
            port(2)
        );
        std::fs::write(folder.join("site.toml"), site).unwrap();
        for name in ["memory", "run"] {
            std::fs::create_dir(folder.join(name)).unwrap();
        }
        netd(&folder.join("netd.sock"));
        let place = session::Place {
            site: folder.join("site.toml"),
            identity: folder.clone(),
            memory: folder.join("memory"),
            run: folder.join("run"),
            page: folder.join("consent.sock"),
            status: folder.join("status"),
            netd: folder.join("netd.sock"),
            update: folder.join("update.sock"),
            relay: rap_core::relay::ADDRESS.into(),
            openvpn: folder.join("openvpn"),
        };
        // Comes to its management socket and says nothing: a tunnel that does not come.
        let program = "#!/bin/sh\nwhile [ \"$1\" != --management ]; do shift; done\n\
                       exec socat -u UNIX-CONNECT:\"$2\" OPEN:/dev/null,wronly\n";
        std::fs::write(&place.openvpn, program).unwrap();
        std::fs::set_permissions(&place.openvpn, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::thread::spawn(move || session::run(&place));
        let sessions = Self {
            folder,
            signer,
            number: 0,
        };
        let begun = Instant::now();
        while !sessions.folder.join("consent.sock").exists() {
            assert!(begun.elapsed() < PATIENCE, "the session service does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(sessions)
    }

    /// The service centre asks for the screen at port 1.
    pub(super) fn ask(&mut self) {
        self.ask_for("The pump's alarm");
    }

    /// The same, for this purpose; what was asked for before is taken back.
    pub(super) fn ask_for(&mut self, purpose: &str) {
        if self.number > 0 {
            self.end();
        }
        self.direct(&json!({
            "do": "open-session", "session": "s-1", "instrument": "port1", "services": ["tcp/5900"],
            "engineer": "Ada, Vendor Service", "purpose": purpose, "seconds": 1800, "idle-seconds": 300,
            "tunnel": "10.8.0.0/24",
        }));
    }

    /// The service centre takes it back.
    pub(super) fn end(&mut self) {
        self.direct(&json!({ "do": "end-session", "session": "s-1" }));
        assert_eq!(self.state(), "ended");
    }

    fn direct(&mut self, command: &Value) {
        self.number += 1;
        let docket = self.say(&json!({ "do": "status" }))["done"]["docket"].clone();
        let now = jiff::Timestamp::now();
        let payload = json!({
            "version": 1, "box": "rap-ward-3", "docket": docket, "number": self.number,
            "issued": now.to_string(), "expires": (now + Duration::from_secs(3600)).to_string(), "command": command,
        })
        .to_string();
        let signature = self.signer.sign(&signed_bytes(payload.as_bytes())).unwrap();
        let envelope = serde_json::to_string(&Envelope::new(payload.as_bytes(), Some(&signature))).unwrap();
        self.say(&json!({ "do": "exchange", "envelopes": [envelope], "there": null, "taken": [] }));
    }

    /// The session's state.
    pub(super) fn state(&self) -> String {
        let session = &self.say(&json!({ "do": "status" }))["done"]["session"];
        session["state"].as_str().unwrap_or_default().to_owned()
    }

    /// What the service remembers of the last session.
    pub(super) fn last(&self) -> Value {
        self.say(&json!({ "do": "past", "port": "port1" }))["done"]["sessions"][0].clone()
    }

    fn say(&self, request: &Value) -> Value {
        let mut stream = UnixStream::connect(self.folder.join("run/session.sock")).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }
}

/// Does whatever it is asked.
fn netd(socket: &std::path::Path) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut line = String::new();
            let _ = BufReader::new(&stream).read_line(&mut line);
            let _ = (&stream).write_all(b"{\"done\":{}}\n");
        }
    });
}

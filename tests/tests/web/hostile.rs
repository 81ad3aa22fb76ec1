//! A thousand requests that mean no good, and one that does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rap_core::identity;
use rap_tests::random::Random;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::Rig;

const REQUESTS: usize = 1000;
/// Longer than the page's own patience: what it never ends hangs here, and is seen.
const PATIENCE: Duration = Duration::from_secs(40);

type Tls = StreamOwned<ClientConnection, TcpStream>;

impl Rig {
    fn connect(&self) -> Tls {
        let roots = self.directory.path().join("centre-ca.crt");
        let store = identity::root_store(&identity::certificates(&roots).unwrap(), &roots).unwrap();
        let config = ClientConfig::builder_with_provider(identity::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(store)
            .with_no_client_auth();
        let name = ServerName::try_from("rap.local").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        StreamOwned::new(connection, stream)
    }

    /// Sends these bytes and returns all that comes back until the connection ends.
    pub(super) fn send(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        let mut answer = Vec::new();
        // It may end the connection in the middle of what is sent.
        let _ = stream.write_all(bytes).and_then(|()| stream.flush());
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    /// Head and body of a page.
    pub(super) fn get(&self, path: &str) -> (String, String) {
        let answer = self
            .send(format!("GET {path} HTTP/1.1\r\nHost: rap.local\r\nConnection: close\r\n\r\n").as_bytes());
        let text = String::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text}"));
        (head.to_owned(), body.to_owned())
    }
}

/// One bad request. What is sent ends the connection, or asks for its end.
fn bad(random: &mut Random) -> Vec<u8> {
    let mut pick = |list: &[&str]| list[usize::try_from(random.below(list.len() as u64)).unwrap()].to_owned();
    let method = pick(&[
        "GET", "GET", "GET", "GET", "POST", "PUT", "DELETE", "TRACE", "CONNECT", "OPTIONS", "PRI", "G\u{0}T",
        "get", "", "HEAD",
    ]);
    let target = pick(&[
        "/",
        "/../../data/config/identity/ingest.key",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//evil.example/",
        "*",
        "http://evil.example/",
        "/evidence/packages.json?x=<script>",
        "/\u{7f}",
        "/ /",
        "/style.css/..",
        "/evidence/../../x",
        "/cgi-bin/sh",
        "/?q=${jndi:ldap://x}",
        "evil:443",
        "",
    ]);
    let version = pick(&[
        "HTTP/1.1",
        "HTTP/1.1",
        "HTTP/1.1",
        "HTTP/1.1",
        "HTTP/1.0",
        "HTTP/2.0",
        "HTTP/9.9",
        "",
        "HTTP/1.1 ",
    ]);
    let header = pick(&[
        "Host: rap.local",
        "Host: rap.local",
        "Host: rap.local",
        "Host: rap.local",
        "Host: evil.example",
        "",
        "Host: a\r\nHost: b",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: \u{b}chunked",
        "Accept-Language: de;q=9,,,;;q=x",
        "Upgrade: websocket\r\nConnection: Upgrade",
        "Expect: 100-continue",
        " folded: x",
        "X\u{0}: y",
        "Range: bytes=0-0,0-0,0-0",
        "Cookie: \u{ff}\u{fe}",
        "Origin: https://evil.example",
    ]);
    let body = pick(&[
        "",
        "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "\u{0}\u{1}\u{2}",
    ]);
    let mut request =
        format!("{method} {target} {version}\r\n{header}\r\nConnection: close\r\n\r\n{body}").into_bytes();
    match random.below(8) {
        0 => request.splice(0..0, [0x16, 0x03, 0x01]).for_each(drop),
        1 => request.extend(vec![b'A'; 40_000]),
        2 => request = [&b"GET / HTTP/1.1\r\n"[..], &b"X: y\r\n".repeat(500), b"\r\n"].concat(),
        3 => {
            let at = usize::try_from(random.below(request.len() as u64)).unwrap();
            request[at] ^= 0x80;
        }
        _ => {}
    }
    request
}

#[test]
fn a_thousand_bad_requests_do_no_harm() {
    let rig = Rig::start();
    let mut random = Random::of_test();
    let mut statuses = std::collections::BTreeMap::<String, usize>::new();
    let memory = resident_kib();
    for _ in 0..REQUESTS {
        let request = bad(&mut random);
        let mut stream = rig.connect();
        let _ = stream.write_all(&request).and_then(|()| stream.flush());
        // What is still awaited of us will not come.
        stream.conn.send_close_notify();
        let _ = stream.flush();
        let _ = stream.sock.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        let lines = text.lines().filter_map(|line| line.strip_prefix("HTTP/1."));
        for line in lines {
            *statuses
                .entry(line.get(2..5).unwrap_or("?").to_owned())
                .or_default() += 1;
        }
        for secret in ["PRIVATE KEY", "root:", "evil.example", "<script"] {
            assert!(!text.contains(secret), "{request:?} was answered {text}");
        }
        assert!(!text.contains("/smuggled"));
    }
    println!("{statuses:?}");
    assert!(
        statuses.keys().all(|status| [
            "200", "400", "404", "405", "413", "414", "431", "505", "100", "501"
        ]
        .contains(&status.as_str())),
        "{statuses:?}"
    );
    assert!(
        statuses.contains_key("400") && statuses.contains_key("404"),
        "{statuses:?}"
    );
    let grown = resident_kib().saturating_sub(memory);
    assert!(grown < 32 * 1024, "memory grew by {grown} KiB");
    let (head, body) = rig.get("/");
    assert!(
        head.starts_with("HTTP/1.1 200") && body.contains("rap-ward-3"),
        "{head}"
    );
}

#[test]
fn slow_ones_keep_nobody_out() {
    let rig = Rig::start();
    let slow: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = TcpStream::connect(rig.address()).unwrap();
            stream.write_all(&[0x16, 0x03]).unwrap();
            stream
        })
        .collect();
    let begun = Instant::now();
    let (head, _) = rig.get("/");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    drop(slow);
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

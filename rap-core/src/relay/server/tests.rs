//! The relay over real sockets, between a client and destinations or proxies that follow a script.

use std::net::Ipv4Addr;

use tokio::io::AsyncReadExt as _;

use super::*;
use crate::relay::Patience;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(30);
/// Nothing passes for want of time; tests of time shorten what they are about.
const PATIENT: Patience = Patience {
    request: LONG,
    resolve: LONG,
    connect: LONG,
    answer: LONG,
    idle: LONG,
    half_closed: LONG,
};

/// A site whose centre is `centre` and whose default way out is `url`.
fn site(centre: &str, url: Option<&str>, user: bool) -> Site {
    let (front, _) = crate::site::EXAMPLE
        .split_once("# The hospital's proxies")
        .unwrap();
    let mut text = front.replace("10.9.0.10:8443", centre);
    if let Some(url) = url {
        let user = if user { "user = \"rap\"\n" } else { "" };
        text.push_str(&format!(
            "[[proxy]]\nname = \"p\"\nurl = \"{url}\"\n{user}[egress]\ndefault = \"p\"\n"
        ));
    }
    Site::parse(&text, Path::new("site.toml")).unwrap_or_else(|error| panic!("{error}"))
}

/// A running relay.
struct Rig {
    relay: Arc<Relay>,
    address: SocketAddr,
    identity: tempfile::TempDir,
}

impl Rig {
    async fn new(site: &Site) -> Self {
        Self::with(site, PATIENT).await
    }

    async fn with(site: &Site, patience: Patience) -> Self {
        let identity = tempfile::tempdir().unwrap();
        let relay = Arc::new(Relay::new(site, identity.path(), patience));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(Arc::clone(&relay).serve(listener));
        Self {
            relay,
            address,
            identity,
        }
    }

    /// Before a proxy at `url` for the destination `centre.test:8443`.
    async fn before(url: &str, password: Option<&str>) -> Self {
        Self::impatient(url, password, LONG).await
    }

    /// The same, with this time for the proxy's answer.
    async fn impatient(url: &str, password: Option<&str>, answer: Duration) -> Self {
        let patience = Patience { answer, ..PATIENT };
        let site = site("centre.test:8443", Some(url), password.is_some());
        let rig = Self::with(&site, patience).await;
        if let Some(password) = password.filter(|password| !password.is_empty()) {
            std::fs::write(rig.identity.path().join("proxy-p.password"), password).unwrap();
        }
        rig
    }

    async fn send(&self, request: &str) -> TcpStream {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }

    /// Everything the relay answers to `request` until it closes.
    async fn ask(&self, request: &str) -> String {
        let mut answer = String::new();
        let mut client = self.send(request).await;
        let read = timeout(LONG, client.read_to_string(&mut answer)).await;
        read.unwrap().unwrap();
        answer
    }

    /// The status line of the answer to a request for `centre.test:8443`.
    async fn refusal(&self) -> String {
        let answer = self.ask("CONNECT centre.test:8443 HTTP/1.1\r\n\r\n").await;
        let line = answer.lines().next().unwrap().to_owned();
        // The body says the same.
        assert!(
            answer.ends_with(&format!("\r\n\r\n{}\n", &line["HTTP/1.1 502 ".len()..])),
            "{answer}"
        );
        line
    }
}

/// A server for one connection that hears each of `script`'s first parts and answers the second, then goes silent and
/// returns all it hears afterwards.
async fn play(script: Vec<(Vec<u8>, Vec<u8>)>) -> (SocketAddr, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let playing = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for (hears, says) in script {
            let mut heard = vec![0; hears.len()];
            stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, hears, "{:?}", String::from_utf8_lossy(&heard));
            stream.write_all(&says).await.unwrap();
        }
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        rest
    });
    (address, playing)
}

fn connect_request(credentials: &str) -> Vec<u8> {
    format!("CONNECT centre.test:8443 HTTP/1.1\r\nHost: centre.test:8443\r\n{credentials}\r\n").into_bytes()
}

#[tokio::test]
async fn a_direct_tunnel_carries_both_directions_to_their_ends() {
    let (address, playing) = play(vec![(b"early".to_vec(), b"hello".to_vec())]).await;
    let rig = Rig::new(&site(&address.to_string(), None, false)).await;
    let mut client = rig
        .send(&format!("CONNECT {address} HTTP/1.1\r\n\r\nearly"))
        .await;
    let mut answer = vec![0; http::CONNECTED.len() + 5];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [http::CONNECTED, b"hello"].concat());
    client.write_all(&[7; 100_000]).await.unwrap();
    // The half-close reaches the other end, which closes in turn.
    client.shutdown().await.unwrap();
    assert_eq!(timeout(LONG, playing).await.unwrap().unwrap(), [7; 100_000]);
    assert_eq!(client.read_to_end(&mut answer).await.unwrap(), 0);
    let way = rig.relay.status().ways.remove(0);
    assert_eq!((way.open, way.tunnels, way.bytes_received), (0, 1, 5));
    assert_eq!(way.bytes_sent, 100_000);
    assert_eq!((way.via.as_str(), way.last_failure), ("direct", None));
}

#[tokio::test]
async fn from_a_limited_destination_no_more_comes_than_the_limit() {
    let (address, _playing) = play(vec![(b"go".to_vec(), vec![7; 100_000])]).await;
    let mut limited = site("centre.test:8443", None, false);
    let sessions = limited.sessions.as_mut().unwrap();
    sessions.tunnel = Some(Target::parse(&address.to_string(), None).unwrap());
    sessions.rate_limit = Some("1 Mbit/s".parse().unwrap());
    let rig = Rig::new(&limited).await;
    let mut client = rig.send(&format!("CONNECT {address} HTTP/1.1\r\n\r\ngo")).await;
    let mut answer = vec![0; http::CONNECTED.len() + 100_000];
    let began = std::time::Instant::now();
    timeout(LONG, client.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    // 0.8 s at that rate, less what may be made up for, and the first part.
    assert!(
        began.elapsed() > Duration::from_millis(400),
        "{:?}",
        began.elapsed()
    );
    assert!(answer.ends_with(&[7; 100_000]));
}

#[tokio::test]
async fn a_silent_tunnel_ends_and_a_busy_one_does_not() {
    let idle = Duration::from_secs(1);
    let (address, playing) = play(Vec::new()).await;
    let patience = Patience { idle, ..PATIENT };
    let rig = Rig::with(&site(&address.to_string(), None, false), patience).await;
    let mut client = rig.send(&format!("CONNECT {address} HTTP/1.1\r\n\r\n")).await;
    let began = tokio::time::Instant::now();
    while began.elapsed() < idle * 3 / 2 {
        tokio::time::sleep(idle / 8).await;
        client.write_all(b".").await.unwrap();
    }
    assert!(!playing.is_finished());
    let heard = timeout(LONG, playing).await.unwrap().unwrap();
    assert!(heard.len() > 3 && began.elapsed() > idle * 2, "{heard:?}");
}

#[tokio::test]
async fn nothing_but_the_sites_destinations_is_connected_to() {
    let (address, _playing) = play(Vec::new()).await;
    let rig = Rig::new(&site("centre.test:8443", None, false)).await;
    for other in [
        address.to_string(),
        "centre.test:8444".to_owned(),
        "centre.test.:8443".to_owned(),
    ] {
        let answer = rig.ask(&format!("CONNECT {other} HTTP/1.1\r\n\r\n")).await;
        assert!(
            answer.starts_with(&format!(
                "HTTP/1.1 403 refused: site.toml names no destination {other}\r\n"
            )) || answer.starts_with("HTTP/1.1 400 "),
            "{answer}"
        );
    }
    for wrong in [
        "GET / HTTP/1.1\r\n\r\n",
        "\r\n\r\n",
        "CONNECT centre.test HTTP/1.1\r\n\r\n",
    ] {
        assert!(rig.ask(wrong).await.starts_with("HTTP/1.1 400 expected CONNECT"));
    }
}

#[tokio::test]
async fn a_client_has_only_so_long_to_ask() {
    let patience = Patience {
        request: SHORT,
        ..PATIENT
    };
    let rig = Rig::with(&site("centre.test:8443", None, false), patience).await;
    assert!(rig.ask("CONNECT ").await.starts_with("HTTP/1.1 408 expected"));
}

#[tokio::test]
async fn clients_are_bounded() {
    let rig = Rig::new(&site("centre.test:8443", None, false)).await;
    let mut idle = Vec::new();
    for _ in 0..MOST_CLIENTS {
        idle.push(rig.send("CONNECT").await);
    }
    let answer = rig.ask("").await;
    assert!(answer.starts_with("HTTP/1.1 503 the relay is busy"), "{answer}");
    drop(idle);
    let begun = tokio::time::Instant::now();
    while rig.ask("x\r\n\r\n").await.starts_with("HTTP/1.1 503") {
        assert!(begun.elapsed() < LONG);
    }
}

#[tokio::test]
async fn an_http_proxy_is_asked_by_name_with_credentials() {
    let credentials = "Proxy-Authorization: Basic cmFwOnMzY3JldA==\r\n";
    let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nVia: x\r\n\r\nfirst".to_vec();
    let (address, _playing) = play(vec![(connect_request(credentials), answer)]).await;
    let rig = Rig::before(&format!("http://{address}"), Some("s3cret\n")).await;
    let mut client = rig.send("CONNECT centre.test:8443 HTTP/1.0\r\n\r\n").await;
    let mut answer = vec![0; http::CONNECTED.len() + 5];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [http::CONNECTED, b"first"].concat());
}

#[tokio::test]
async fn a_socks_proxy_is_asked_by_name_with_credentials() {
    let (address, _playing) = play(vec![
        (b"\x05\x02\x00\x02".to_vec(), b"\x05\x02".to_vec()),
        (b"\x01\x03rap\x06s3cret".to_vec(), b"\x01\x00".to_vec()),
        (
            b"\x05\x01\x00\x03\x0bcentre.test\x20\xfb".to_vec(),
            b"\x05\x00\x00\x01\0\0\0\0\0\0first".to_vec(),
        ),
    ])
    .await;
    let rig = Rig::before(&format!("socks5h://{address}"), Some("s3cret")).await;
    let mut client = rig.send("CONNECT centre.test:8443 HTTP/1.1\r\n\r\n").await;
    let mut answer = vec![0; http::CONNECTED.len() + 5];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [http::CONNECTED, b"first"].concat());
}

/// What the client is told when the proxy, asked as `script` says, answers so.
async fn told(
    scheme: &str,
    password: Option<&str>,
    script: Vec<(Vec<u8>, Vec<u8>)>,
    answer: Duration,
) -> String {
    let (address, playing) = play(script).await;
    let url = format!("{scheme}://{address}");
    let rig = Rig::impatient(&url, password, answer).await;
    let line = rig.refusal().await;
    playing.abort();
    let problem = rig.relay.status().problems.remove(0);
    assert!(problem.ends_with(&line["HTTP/1.1 502 ".len()..]), "{problem}");
    assert!(!line.contains("s3cret"));
    line.replace(&url, "URL")
}

#[tokio::test]
async fn each_failure_of_an_http_proxy_has_its_words() {
    for (answer, words) in [
        (
            "HTTP/1.1 407 x\r\n\r\n",
            "502 proxy URL answered 407: it wants a user name and a password, and site.toml gives no user for it",
        ),
        (
            "HTTP/1.1 403 x\r\n\r\n",
            "502 proxy URL refuses connections to centre.test:8443 (HTTP 403)",
        ),
        (
            "SSH-2.0-x\r\n",
            "502 proxy URL does not speak HTTP: is it such a proxy?",
        ),
        (
            "",
            "504 proxy URL accepts the connection, then does not answer in time",
        ),
        (
            "HTTP/1.1 200",
            "504 proxy URL accepts the connection, then does not answer in time",
        ),
    ] {
        let script = vec![(connect_request(""), answer.as_bytes().to_vec())];
        let time = if words.starts_with("504") { SHORT } else { LONG };
        let told = told("http", None, script, time).await;
        assert_eq!(told, format!("HTTP/1.1 {words}"));
    }
}

#[tokio::test]
async fn each_failure_of_a_socks_proxy_has_its_words() {
    let greet = |says: &[u8]| (b"\x05\x02\x00\x02".to_vec(), says.to_vec());
    let verdict = |says: &[u8]| (b"\x01\x03rap\x06s3cret".to_vec(), says.to_vec());
    for (script, words) in [
        (
            vec![greet(b"\x05\xff")],
            "502 proxy URL accepts neither no authentication nor user and password",
        ),
        (
            vec![greet(b"HTTP")],
            "502 proxy URL does not speak SOCKS 5: is it such a proxy?",
        ),
        (
            vec![greet(b"\x05\x02"), verdict(b"\x01\x01")],
            "502 proxy URL answered: user name or password refused",
        ),
        (
            vec![greet(b"")],
            "504 proxy URL accepts the connection, then does not answer in time",
        ),
    ] {
        assert_eq!(
            told(
                "socks5h",
                Some("s3cret"),
                script,
                if words.starts_with("504") { SHORT } else { LONG }
            )
            .await,
            format!("HTTP/1.1 {words}")
        );
    }
}

#[tokio::test]
async fn a_way_that_cannot_be_begun_has_its_words() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{closed}");
    for (url, password, words) in [
        (
            url.as_str(),
            None,
            "refuses the connection: nothing listens there",
        ),
        (
            "http://proxy.invalid:1",
            None,
            "cannot be found: its name cannot be resolved",
        ),
        (
            url.as_str(),
            Some(""),
            "cannot be used: its password file identity/proxy-p.password cannot be read: No such file or directory (os error 2)",
        ),
        (
            url.as_str(),
            Some("\n"),
            "cannot be used: its password file identity/proxy-p.password is empty",
        ),
    ] {
        let line = Rig::before(url, password).await.refusal().await;
        assert_eq!(line, format!("HTTP/1.1 502 proxy {url} {words}"));
    }
}

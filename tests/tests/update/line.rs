//! What a line and those on it may do: endless and slow data, pages in a file's place, proxies, breaking off. And the
//! pieces, over such a line.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rap_core::digest::Sha256;
use rap_core::folder::Directory;
use rap_core::update::pieces::{Pieces, PiecesError};
use rap_core::update::source::{Https, SourceError};
use rap_core::update::trust::TrustError;
use rap_tests::repository::Answer;

use super::maker;
use super::rig::{Rig, piece};

const HTML: &[(&str, &str)] = &[("content-type", "text/html")];
const PORTAL: &[u8] = b"<!doctype html><title>Guest Wi-Fi</title>";

/// A box that has seen `first`; the server has `second`.
fn rig() -> Rig {
    let rig = Rig::new(maker::by_tough());
    rig.serve("first");
    rig.check().unwrap();
    rig.serve("second");
    rig
}

/// What comes in place of a file whose path has this end is refused in these words; then all is well.
fn instead(end: &str, answer: Answer, words: &str) -> TrustError {
    let rig = rig();
    rig.server.instead(Some((end, answer)));
    let error = rig.expect_refused(words);
    rig.server.instead(None);
    assert_eq!(rig.check().unwrap().manifest.number, 2);
    error
}

#[test]
fn endless_data() {
    for (end, limit) in [
        ("timestamp.json", 16),
        ("2.root.json", 128),
        ("2.snapshot.json", 64),
        ("2.targets.json", 1024),
    ] {
        let words = format!(
            "{end} has more than {} bytes: that is no metadata, but something endless",
            limit * 1024
        );
        let error = instead(end, Answer::Endless, &words);
        assert!(matches!(error, TrustError::Endless { .. }));
    }
    let error = instead(
        "release-qemu.json",
        Answer::Endless,
        "is not what was signed: it has more than",
    );
    assert!(matches!(error, TrustError::WrongLength { found: None, .. }));
}

#[test]
fn slow_data() {
    let begun = Instant::now();
    let trickle = Answer::Trickle(Duration::from_millis(20));
    instead(
        "timestamp.json",
        trickle,
        "metadata/timestamp.json came too slowly",
    );
    for end in ["timestamp.json", "2.root.json"] {
        instead(
            end,
            Answer::Silence,
            "the update repository does not answer in time",
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn a_slow_line_is_waited_for() {
    let rig = rig();
    // Longer than a step and a window, with progress in each.
    rig.server.instead(Some(("timestamp.json", Answer::Slow(200))));
    assert_eq!(rig.check().unwrap().manifest.number, 2);
}

#[test]
fn a_portals_page_in_place_of_a_file() {
    for end in ["timestamp.json", "2.root.json", "2.snapshot.json"] {
        let page = Answer::Words(200, HTML, PORTAL.to_vec());
        instead(end, page, "came a page for people (HTTP 200)");
        // Without saying that it is one.
        instead(
            end,
            Answer::Words(200, &[], PORTAL.to_vec()),
            "came a page for people (HTTP 200)",
        );
    }
}

#[test]
fn a_403_page_is_not_no_newer_root() {
    let page = Answer::Words(403, HTML, b"<h1>Blocked by policy</h1>".to_vec());
    let error = instead("2.root.json", page, "does not let this box in");
    assert!(matches!(
        error,
        TrustError::Source(SourceError::Status { status: 403, .. })
    ));
    // What an object store says of what is missing is.
    let rig = rig();
    let denied = b"<Error><Code>AccessDenied</Code></Error>".to_vec();
    let denied = Answer::Words(403, &[("content-type", "application/xml")], denied);
    rig.server.instead(Some(("2.root.json", denied)));
    assert_eq!(rig.check().unwrap().manifest.number, 2);
}

#[test]
fn a_proxys_403_page_before_there_is_tls() {
    let rig = rig();
    let relay = relay_that_says("502 proxy 192.0.2.1 answered 403: blocked by policy");
    let mut way = rig.way();
    way.relay = Some(relay);
    let before = rig.disk();
    let error = rig.check_over(Arc::new(Https::new(way))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "proxy 192.0.2.1 answered 403: blocked by policy"
    );
    assert!(matches!(
        error,
        TrustError::Source(SourceError::Unreachable { .. })
    ));
    assert_eq!(rig.disk(), before);
    assert!(rig.server.asked().iter().all(|path| !path.contains("4.root")));
}

#[test]
fn other_answers_have_their_own_words() {
    let words = |status, headers| Answer::Words(status, headers, Vec::new());
    let portal = &[("location", "https://portal.example/")];
    instead(
        "2.root.json",
        words(302, portal),
        "the repository sends on to https://portal.example/ for metadata/2.root.json",
    );
    instead(
        "timestamp.json",
        words(503, &[("retry-after", "60")]),
        "is busy or being maintained (HTTP 503",
    );
    instead(
        "timestamp.json",
        words(404, HTML),
        "there is no update repository: metadata/timestamp.json is not there",
    );
    let error = instead(
        "2.snapshot.json",
        words(404, HTML),
        "the repository is not whole: it names metadata/2.snapshot.json",
    );
    assert!(matches!(error, TrustError::Missing { .. }));
    instead(
        "timestamp.json",
        Answer::BreakOff(100),
        "metadata/timestamp.json broke off after 100 bytes",
    );
    instead(
        "timestamp.json",
        Answer::Words(200, &[], b"{\"signed\":".to_vec()),
        "metadata/timestamp.json is no metadata this program reads",
    );
}

#[test]
fn a_manifest_that_is_not_what_was_signed() {
    let end = "release-qemu.json";
    let other = super::rig::manifest(1);
    instead(end, Answer::Words(200, &[], other), "its SHA-256 is another");
    instead(
        end,
        Answer::Words(200, &[], b"{}".to_vec()),
        "it has 2 instead of",
    );
    instead(
        end,
        Answer::Words(404, HTML, Vec::new()),
        "the repository is not whole",
    );
}

#[test]
fn somebody_elses_certificate() {
    let rig = rig();
    let other = tempfile::tempdir().unwrap();
    rap_tests::keys::write(other.path()).unwrap();
    let mut way = rig.way();
    way.tls = rap_core::identity::Identity::load(other.path())
        .unwrap()
        .centre_tls();
    let error = rig.check_over(Arc::new(Https::new(way))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the update repository's certificate is refused: it was not issued by the CA in centre-ca.crt"
    );
}

/// The pieces of release 2, as a server has them.
fn with_piece(rig: &Rig) -> String {
    let piece = piece(2);
    let folder = rig.folder("second").join("pieces");
    std::fs::create_dir_all(&folder).unwrap();
    let name = Sha256::of(&piece).to_string();
    let path = folder.join(&name);
    if !path.is_file() {
        // Another test may be at it.
        let temporary = tempfile::NamedTempFile::new_in(&folder).unwrap();
        std::fs::write(temporary.path(), piece).unwrap();
        temporary.persist(path).unwrap();
    }
    name
}

#[test]
fn pieces_come_whole_or_not_at_all_and_at_the_rate_they_may() {
    let rig = rig();
    let name = with_piece(&rig);
    let way = rig.check().unwrap().manifest.full;
    let place = tempfile::tempdir().unwrap();
    let mut pieces = Pieces::new(Directory(place.path().join("pieces")));
    let mut bring = |source: &Https| pieces.bring(source, &way, 1 << 20, &mut |_| ControlFlow::Continue(()));
    let source = Https::new(rig.way());
    for (answer, words) in [
        (
            Answer::Words(200, &[], vec![7; 200_000]),
            "is not what the release names: its SHA-256 is another",
        ),
        (
            Answer::Words(200, &[], vec![7; 9]),
            "it has 9 instead of 200000 bytes",
        ),
        (Answer::Endless, "it has more than 200000 bytes"),
        (Answer::BreakOff(150_000), "broke off after 150000 bytes"),
        (Answer::Trickle(Duration::from_millis(20)), "came too slowly"),
        (
            Answer::Words(404, HTML, Vec::new()),
            "the repository is not whole",
        ),
        (
            Answer::Words(200, HTML, PORTAL.to_vec()),
            "came a page for people",
        ),
    ] {
        rig.server.instead(Some((&name, answer)));
        let error = bring(&source).unwrap_err();
        assert!(
            error.to_string().contains(words),
            "expected \"{words}\", got \"{error}\""
        );
        assert!(!matches!(error, PiecesError::Disk { .. }));
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "{words}");
    }
    rig.server.instead(None);
    // 200,000 bytes at 2 Mbit/s are 0.8 s, and a quarter of a second may be made up for.
    let mut way = rig.way();
    way.rate_limit = Some("2 Mbit/s".parse().unwrap());
    let begun = Instant::now();
    bring(&Https::new(way)).unwrap();
    assert!(
        begun.elapsed() > Duration::from_millis(500),
        "{:?}",
        begun.elapsed()
    );
    let sent = rig.server.sent();
    bring(&source).unwrap();
    assert_eq!(rig.server.sent(), sent, "what is here is not brought again");
    let mut read = Vec::new();
    let way = rig.check().unwrap().manifest.full;
    pieces.stream(&way).read_to_end(&mut read).unwrap();
    assert_eq!(read, piece(2));
}

/// A relay that answers every request for a connection so.
fn relay_that_says(words: &'static str) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = socket.accept() {
            let mut heard = [0; 1024];
            let _ = stream.read(&mut heard);
            let _ = stream.write_all(format!("HTTP/1.1 {words}\r\n\r\n").as_bytes());
        }
    });
    address
}

//! What a server may do to a fetch: each fault by a server that has it.

use super::*;
use crate::testing::{Fault, Server};

const CONTENT: &[u8] = b"the content of a package, long enough to be cut in the middle";

struct Case {
    server: Server,
    folder: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        let server = Server::start();
        server.put("/debian/pool/a+b_1.deb", CONTENT);
        Self {
            server,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn fetcher(&self, mirrors: Option<Mirrors>) -> Fetcher {
        Fetcher::new(Store::open(self.folder.path()).unwrap(), mirrors).with_patience(Duration::ZERO)
    }

    fn mirrors(&self) -> Mirrors {
        Mirrors {
            main: vec![self.server.url("/debian")],
            ..Mirrors::default()
        }
    }

    fn fetch(&self) -> Result<(), Error> {
        self.fetch_from(self.mirrors())
    }

    fn fetch_from(&self, mirrors: Mirrors) -> Result<(), Error> {
        self.fetcher(Some(mirrors)).packages(&[&package()], time())
    }

    fn stored(&self) -> Option<Vec<u8>> {
        self.fetcher(None).store().bytes(&Sha256::of(CONTENT)).ok()
    }

    fn part(&self) -> std::path::PathBuf {
        self.fetcher(None)
            .store()
            .path(&Sha256::of(CONTENT))
            .with_extension("part")
    }
}

fn package() -> Package {
    Package {
        name: "a".to_owned(),
        version: "1+b".to_owned(),
        archive: Archive::Main,
        path: "pool/a+b_1.deb".to_owned(),
        sha256: Sha256::of(CONTENT),
        size: CONTENT.len() as u64,
        groups: [crate::lock::Group::Image].into(),
    }
}

fn time() -> Timestamp {
    "2026-11-21T09:15:44Z".parse().unwrap()
}

#[test]
fn a_file_is_fetched_once() {
    let case = Case::new();
    case.fetch().unwrap();
    assert_eq!(case.stored().unwrap(), CONTENT);
    assert!(!case.part().exists());
    case.fetch().unwrap();
    assert_eq!(case.server.requests().len(), 1);
    case.fetcher(None).packages(&[&package()], time()).unwrap();
}

#[test]
fn a_wrong_hash_is_refused_and_the_next_mirror_asked() {
    let case = Case::new();
    let changed = String::from_utf8(CONTENT.to_vec()).unwrap().replace("the", "The");
    case.server.put("/bad/pool/a+b_1.deb", changed.as_bytes());
    let bad = Mirrors {
        main: vec![case.server.url("/bad")],
        ..Mirrors::default()
    };
    let error = case.fetch_from(bad.clone()).unwrap_err();
    assert!(matches!(error, Error::WrongHash { .. }), "{error}");
    assert!(
        error.to_string().contains(&Sha256::of(CONTENT).to_string()),
        "{error}"
    );
    assert_eq!(case.stored(), None);
    case.fetch_from(Mirrors {
        main: [bad.main, case.mirrors().main].concat(),
        ..Mirrors::default()
    })
    .unwrap();
    assert_eq!(case.stored().unwrap(), CONTENT);
}

#[test]
fn a_broken_transfer_goes_on_where_it_stopped() {
    let case = Case::new();
    case.server.fault(Fault::Break { after: 20, times: 1 });
    case.fetch().unwrap();
    assert_eq!(case.stored().unwrap(), CONTENT);
    let ranges: Vec<_> = case
        .server
        .requests()
        .into_iter()
        .map(|request| request.range)
        .collect();
    assert_eq!(ranges, [None, Some(20)]);
}

#[test]
fn a_fetch_goes_on_after_the_program_was_ended() {
    let case = Case::new();
    std::fs::create_dir_all(case.part().parent().unwrap()).unwrap();
    std::fs::write(case.part(), &CONTENT[..11]).unwrap();
    case.fetch().unwrap();
    assert_eq!(case.stored().unwrap(), CONTENT);
    assert_eq!(case.server.requests()[0].range, Some(11));
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let case = Case::new();
    case.server.fault(Fault::NoRanges);
    std::fs::create_dir_all(case.part().parent().unwrap()).unwrap();
    std::fs::write(case.part(), &CONTENT[..11]).unwrap();
    case.fetch().unwrap();
    assert_eq!(case.stored().unwrap(), CONTENT);
}

#[test]
fn a_damaged_rest_of_an_earlier_fetch_is_thrown_away() {
    let case = Case::new();
    std::fs::create_dir_all(case.part().parent().unwrap()).unwrap();
    std::fs::write(case.part(), vec![7; CONTENT.len()]).unwrap();
    assert!(matches!(case.fetch(), Err(Error::WrongHash { .. })));
    case.fetch().unwrap();
    assert_eq!(case.stored().unwrap(), CONTENT);
}

#[test]
fn a_truncated_file_is_refused() {
    let case = Case::new();
    case.server.put("/debian/pool/a+b_1.deb", &CONTENT[..30]);
    let error = case.fetch().unwrap_err();
    assert!(!matches!(error, Error::Gone(_)), "{error}");
    assert!(error.to_string().contains("/debian/pool/a%2Bb_1.deb"), "{error}");
    assert_eq!(case.stored(), None);
}

#[test]
fn a_longer_file_is_refused() {
    let case = Case::new();
    case.server
        .put("/debian/pool/a+b_1.deb", &[CONTENT, b"more"].concat());
    assert!(matches!(case.fetch(), Err(Error::WrongSize { .. })));
    assert_eq!(case.stored(), None);
}

#[test]
fn what_no_mirror_has_is_gone_by_name_and_version() {
    let case = Case::new();
    case.server.remove("/debian/pool/a+b_1.deb");
    let error = case.fetch().unwrap_err();
    assert_eq!(error.to_string(), "no mirror has: a 1+b");
    assert!(matches!(error, Error::Gone(gone) if gone == [package()]));
}

#[test]
fn the_snapshot_archive_is_asked_last_at_the_locks_time() {
    let case = Case::new();
    case.server.remove("/debian/pool/a+b_1.deb");
    case.server
        .put("/old/debian/20261121T211544Z/pool/a+b_1.deb", CONTENT);
    case.fetch_from(Mirrors {
        snapshot: Some(case.server.url("/old")),
        ..case.mirrors()
    })
    .unwrap();
    assert_eq!(case.stored().unwrap(), CONTENT);
}

#[test]
fn a_failing_server_is_not_the_same_as_a_missing_file() {
    let case = Case::new();
    case.server.fault(Fault::Status(503));
    assert!(matches!(case.fetch(), Err(Error::Status { status: 503, .. })));
    assert_eq!(case.server.requests().len(), 3, "it is tried again");
    let nobody = Mirrors {
        main: vec!["http://127.0.0.1:1/debian".to_owned()],
        ..Mirrors::default()
    };
    assert!(matches!(case.fetch_from(nobody), Err(Error::Transfer { .. })));
}

#[test]
fn offline_nothing_is_fetched() {
    let case = Case::new();
    let error = case.fetcher(None).packages(&[&package()], time()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a 1+b is not in the store, and --offline forbids fetching it; run once without --offline"
    );
    assert_eq!(case.server.requests().len(), 0);
}

#[test]
fn many_files_come_at_once_and_all_missing_ones_are_named() {
    let case = Case::new();
    let packages: Vec<_> = (0..20_u8)
        .map(|number| {
            let content = [number; 100];
            let path = format!("pool/{number:02}.deb");
            if number % 7 != 3 {
                case.server.put(&format!("/debian/{path}"), &content);
            }
            Package {
                name: format!("p{number:02}"),
                path,
                sha256: Sha256::of(&content),
                size: 100,
                ..package()
            }
        })
        .collect();
    let error = case
        .fetcher(Some(case.mirrors()))
        .packages(&packages.iter().collect::<Vec<_>>(), time())
        .unwrap_err();
    assert_eq!(error.to_string(), "no mirror has: p03 1+b, p10 1+b, p17 1+b");
    let there = packages
        .iter()
        .filter(|package| case.fetcher(None).store().has(&package.sha256))
        .count();
    assert_eq!(there, 17);
}

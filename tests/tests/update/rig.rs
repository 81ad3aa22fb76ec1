//! A box's half of an update, up to what it believes: its keys, its memory, and a server with repositories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rap_core::digest::Sha256;
use rap_core::folder::Directory;
use rap_core::identity::Identity;
use rap_core::release::{FORMAT, File, Manifest};
use rap_core::update::source::{Https, Patience, Source, Way};
use rap_core::update::trust::{Question, TrustError, Trusted, check};
use rap_tests::keys;
use rap_tests::repository::Server;

/// The box's hardware profile.
pub(crate) const PROFILE: &str = "qemu";
/// 2026-11-28, what it is today for all of these tests.
pub(crate) const TODAY: u64 = 1_795_824_000;
/// The bill of materials of every release.
pub(crate) const SBOM: &[u8] = br#"{"bomFormat":"CycloneDX"}"#;

/// A box and a server.
pub(crate) struct Rig {
    place: tempfile::TempDir,
    root: Vec<u8>,
    repositories: PathBuf,
    pub(crate) server: Server,
    /// The clock's floor.
    pub(crate) floor: u64,
}

/// A release's manifest as it is published.
pub(crate) fn manifest(number: u64) -> Vec<u8> {
    let piece = piece(number);
    let file = File {
        bytes: piece.len() as u64,
        sha256: Sha256::of(&piece),
    };
    let manifest = Manifest {
        format: FORMAT,
        profile: PROFILE.to_owned(),
        number,
        version: format!("1.{number}.0"),
        build_id: Sha256::of(&[0]).to_string(),
        published: 1_790_000_000,
        uki: file,
        memory_mib: 512,
        minimum: 0,
        changes: vec!["Better.".to_owned()],
        waves: Vec::new(),
        full: vec![file],
        patches: Vec::new(),
    };
    manifest.check().unwrap();
    serde_json::to_vec_pretty(&manifest).unwrap()
}

/// The only piece of a release.
pub(crate) fn piece(number: u64) -> Vec<u8> {
    let byte = u8::try_from(number).unwrap();
    (0..200_000_u32)
        .map(|at| byte ^ u8::try_from(at % 251).unwrap())
        .collect()
}

impl Rig {
    /// A box that trusts the root of these repositories; the server has `second`.
    pub(crate) fn new(repositories: &Path) -> Self {
        let place = tempfile::tempdir().unwrap();
        let keys = place.path().join("keys");
        std::fs::create_dir(&keys).unwrap();
        keys::write(&keys).unwrap();
        let server = Server::start(&repositories.join("second"), &keys).unwrap();
        server.date(Some(time(TODAY)));
        Self {
            root: std::fs::read(repositories.join("root.json")).unwrap(),
            repositories: repositories.to_owned(),
            place,
            server,
            floor: TODAY,
        }
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.place.path().join("keys")
    }

    /// The server has this repository from now on.
    pub(crate) fn serve(&self, name: &str) {
        self.server.serve(&self.folder(name));
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.repositories.join(name);
        assert!(folder.is_dir(), "no repository {name}");
        folder
    }

    /// A source as on the box, of little patience.
    pub(crate) fn way(&self) -> Way {
        let identity = Identity::load(&self.keys()).unwrap();
        Way {
            url: self.server.url(),
            tls: identity.centre_tls(),
            device: identity.device_validity(),
            patience: Patience {
                step: Duration::from_secs(2),
                window: Duration::from_secs(2),
                least: 128,
            },
            relay: None,
            rate_limit: None,
        }
    }

    pub(crate) fn check(&self) -> Result<Trusted, TrustError> {
        self.check_over(Arc::new(Https::new(self.way())))
    }

    pub(crate) fn check_over(&self, source: Arc<dyn Source>) -> Result<Trusted, TrustError> {
        let question = Question {
            root: &self.root,
            profile: PROFILE,
            floor: self.floor,
            scratch: &self.scratch(),
        };
        check(&source, question, &mut Directory(self.memory()))
    }

    /// Where the box remembers.
    pub(crate) fn memory(&self) -> PathBuf {
        self.place.path().join("tuf")
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.place.path().join("scratch")
    }

    /// Everything on the box's disk, for comparing.
    pub(crate) fn disk(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for folder in [self.memory(), self.scratch()] {
            let entries = std::fs::read_dir(&folder).into_iter().flatten();
            for path in entries.map(|entry| entry.unwrap().path()) {
                let content = std::fs::read(&path).unwrap();
                files.insert(path, content);
            }
        }
        files
    }

    /// The check is refused with these words, nothing on the disk has changed, and it leaves no harm.
    pub(crate) fn expect_refused(&self, words: &str) -> TrustError {
        let before = self.disk();
        let error = self.check().expect_err(words);
        let said = chain(&error);
        assert!(said.contains(words), "expected \"{words}\", got \"{said}\"");
        assert_eq!(self.disk(), before, "\"{said}\" changed the disk");
        error
    }
}

/// An error and its causes, as a person reads them.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words += &format!(": {error}");
        cause = error.source();
    }
    words
}

pub(crate) fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Says that a test is skipped; with `CI` in the environment nothing may be.
pub(crate) fn skip(needed: &str) {
    assert!(std::env::var_os("CI").is_none(), "this test needs {needed}");
    eprintln!("skipped: needs {needed}");
}

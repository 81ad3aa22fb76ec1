//! The same repositories as python/make.py makes, with tough's types and signatures.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use jiff::Timestamp as Time;
use rap_core::digest::Sha256;
use tough::TargetName;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::{
    Hashes, Metafile, Role, RoleKeys, RoleType, Root, Signature, Signed, Snapshot, Target, Targets, Timestamp,
};
use tough::sign::Sign;

use crate::rig::{PROFILE, SBOM, manifest};

const SPECIFICATION: &str = "1.0.0";

/// 2090-01-01 and 2027-01-01.
const FAR: i64 = 3_786_912_000;
const PAST: i64 = 1_798_761_600;

/// Files of a repository's folder `metadata`.
type Files = Vec<(String, Vec<u8>)>;
type Content<'a> = (&'a str, &'a [u8]);

struct Keys {
    roots: Vec<Ed25519KeyPair>,
    targets: Ed25519KeyPair,
    snapshot: Ed25519KeyPair,
    timestamp: Ed25519KeyPair,
}

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::generate().unwrap()
}

fn id(key: &Ed25519KeyPair) -> Decoded<Hex> {
    key.tuf_key().key_id().unwrap()
}

fn number(number: u64) -> NonZeroU64 {
    NonZeroU64::new(number).unwrap()
}

fn time(seconds: i64) -> Time {
    Time::from_second(seconds).unwrap()
}

fn sign<T: Role + serde::Serialize>(signed: T, keys: &[&Ed25519KeyPair]) -> Vec<u8> {
    let data = signed.canonical_form().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let signature = |key: &&Ed25519KeyPair| Signature {
        keyid: id(key),
        sig: runtime
            .block_on(Sign::sign(*key, &data, &SystemRandom::new()))
            .unwrap()
            .into(),
    };
    let signatures = keys.iter().map(signature).collect();
    serde_json::to_vec_pretty(&Signed { signed, signatures }).unwrap()
}

impl Keys {
    fn new() -> Self {
        Self {
            roots: vec![key(), key(), key()],
            targets: key(),
            snapshot: key(),
            timestamp: key(),
        }
    }

    fn root(
        &self,
        version: u64,
        roots: &[&Ed25519KeyPair],
        timestamp: &Ed25519KeyPair,
        signers: &[&Ed25519KeyPair],
    ) -> Vec<u8> {
        let roles = [
            (RoleType::Root, roots.to_vec(), 2),
            (RoleType::Targets, vec![&self.targets], 1),
            (RoleType::Snapshot, vec![&self.snapshot], 1),
            (RoleType::Timestamp, vec![timestamp], 1),
        ];
        let all = roles.iter().flat_map(|(_, keys, _)| keys);
        let root = Root {
            spec_version: SPECIFICATION.to_owned(),
            consistent_snapshot: true,
            version: number(version),
            expires: time(FAR),
            keys: all.map(|key| (id(key), key.tuf_key())).collect(),
            roles: roles
                .iter()
                .map(|(role, keys, threshold)| {
                    let keys = RoleKeys {
                        keyids: keys.iter().map(|key| id(key)).collect(),
                        threshold: number(*threshold),
                        _extra: HashMap::new(),
                    };
                    (*role, keys)
                })
                .collect(),
            _extra: HashMap::new(),
        };
        sign(root, signers)
    }

    fn root1(&self) -> Vec<u8> {
        let roots: Vec<_> = self.roots.iter().collect();
        self.root(1, &roots, &self.timestamp, &roots[..2])
    }

    fn targets(&self, version: u64, contents: &[Content<'_>], signer: &Ed25519KeyPair) -> Vec<u8> {
        let mut targets = Targets::new(SPECIFICATION.to_owned(), number(version), time(FAR));
        targets.delegations = None;
        for (name, content) in contents {
            let target = Target {
                length: content.len() as u64,
                hashes: hashes(content),
                custom: HashMap::new(),
                _extra: HashMap::new(),
            };
            targets.targets.insert(TargetName::new(*name).unwrap(), target);
        }
        sign(targets, &[signer])
    }

    fn snapshot(&self, version: u64, targets: u64, expires: i64, more: Option<&str>) -> Vec<u8> {
        let mut snapshot = Snapshot::new(SPECIFICATION.to_owned(), number(version), time(expires));
        snapshot
            .meta
            .insert("targets.json".to_owned(), metafile(targets, None));
        if let Some(name) = more {
            snapshot.meta.insert(name.to_owned(), metafile(1, None));
        }
        sign(snapshot, &[&self.snapshot])
    }

    fn timestamp(
        &self,
        version: u64,
        snapshot: (u64, &[u8]),
        expires: i64,
        signer: &Ed25519KeyPair,
    ) -> Vec<u8> {
        let mut timestamp = Timestamp::new(SPECIFICATION.to_owned(), number(version), time(expires));
        let (of, content) = snapshot;
        timestamp
            .meta
            .insert("snapshot.json".to_owned(), metafile(of, Some(content)));
        sign(timestamp, &[signer])
    }

    /// A right repository of this version, its parts by name.
    fn state(&self, version: u64, release: u64) -> State {
        let targets = self.targets(version, &release_of(release).borrowed(), &self.targets);
        let snapshot = self.snapshot(version, version, FAR, None);
        let timestamp = self.timestamp(version, (version, &snapshot), FAR, &self.timestamp);
        State {
            version,
            targets,
            snapshot,
            timestamp,
            more: Vec::new(),
        }
    }
}

/// A repository of one version.
#[derive(Clone)]
struct State {
    version: u64,
    targets: Vec<u8>,
    snapshot: Vec<u8>,
    timestamp: Vec<u8>,
    more: Files,
}

impl State {
    fn files(self) -> Files {
        let version = self.version;
        let mut files = vec![
            (format!("{version}.targets.json"), self.targets),
            (format!("{version}.snapshot.json"), self.snapshot),
            ("timestamp.json".to_owned(), self.timestamp),
        ];
        files.extend(self.more);
        files
    }

    fn with(mut self, more: &[(&str, &[u8])]) -> Self {
        self.more.extend(
            more.iter()
                .map(|(name, content)| ((*name).to_owned(), content.to_vec())),
        );
        self
    }
}

/// A release's targets.
struct Release(Vec<(String, Vec<u8>)>);

impl Release {
    fn borrowed(&self) -> Vec<Content<'_>> {
        self.0
            .iter()
            .map(|(name, content)| (name.as_str(), content.as_slice()))
            .collect()
    }
}

fn release_of(number: u64) -> Release {
    Release(vec![
        (format!("release-{PROFILE}.json"), manifest(number)),
        (format!("sbom-{PROFILE}.cdx.json"), SBOM.to_vec()),
    ])
}

fn hashes(content: &[u8]) -> Hashes {
    Hashes {
        sha256: Sha256::of(content).as_bytes().to_vec().into(),
        _extra: HashMap::new(),
    }
}

fn metafile(version: u64, content: Option<&[u8]>) -> Metafile {
    Metafile {
        length: content.map(|content| content.len() as u64),
        hashes: content.map(hashes),
        version: number(version),
        _extra: HashMap::new(),
    }
}

/// Makes them all below `out`.
pub(super) fn make(out: &Path) {
    let keys = Keys::new();
    let root1 = keys.root1();
    let write = |name: &str, state: State| write(&out.join(name), &root1, state.files());
    std::fs::write(out.join("root.json"), &root1).unwrap();

    let (first, second) = (keys.state(1, 1), keys.state(2, 2));
    write("first", first.clone());
    write("second", second.clone());
    let third = keys.state(3, 2);
    write("third", third.clone());

    write(
        "rollback-snapshot",
        State {
            timestamp: keys.timestamp(3, (1, &first.snapshot), FAR, &keys.timestamp),
            ..first.clone()
        },
    );
    let snapshot = keys.snapshot(3, 1, FAR, None);
    write(
        "rollback-targets",
        State {
            timestamp: keys.timestamp(3, (3, &snapshot), FAR, &keys.timestamp),
            snapshot,
            ..third.clone()
        }
        .with(&[("1.targets.json", &first.targets)]),
    );
    make_wrong_keys(&keys, &write);
    make_roots(&keys, &write);
    make_stale_and_mixed(&keys, &write);

    let names: [(&str, &[Content<'_>]); 1] = [("no-release", &[("release-other.json", b"{}")])];
    for (name, contents) in names {
        let targets = keys.targets(3, contents, &keys.targets);
        write(
            name,
            State {
                targets,
                ..third.clone()
            },
        );
    }
    let other = String::from_utf8(manifest(2)).unwrap().replace(PROFILE, "other");
    let name = format!("release-{PROFILE}.json");
    let targets = keys.targets(3, &[(&name, other.as_bytes())], &keys.targets);
    write("other-profile", State { targets, ..third });
    let file = format!("{}.{name}", Sha256::of(other.as_bytes()));
    std::fs::write(out.join("other-profile/targets").join(file), other).unwrap();
}

fn make_wrong_keys(keys: &Keys, write: &dyn Fn(&str, State)) {
    let (second, third) = (keys.state(2, 2), keys.state(3, 2));
    let evil = key();
    let timestamp = keys.timestamp(3, (3, &third.snapshot), FAR, &evil);
    write(
        "wrong-timestamp",
        State {
            timestamp,
            ..third.clone()
        },
    );
    let targets = keys.targets(3, &release_of(2).borrowed(), &evil);
    write("wrong-targets", State { targets, ..third });
    let evil_roots = [key(), key(), key()];
    let evil_roots: Vec<_> = evil_roots.iter().collect();
    let root = keys.root(2, &evil_roots, &evil, &evil_roots);
    write("wrong-root", second.clone().with(&[("2.root.json", &root)]));
    let roots: Vec<_> = keys.roots.iter().collect();
    let root = keys.root(2, &roots, &keys.timestamp, &roots[..1]);
    write("under-threshold", second.with(&[("2.root.json", &root)]));
}

fn make_roots(keys: &Keys, write: &dyn Fn(&str, State)) {
    let [a, b, c] = [&keys.roots[0], &keys.roots[1], &keys.roots[2]];
    let _ = a;
    let (new, newer, timestamp2, timestamp3) = (key(), key(), key(), key());
    let root2 = keys.root(2, &[&new, b, c], &timestamp2, &[b, c, &new]);
    let root3 = keys.root(3, &[&new, &newer, c], &timestamp3, &[&new, &newer, c, b]);
    let rotated = |version| {
        let state = keys.state(version, 2);
        State {
            timestamp: keys.timestamp(version, (version, &state.snapshot), FAR, &timestamp3),
            ..state
        }
    };
    write(
        "rotated",
        rotated(1).with(&[("2.root.json", &root2), ("3.root.json", &root3)]),
    );
    write("gap", rotated(3).with(&[("3.root.json", &root3)]));
    write(
        "root-order",
        keys.state(2, 2).with(&[("2.root.json", &keys.root1())]),
    );
}

fn make_stale_and_mixed(keys: &Keys, write: &dyn Fn(&str, State)) {
    let third = keys.state(3, 2);
    let timestamp = keys.timestamp(3, (3, &third.snapshot), PAST, &keys.timestamp);
    write(
        "expired",
        State {
            timestamp,
            ..third.clone()
        },
    );
    let with_snapshot = |snapshot: Vec<u8>| State {
        timestamp: keys.timestamp(3, (3, &snapshot), FAR, &keys.timestamp),
        snapshot,
        ..third.clone()
    };
    write("expired-snapshot", with_snapshot(keys.snapshot(3, 3, PAST, None)));
    // The timestamp names the right one in each of these.
    let instead = |snapshot| State {
        snapshot,
        ..third.clone()
    };
    write(
        "mixed-snapshot",
        instead(keys.snapshot(3, 3, FAR, Some("x.json"))),
    );
    let mut damaged = third.snapshot.clone();
    let at = damaged.len() - 20;
    damaged[at] ^= 1;
    write("damaged-snapshot", instead(damaged));
    write(
        "long-snapshot",
        instead([&third.snapshot[..], &[b'x'; 1000]].concat()),
    );
    let targets = keys.state(2, 2).targets;
    write(
        "mixed-targets",
        State {
            targets,
            ..third.clone()
        },
    );
}

/// Writes a repository: the first root, these metadata, and the targets they may name.
fn write(folder: &Path, root1: &[u8], files: Files) {
    let (metadata, targets) = (folder.join("metadata"), folder.join("targets"));
    std::fs::create_dir_all(&metadata).unwrap();
    std::fs::create_dir(&targets).unwrap();
    std::fs::write(metadata.join("1.root.json"), root1).unwrap();
    for (name, content) in files {
        std::fs::write(metadata.join(name), content).unwrap();
    }
    for (name, content) in [1, 2].map(release_of).iter().flat_map(|release| &release.0) {
        let name = format!("{}.{name}", Sha256::of(content));
        std::fs::write(targets.join(name), content).unwrap();
    }
}

//! What repositories and bundles of updates say, and what a box has written down of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;
use rap_core::digest::Sha256;
use rap_core::folder::Directory;
use rap_core::update::source::{Bundle, Name, Source, SourceError};
use rap_core::update::trust::{Question, check, is_known};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tough::schema::{Role, RoleKeys, RoleType, Root, Signature, Signed, Snapshot, Targets, Timestamp};
use tough::sign::Sign as _;

/// Bytes between the parts of an input of [`tuf`].
const SEPARATOR: u8 = 0xff;

/// A tar: whatever it says, a file that is read lies within it.
pub(crate) fn bundle(bytes: &[u8]) {
    let Ok(bundle) = Bundle::of(super::file_of(bytes), "bundle.tar".as_ref()) else {
        return;
    };
    for name in bundle.names() {
        let content = bundle.fetch(name, 1 << 20);
        assert!(content.is_ok_and(|content| content.len() <= bytes.len()));
        assert_eq!(name.as_str().parse().as_ref(), Ok(name));
    }
}

/// The box's own memory of a repository.
pub(crate) fn memory(bytes: &[u8]) {
    if bytes.len() > 65 {
        let (_, rest) = bytes.split_at(65);
        let sealed = [format!("{}\n", Sha256::of(rest)).as_bytes(), rest].concat();
        let _ = is_known(&sealed);
    }
    let _ = is_known(bytes);
}

/// What the updater remembers.
pub(crate) fn state(bytes: &[u8]) {
    rap_core::update::state::fuzz_state(bytes);
}

/// The floor's second copy.
pub(crate) fn floor(bytes: &[u8]) {
    rap_core::update::state::fuzz_floor(bytes);
}

/// A repository: the next root, timestamp, snapshot, targets and manifest, with a byte 255 between. What is of the right
/// shape is signed, and named by who has to name it, so that what is behind signatures and hashes is reached too.
pub(crate) fn tuf(bytes: &[u8]) {
    let _ = is_taken(bytes);
}

/// Whether a box believes such a repository.
fn is_taken(bytes: &[u8]) -> bool {
    let mut parts = bytes.split(|byte| *byte == SEPARATOR);
    let mut part = || parts.next().unwrap_or_default();
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed");
    let mut files = BTreeMap::new();
    let mut put = |name: String, content: Vec<u8>| {
        files.insert(name, content);
    };
    let (root, timestamp, snapshot) = (part(), part(), part());
    let (targets, manifest) = (part(), part());
    if !root.is_empty() {
        put(
            "metadata/2.root.json".to_owned(),
            signed::<Root>(root, &key, |_| {}),
        );
    }
    let snapshot_version = serde_json::from_slice::<Snapshot>(snapshot).map(|found| found.version);
    let name_it = |found: &mut Timestamp| {
        for meta in found.meta.values_mut() {
            (meta.length, meta.hashes) = (None, None);
            meta.version = *snapshot_version.as_ref().unwrap_or(&meta.version);
        }
    };
    put(
        "metadata/timestamp.json".to_owned(),
        signed::<Timestamp>(timestamp, &key, name_it),
    );
    let targets_version = serde_json::from_slice::<Targets>(targets).map(|found| found.version);
    let name_it = |found: &mut Snapshot| {
        for meta in found.meta.values_mut() {
            (meta.length, meta.hashes) = (None, None);
            meta.version = *targets_version.as_ref().unwrap_or(&meta.version);
        }
    };
    let hash = Sha256::of(manifest);
    if let Ok(version) = &snapshot_version {
        put(
            format!("metadata/{version}.snapshot.json"),
            signed::<Snapshot>(snapshot, &key, name_it),
        );
    }
    if let Ok(version) = &targets_version {
        let name_it = |found: &mut Targets| {
            for target in found.targets.values_mut() {
                target.length = manifest.len() as u64;
                target.hashes.sha256 = hash.as_bytes().to_vec().into();
            }
        };
        put(
            format!("metadata/{version}.targets.json"),
            signed::<Targets>(targets, &key, name_it),
        );
    }
    put(format!("targets/{hash}.release-qemu.json"), manifest.to_vec());
    ask(files, &key)
}

/// A box asks such a repository, twice: what was taken once is taken again.
fn ask(files: BTreeMap<String, Vec<u8>>, key: &Ed25519KeyPair) -> bool {
    let place = tempfile::tempdir().expect("a folder");
    let (mut folder, scratch) = (Directory(place.path().join("tuf")), place.path().join("scratch"));
    let source: Arc<dyn Source> = Arc::new(Memory(files));
    let question = Question {
        root: &first_root(key),
        profile: "qemu",
        floor: 0,
        scratch: &scratch,
    };
    let Ok(trusted) = check(&source, question, &mut folder) else {
        return false;
    };
    assert_eq!(trusted.manifest.profile, "qemu");
    let again = check(&source, question, &mut folder);
    assert_eq!(again.expect("the same again").manifest, trusted.manifest);
    true
}

fn first_root(key: &Ed25519KeyPair) -> Vec<u8> {
    let id = key.tuf_key().key_id().expect("an id");
    let one = std::num::NonZeroU64::MIN;
    let keys = RoleKeys {
        keyids: vec![id.clone()],
        threshold: one,
        _extra: Default::default(),
    };
    let roles = [
        RoleType::Root,
        RoleType::Targets,
        RoleType::Snapshot,
        RoleType::Timestamp,
    ];
    let root = Root {
        spec_version: "1.0.0".to_owned(),
        consistent_snapshot: true,
        version: one,
        expires: "2090-01-01T00:00:00Z".parse().expect("a time"),
        keys: [(id, key.tuf_key())].into(),
        roles: roles.map(|role| (role, keys.clone())).into(),
        _extra: Default::default(),
    };
    sign(root, key)
}

/// A role as the input has it, changed and signed; what is none as it is.
fn signed<T: Role + Serialize + DeserializeOwned>(
    content: &[u8],
    key: &Ed25519KeyPair,
    change: impl FnOnce(&mut T),
) -> Vec<u8> {
    match serde_json::from_slice::<T>(content) {
        Ok(mut role) => {
            change(&mut role);
            sign(role, key)
        }
        Err(_) => content.to_vec(),
    }
}

fn sign<T: Role + Serialize>(signed: T, key: &Ed25519KeyPair) -> Vec<u8> {
    // What cannot be written canonically is signed wrongly.
    let data = signed.canonical_form().unwrap_or_default();
    let signatures = vec![Signature {
        keyid: key.tuf_key().key_id().expect("an id"),
        sig: key.sign(&data).as_ref().to_vec().into(),
    }];
    serde_json::to_vec(&Signed { signed, signatures }).expect("JSON")
}

#[derive(Debug)]
struct Memory(BTreeMap<String, Vec<u8>>);

impl Source for Memory {
    fn fetch(&self, name: &Name, limit: u64) -> Result<Vec<u8>, SourceError> {
        let name = || name.clone();
        let content = self.0.get(name().as_str());
        let content = content.ok_or_else(|| SourceError::NotThere { name: name() })?;
        if content.len() as u64 > limit {
            return Err(SourceError::TooLong { name: name(), limit });
        }
        Ok(content.clone())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_behind_signatures_and_hashes_is_reached() {
        assert!(super::is_taken(include_bytes!("../corpus/tuf/release")));
        assert!(!super::is_taken(include_bytes!("../corpus/tuf/path")));
    }
}

//! What a repository says, read as a box would: every signature and digest checked, from the first root to the newest
//! release and back through those before it.

use std::collections::BTreeSet;
use std::path::Path;

use rap_core::digest::Sha256;
use rap_core::release::{File, MANIFEST_LIMIT, Manifest, PIECES};
use tough::schema::{Metafile, Role, Signed, Snapshot, Target, Targets, Timestamp};

use super::PublishError;
use super::place::{names, read};
use crate::trust::{Chain, Root};

/// Bytes of a metadata file, at most.
pub(super) const METADATA_LIMIT: u64 = 4 << 20;
/// Bytes of a bill of materials, at most.
pub(super) const SBOM_LIMIT: u64 = 64 << 20;

/// A repository with at least one release.
#[derive(Debug)]
pub(super) struct Repository {
    /// Its roots.
    pub(super) chain: Chain,
    /// What its newest metadata says.
    pub(super) targets: Signed<Targets>,
    pub(super) snapshot: Signed<Snapshot>,
    pub(super) timestamp: Signed<Timestamp>,
    /// Every release it has or had and still describes, oldest first.
    pub(super) releases: Vec<Manifest>,
    /// The files that belong to it.
    pub(super) files: BTreeSet<String>,
}

impl Repository {
    /// Reads the repository in `root`; `None` when nothing was published there.
    ///
    /// # Errors
    /// When something in it is not as it was published.
    pub(super) fn read(root: &Path) -> Result<Option<Self>, PublishError> {
        let Some(timestamp) = read(root, "metadata/timestamp.json", METADATA_LIMIT)? else {
            return Ok(None);
        };
        let mut files = BTreeSet::from(["metadata/timestamp.json".to_owned()]);
        let chain = read_chain(root, &mut files)?;
        let timestamp: Signed<Timestamp> = parse("metadata/timestamp.json", &timestamp)?;
        verify("metadata/timestamp.json", &chain, &timestamp)?;
        let snapshot: Signed<Snapshot> = follow(
            root,
            "snapshot",
            timestamp.signed.meta.get("snapshot.json"),
            &chain,
            &mut files,
        )?;
        let targets: Signed<Targets> = follow(
            root,
            "targets",
            snapshot.signed.meta.get("targets.json"),
            &chain,
            &mut files,
        )?;
        let mut releases = Vec::new();
        for version in 1..targets.signed.version.get() {
            earlier(root, version, &chain, &mut releases, &mut files)?;
        }
        of_targets(root, &targets.signed, true, &mut releases, &mut files)?;
        Ok(Some(Self {
            chain,
            targets,
            snapshot,
            timestamp,
            releases,
            files,
        }))
    }

    /// The releases that boxes are offered now: the newest of each profile.
    pub(super) fn current(&self) -> impl Iterator<Item = &Manifest> {
        let newer = |one: &Manifest| {
            let mut all = self.releases.iter();
            all.any(|other| other.profile == one.profile && other.number > one.number)
        };
        self.releases.iter().filter(move |release| !newer(release))
    }

    /// The releases of a profile, newest first.
    pub(super) fn of<'a>(&'a self, profile: &'a str) -> impl Iterator<Item = &'a Manifest> {
        let all = self.releases.iter().rev();
        all.filter(move |release| release.profile == profile)
    }
}

/// What is in the folder but belongs to nothing: what a killed run left, to be swept.
///
/// # Errors
/// When there is a file that no run of this program makes.
pub(super) fn leftovers(root: &Path, repository: Option<&Repository>) -> Result<Vec<String>, PublishError> {
    let (whole, mut left) = names(root)?;
    for name in whole {
        if repository.is_some_and(|repository| repository.files.contains(&name)) {
            continue;
        }
        if !is_ours(&name) {
            return Err(PublishError::Stray(root.join(name)));
        }
        left.push(name);
    }
    Ok(left)
}

/// Whether a run of this program may have made a file called `name`.
fn is_ours(name: &str) -> bool {
    let is_digest = |text: &str| text.parse::<Sha256>().is_ok();
    match name.split_once('/') {
        Some(("metadata", file)) => ["root", "targets", "snapshot"].iter().any(|role| {
            file.strip_suffix(&format!(".{role}.json"))
                .is_some_and(|version| version.parse::<u64>().is_ok())
        }),
        Some(("targets", file)) => file.split_once('.').is_some_and(|(digest, _)| is_digest(digest)),
        Some((PIECES, file)) => is_digest(file),
        _ => false,
    }
}

fn read_chain(root: &Path, files: &mut BTreeSet<String>) -> Result<Chain, PublishError> {
    let mut chain: Option<Chain> = None;
    for version in 1_u64.. {
        let name = format!("metadata/{version}.root.json");
        let Some(bytes) = read(root, &name, METADATA_LIMIT)? else {
            break;
        };
        let next = Root::parse(&root.join(&name), &bytes)?;
        match &mut chain {
            Some(chain) => chain.push(next)?,
            None => chain = Some(Chain::of(next)),
        }
        files.insert(name);
    }
    chain.ok_or_else(|| PublishError::Missing("metadata/1.root.json".to_owned()))
}

/// The metadata that other metadata names (TUF 1.0 §5.5, §5.6).
fn follow<T: Role + serde::de::DeserializeOwned>(
    root: &Path,
    role: &str,
    named: Option<&Metafile>,
    chain: &Chain,
    files: &mut BTreeSet<String>,
) -> Result<Signed<T>, PublishError> {
    let named = named.ok_or_else(|| PublishError::Missing(format!("metadata of {role}")))?;
    let name = format!("metadata/{}.{role}.json", named.version);
    let bytes = read(root, &name, METADATA_LIMIT)?.ok_or_else(|| PublishError::Missing(name.clone()))?;
    let digest = named.hashes.as_ref().map(|hashes| hashes.sha256.to_vec());
    if digest.is_some_and(|digest| digest != Sha256::of(&bytes).as_bytes()) {
        return Err(PublishError::Damaged(name));
    }
    let signed = parse(&name, &bytes)?;
    verify(&name, chain, &signed)?;
    files.insert(name);
    Ok(signed)
}

/// The releases that targets metadata of another time names.
fn earlier(
    root: &Path,
    version: u64,
    chain: &Chain,
    releases: &mut Vec<Manifest>,
    files: &mut BTreeSet<String>,
) -> Result<(), PublishError> {
    for role in ["targets", "snapshot"] {
        let name = format!("metadata/{version}.{role}.json");
        let Some(bytes) = read(root, &name, METADATA_LIMIT)? else {
            continue;
        };
        if role == "targets" {
            let signed: Signed<Targets> = parse(&name, &bytes)?;
            verify(&name, chain, &signed)?;
            of_targets(root, &signed.signed, false, releases, files)?;
        }
        files.insert(name);
    }
    Ok(())
}

/// Reads what `targets` names. What the newest one names has to be there; of earlier ones somebody may have made room.
fn of_targets(
    root: &Path,
    targets: &Targets,
    is_newest: bool,
    releases: &mut Vec<Manifest>,
    files: &mut BTreeSet<String>,
) -> Result<(), PublishError> {
    let mut named: Vec<(&str, &Target)> = targets
        .targets
        .iter()
        .map(|(name, target)| (name.resolved(), target))
        .collect();
    named.sort_by_key(|(name, _)| *name);
    for (name, target) in named {
        let path = format!("targets/{}.{name}", digest(target));
        let limit = if name.starts_with("release-") {
            MANIFEST_LIMIT
        } else {
            SBOM_LIMIT
        };
        let bytes = match read(root, &path, limit)? {
            Some(bytes) => bytes,
            None if is_newest => return Err(PublishError::Missing(path)),
            None => continue,
        };
        if target.hashes.sha256 != *Sha256::of(&bytes).as_bytes() || target.length != bytes.len() as u64 {
            return Err(PublishError::Damaged(path));
        }
        if name.starts_with("release-") {
            let release = Manifest::parse(&bytes)?;
            pieces(root, &release, is_newest, files)?;
            if !releases.contains(&release) {
                releases.push(release);
            }
        }
        files.insert(path);
    }
    Ok(())
}

fn pieces(
    root: &Path,
    release: &Manifest,
    is_newest: bool,
    files: &mut BTreeSet<String>,
) -> Result<(), PublishError> {
    for piece in pieces_of(release) {
        let name = piece_name(piece);
        match std::fs::metadata(root.join(&name)) {
            Ok(found) if found.len() == piece.bytes => {}
            Ok(_) => return Err(PublishError::Damaged(name)),
            Err(_) if is_newest => return Err(PublishError::Missing(name)),
            Err(_) => continue,
        }
        files.insert(name);
    }
    Ok(())
}

/// Every piece of a release.
pub(super) fn pieces_of(release: &Manifest) -> impl Iterator<Item = &File> {
    let patches = release.patches.iter().flat_map(|patch| &patch.pieces);
    release.full.iter().chain(patches)
}

/// A target's digest, as the names of files say it.
pub(super) fn digest(target: &Target) -> String {
    let each = target.hashes.sha256.iter();
    each.map(|byte| format!("{byte:02x}")).collect()
}

/// A piece's name in a repository.
pub(super) fn piece_name(piece: &File) -> String {
    format!("{PIECES}/{}", piece.sha256)
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, PublishError> {
    serde_json::from_slice(bytes).map_err(|error| PublishError::Metadata(name.to_owned(), error))
}

/// Signed as a root of the chain asks: the newest one, or, while a run that brings a new root is not done, one before it.
fn verify<T: Role>(name: &str, chain: &Chain, signed: &Signed<T>) -> Result<(), PublishError> {
    let mut roots = chain.roots().rev();
    if roots.any(|root| root.content().verify_role(signed).is_ok()) {
        return Ok(());
    }
    Err(PublishError::Signature(name.to_owned()))
}

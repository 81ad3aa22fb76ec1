//! New roots: a key is replaced, or the root's time is up. Each is signed by its own root keys and by those of the one before
//! it, as many as either asks for; where they sit with different people, each adds a signature.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use tough::schema::{RoleType, Signed};

use super::make::generate;
use super::release::add;
use super::set::{self, Staged};
use super::{KeysError, NEXT_ROOT, Passphrase, RETIRED, ROOTS, public_keys, signatories};
use crate::trust::{self, Document, ROOT_FILE, Root, RootError, signatures};

/// The endings of a key's files.
const ENDINGS: [&str; 3] = ["pub", "key", "signer"];

/// What is to change.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The keys of updates to replace; none to do no more than prolong the root.
    pub names: Vec<String>,
    /// A folder with keys that are made elsewhere: `NAME.pub`, and `NAME.signer` where a program signs.
    pub with: Option<PathBuf>,
    /// Days until the new root expires.
    pub days: u32,
    /// This moment.
    pub now: Timestamp,
}

/// How far a root is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Standing {
    /// Its version.
    pub version: u64,
    /// Good signatures of its own root keys.
    pub found: usize,
    /// As many have to be.
    pub wanted: u64,
    /// Good signatures of the root keys before it; none for a first root.
    pub found_before: usize,
    /// As many have to be.
    pub wanted_before: u64,
}

impl Standing {
    fn of(root: &Signed<tough::schema::Root>, before: Option<&Root>) -> Self {
        let wanted = |root: &tough::schema::Root| {
            root.roles
                .get(&RoleType::Root)
                .map_or(1, |role| role.threshold.get())
        };
        Self {
            version: root.signed.version.get(),
            found: signatures(&root.signed, root),
            wanted: wanted(&root.signed),
            found_before: before.map_or(0, |before| signatures(before.content(), root)),
            wanted_before: before.map_or(0, |before| wanted(before.content())),
        }
    }

    /// Whether boxes take the root.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.found as u64 >= self.wanted && self.found_before as u64 >= self.wanted_before
    }
}

/// Makes the next root in `directory`, with new keys for some of the old ones, which are retired. Without enough signatures
/// it waits as `root.next.json`.
///
/// # Errors
/// When a key is not there or cannot be made, another root waits, or something cannot be written; nothing has changed then.
pub fn rotate(directory: &Path, rotation: &Rotation, passphrase: &Passphrase) -> Result<Standing, KeysError> {
    let before = Root::in_keys(directory)?.ok_or_else(|| KeysError::NoRoot(directory.to_owned()))?;
    let mut files = set::read(directory)?;
    if files.contains_key(NEXT_ROOT) {
        return Err(KeysError::Waiting(directory.join(NEXT_ROOT)));
    }
    let brought = match &rotation.with {
        Some(with) => set::read(with)?,
        None => set::Files::new(),
    };
    let known = public_keys(directory)?;
    let retired = |name: &str, kind: &str| format!("{RETIRED}/{name}-{}.{kind}", before.version());
    for name in &rotation.names {
        let id = known.get(name).and_then(|key| key.key_id().ok());
        if !id.is_some_and(|id| before.content().keys.contains_key(&id)) {
            return Err(KeysError::NoKey(name.clone()));
        }
        for kind in ENDINGS {
            if let Some(content) = files.remove(&format!("{name}.{kind}")) {
                files.insert(retired(name, kind), content);
            }
            if let Some(content) = brought.get(&format!("{name}.{kind}")) {
                files.insert(format!("{name}.{kind}"), content.clone());
            }
        }
        if !files.contains_key(&format!("{name}.pub")) {
            if before.is_development() {
                let key = generate(name, &rcgen::PKCS_ED25519)?;
                files.insert(format!("{name}.pub"), key.public_key_pem().into_bytes());
                files.insert(format!("{name}.key"), key.serialize_pem().into_bytes());
            } else {
                add(&mut files, name, passphrase)?;
            }
        }
    }
    files.insert(
        format!("{ROOTS}/{}.root.json", before.version()),
        before.bytes().to_vec(),
    );
    let staged = Staged::new(&files, directory)?;
    let renewed = public_keys(staged.path())?;
    let mut next = before.content().clone();
    next.version = next.version.saturating_add(1);
    let seconds = rotation.now.as_second() + i64::from(rotation.days) * 86_400;
    next.expires = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    for name in &rotation.names {
        let (Some(old), Some(new)) = (known.get(name), renewed.get(name)) else {
            return Err(KeysError::NoKey(name.clone()));
        };
        exchange(&mut next, old, new)?;
    }
    let root = trust::sign(next, []).map_err(RootError::from)?;
    staged.add(NEXT_ROOT, &root.bytes)?;
    finish(staged, passphrase)
}

/// Puts `new` in the place of `old`, in every role.
fn exchange(
    root: &mut tough::schema::Root,
    old: &tough::schema::key::Key,
    new: &tough::schema::key::Key,
) -> Result<(), KeysError> {
    let id = |key: &tough::schema::key::Key| key.key_id().map_err(RootError::key);
    let (old, id) = (id(old)?, id(new)?);
    root.keys.remove(&old);
    root.keys.insert(id.clone(), new.clone());
    for role in root.roles.values_mut() {
        for known in role.keyids.iter_mut().filter(|known| **known == old) {
            *known = id.clone();
        }
        role.keyids.sort();
    }
    Ok(())
}

/// Adds to the root in `file` the signatures of all root keys in `directory` that it or the root before it asks for. When
/// it is the directory's own [`NEXT_ROOT`] and nothing lacks any more, it becomes the directory's root.
///
/// # Errors
/// When it is no root, no key here is one of its, or it cannot be written.
pub fn sign_root(directory: &Path, file: &Path, passphrase: &Passphrase) -> Result<Standing, KeysError> {
    let own = directory.join(NEXT_ROOT);
    let is_own = file
        .canonicalize()
        .ok()
        .is_some_and(|file| own.canonicalize().is_ok_and(|own| own == file));
    if is_own {
        return finish(Staged::new(&set::read(directory)?, directory)?, passphrase);
    }
    let before = Root::in_keys(directory)?;
    let bytes = std::fs::read(file).map_err(|source| KeysError::Read {
        path: file.to_owned(),
        source,
    })?;
    let (document, standing) = signed(directory, file, &bytes, before.as_ref(), passphrase)?;
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let write = || {
        let mut beside = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut beside, &document.bytes)?;
        beside.as_file().sync_all()?;
        beside.persist(file)?;
        std::fs::File::open(folder)?.sync_all()
    };
    write().map_err(|source| set::unwritten(file, source))?;
    Ok(standing)
}

/// Signs what waits in a staged set with the keys at hand, makes it the set's root where nothing lacks, and puts the set in
/// its place.
pub(super) fn finish(staged: Staged, passphrase: &Passphrase) -> Result<Standing, KeysError> {
    let before = Root::in_keys(staged.path())?;
    let waiting = staged.path().join(NEXT_ROOT);
    let bytes = std::fs::read(&waiting).map_err(|source| KeysError::Read {
        path: waiting.clone(),
        source,
    })?;
    let signed = signed(
        staged.path(),
        Path::new(NEXT_ROOT),
        &bytes,
        before.as_ref(),
        passphrase,
    );
    let (document, standing) = match signed {
        // Whoever has none of the root keys can still make the root that others sign.
        Err(KeysError::NoneSigned(_)) => parsed(Path::new(NEXT_ROOT), &bytes, before.as_ref())?,
        other => other?,
    };
    if standing.is_complete() {
        staged.add(ROOT_FILE, &document.bytes)?;
        std::fs::remove_file(&waiting).map_err(|source| set::unwritten(&waiting, source))?;
    } else {
        staged.add(NEXT_ROOT, &document.bytes)?;
    }
    staged.put()?;
    Ok(standing)
}

type Half = (Document<tough::schema::Root>, Standing);

fn parsed(file: &Path, bytes: &[u8], before: Option<&Root>) -> Result<Half, KeysError> {
    let root = serde_json::from_slice(bytes).map_err(|error| RootError::Form(file.to_owned(), error))?;
    let standing = Standing::of(&root, before);
    Ok((Document::new(root).map_err(RootError::from)?, standing))
}

fn signed(
    directory: &Path,
    file: &Path,
    bytes: &[u8],
    before: Option<&Root>,
    passphrase: &Passphrase,
) -> Result<Half, KeysError> {
    let (mut document, _) = parsed(file, bytes, before)?;
    // The root before it speaks where it is the one before it; a holder's directory may lag behind, or be ahead.
    let before = before.filter(|before| before.version() + 1 == document.signed.signed.version.get());
    let roots = before
        .map(Root::content)
        .into_iter()
        .chain([&document.signed.signed]);
    let asked: Vec<_> = roots
        .flat_map(|root| root.keys(RoleType::Root))
        .cloned()
        .collect();
    let keys = signatories(directory, &|key| asked.contains(key), passphrase)?;
    if keys.is_empty() {
        return Err(KeysError::NoneSigned(document.signed.signed.version.get()));
    }
    for key in &keys {
        key.add(&mut document.signed).map_err(RootError::from)?;
    }
    let standing = Standing::of(&document.signed, before);
    Ok((Document::new(document.signed).map_err(RootError::from)?, standing))
}

#[cfg(test)]
mod tests;

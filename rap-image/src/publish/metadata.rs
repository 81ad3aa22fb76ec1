//! Making targets, snapshot and timestamp, and the order in which they come to be seen. Pure.

use std::collections::HashMap;
use std::num::NonZeroU64;

use jiff::Timestamp as Moment;
use rap_core::release::{File, Manifest, manifest_name, sbom_name};
use tough::TargetName;
use tough::schema::{Hashes, Metafile, Role, RoleType, Snapshot, Target, Targets, Timestamp};

use super::repository::Repository;
use super::{Expiry, PublishError};
use crate::trust::{Chain, Document, Root, SPEC_VERSION, Signatory, sign};

/// A file on its way into the repository.
#[derive(Debug)]
pub(super) struct Named {
    /// Its name in the repository.
    pub(super) name: String,
    /// Its content.
    pub(super) bytes: Vec<u8>,
}

/// Who signs, for whom, until when.
#[derive(Debug)]
pub(super) struct Signing<'a> {
    /// The keys at hand.
    pub(super) keys: &'a [Signatory],
    /// The roots that the repository is to have, oldest first.
    pub(super) chain: &'a Chain,
    /// The root that boxes know which have not seen the newer ones; the newest one, when there are no newer ones.
    pub(super) known: &'a Root,
    pub(super) now: Moment,
    pub(super) expiry: Expiry,
}

/// What is signed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// The timestamp only.
    Timestamp,
    /// The snapshot, and what follows from it.
    Snapshot,
    /// Everything.
    Targets,
}

/// A release, and the description of its bill of materials.
pub(super) struct Entry<'a> {
    pub(super) release: &'a Manifest,
    pub(super) manifest: File,
    pub(super) sbom: File,
}

impl Signing<'_> {
    /// New metadata from `scope` on, with `entries` in the place of the earlier ones of their profiles: its files, in the
    /// order in which they may be seen, and when the first of it expires.
    ///
    /// # Errors
    /// When keys are missing, or do not sign.
    pub(super) fn files(
        &self,
        before: Option<&Repository>,
        entries: &[Entry<'_>],
        scope: Scope,
    ) -> Result<(Vec<Named>, Moment), PublishError> {
        let mut files = Vec::new();
        let mut ends = Vec::new();
        let mut known_takes_it = true;
        let old = before.filter(|_| scope < Scope::Targets);
        let targets = match old {
            Some(old) => {
                ends.push(old.targets.signed.expires);
                kept(&old.snapshot.signed.meta, "targets.json")?
            }
            None => {
                let targets = self.targets(before, entries)?;
                ends.push(targets.signed.signed.expires);
                known_takes_it &= self.known_takes(&targets);
                let version = targets.signed.signed.version;
                files.push(named(format!("metadata/{version}.targets.json"), &targets));
                meta(version, &targets)
            }
        };
        let old = before.filter(|_| scope < Scope::Snapshot);
        let snapshot = match old {
            Some(old) => {
                ends.push(old.snapshot.signed.expires);
                kept(&old.timestamp.signed.meta, "snapshot.json")?
            }
            None => {
                let version = following(before.map(|before| before.snapshot.signed.version));
                let snapshot = Snapshot {
                    meta: HashMap::from([("targets.json".to_owned(), targets)]),
                    ..Snapshot::new(
                        SPEC_VERSION.to_owned(),
                        version,
                        self.until(self.expiry.snapshot)?,
                    )
                };
                let snapshot = self.signed(snapshot)?;
                ends.push(snapshot.signed.signed.expires);
                known_takes_it &= self.known_takes(&snapshot);
                files.push(named(format!("metadata/{version}.snapshot.json"), &snapshot));
                meta(version, &snapshot)
            }
        };
        let version = following(before.map(|before| before.timestamp.signed.version));
        let timestamp = Timestamp {
            meta: HashMap::from([("snapshot.json".to_owned(), snapshot)]),
            ..Timestamp::new(
                SPEC_VERSION.to_owned(),
                version,
                self.until(self.expiry.timestamp)?,
            )
        };
        let timestamp = self.signed(timestamp)?;
        known_takes_it &= self.known_takes(&timestamp);
        let end = timestamp.signed.signed.expires;
        let end = ends.into_iter().fold(end, Moment::min);
        let timestamp = named("metadata/timestamp.json".to_owned(), &timestamp);
        let roots = self.chain.roots();
        let new = roots.filter(|root| before.is_none() || root.version() > self.known.version());
        let new = new.map(|root| Named {
            name: format!("metadata/{}.root.json", root.version()),
            bytes: root.bytes().to_vec(),
        });
        // Whoever takes a new root needs metadata that it stands for, and whoever does not have it yet needs metadata that
        // the old one stands for. Where the keys of both signed, the root comes last and everybody is content at every
        // moment; where an old key is lost it cannot be helped that for a moment boxes have to come again.
        if before.is_some() && known_takes_it {
            files.push(timestamp);
            files.extend(new);
        } else {
            files.extend(new);
            files.push(timestamp);
        }
        Ok((files, end))
    }

    /// Whether a box that knows the older root believes it.
    fn known_takes<T: Role>(&self, document: &Document<T>) -> bool {
        self.known.content().verify_role(&document.signed).is_ok()
    }

    /// Whether the keys at hand are enough for `role` of the newest root.
    pub(super) fn can_sign(&self, role: RoleType) -> bool {
        let root = self.chain.newest().content();
        let at_hand = self.keys.iter().filter(|key| key.is_of(root, role)).count();
        let wanted = root.roles.get(&role).map(|role| role.threshold.get());
        wanted.is_some_and(|wanted| at_hand as u64 >= wanted)
    }

    fn targets(
        &self,
        before: Option<&Repository>,
        entries: &[Entry<'_>],
    ) -> Result<Document<Targets>, PublishError> {
        let mut targets = before.map_or_else(HashMap::new, |before| before.targets.signed.targets.clone());
        for entry in entries {
            let profile = &entry.release.profile;
            for (name, file) in [
                (manifest_name(profile), entry.manifest),
                (sbom_name(profile), entry.sbom),
            ] {
                let name = TargetName::new(&name).map_err(|error| PublishError::Form(Box::new(error)))?;
                targets.insert(name, target(&file));
            }
        }
        let version = following(before.map(|before| before.targets.signed.version));
        let expires = self.until(self.expiry.targets)?;
        let content = Targets {
            targets,
            delegations: None,
            ..Targets::new(SPEC_VERSION.to_owned(), version, expires)
        };
        self.signed(content)
    }

    /// Signed by every key at hand that a box may ask for: those of the newest root, and those of the one it knows.
    fn signed<T: Role>(&self, role: T) -> Result<Document<T>, PublishError> {
        let newest = self.chain.newest();
        let asked = |key: &&Signatory| {
            key.is_of(newest.content(), T::TYPE) || key.is_of(self.known.content(), T::TYPE)
        };
        let document = sign(role, self.keys.iter().filter(asked))?;
        let role = newest.content().roles.get(&T::TYPE);
        let wanted = role.map_or(1, |role| role.threshold.get());
        let of_newest = |key: &&Signatory| key.is_of(newest.content(), T::TYPE);
        let found = self.keys.iter().filter(of_newest).count();
        if newest.content().verify_role(&document.signed).is_err() {
            return Err(PublishError::Keys {
                role: T::TYPE,
                found,
                wanted,
            });
        }
        Ok(document)
    }

    /// `days` from now, in whole seconds: python-tuf refuses others.
    fn until(&self, days: u32) -> Result<Moment, PublishError> {
        let seconds = self.now.as_second() + i64::from(days) * 86_400;
        Moment::from_second(seconds).map_err(|error| PublishError::Form(Box::new(error)))
    }
}

fn named<T>(name: String, document: &Document<T>) -> Named {
    Named {
        name,
        bytes: document.bytes.clone(),
    }
}

/// What the metadata that already is there says of `name`.
fn kept(meta: &HashMap<String, Metafile>, name: &str) -> Result<Metafile, PublishError> {
    let found = meta.get(name).cloned();
    found.ok_or_else(|| PublishError::Missing(format!("metadata of {name}")))
}

fn meta<T: Role>(version: NonZeroU64, document: &Document<T>) -> Metafile {
    let file = document.file();
    Metafile {
        length: Some(file.bytes),
        hashes: Some(hashes(&file)),
        version,
        _extra: HashMap::new(),
    }
}

fn target(file: &File) -> Target {
    Target {
        length: file.bytes,
        hashes: hashes(file),
        custom: HashMap::new(),
        _extra: HashMap::new(),
    }
}

fn hashes(file: &File) -> Hashes {
    Hashes {
        sha256: file.sha256.as_bytes().to_vec().into(),
        _extra: HashMap::new(),
    }
}

fn following(version: Option<NonZeroU64>) -> NonZeroU64 {
    version.map_or(NonZeroU64::MIN, |version| version.saturating_add(1))
}

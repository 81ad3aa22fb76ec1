//! What a directory of keys holds, for people and programs. No key is decrypted for it.

use std::fmt::{self, Display};
use std::path::Path;

use serde::Serialize;
use tough::schema::RoleType;

use super::encrypted::is_encrypted;
use super::{KeysError, NEXT_ROOT, SECURE_BOOT, SERVICE, public_keys, read_text};
use crate::trust::Root;

/// Where a private key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// Here, readable by whoever reads the file.
    InClear,
    /// Here, encrypted.
    Encrypted,
    /// With a program that signs.
    Program,
    /// Not here.
    Elsewhere,
}

/// A key, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// Its name; empty when its public half is not here either.
    pub name: String,
    /// Where its private half is.
    pub kept: Kept,
}

/// Who signs something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Role {
    /// What.
    pub role: String,
    /// Keys that have to sign.
    pub threshold: u64,
    /// The keys.
    pub keys: Vec<Holding>,
}

/// What a directory of keys holds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Shown {
    /// The root's version; `None` when there is none.
    pub root: Option<u64>,
    /// Until when boxes believe it.
    pub root_expires: Option<String>,
    /// Whether its keys are for development.
    pub development: bool,
    /// Whether a new root waits for signatures.
    pub waiting: bool,
    /// The roles of updates, and the rest.
    pub roles: Vec<Role>,
}

/// Looks into a directory of keys.
///
/// # Errors
/// When something in it cannot be read, or its root is none.
pub fn show(directory: &Path) -> Result<Shown, KeysError> {
    let root = Root::in_keys(directory)?;
    let public = public_keys(directory)?;
    let holding = |name: &str| -> Result<Holding, KeysError> {
        Ok(Holding {
            name: name.to_owned(),
            kept: kept(directory, name)?,
        })
    };
    let mut roles = Vec::new();
    for (role, words) in [
        (RoleType::Root, "updates: root"),
        (RoleType::Targets, "updates: targets"),
        (RoleType::Snapshot, "updates: snapshot"),
        (RoleType::Timestamp, "updates: timestamp"),
    ] {
        let Some(root) = &root else { continue };
        let mut keys = Vec::new();
        for key in root.content().keys(role) {
            let name = public.iter().find(|(_, known)| *known == key);
            keys.push(match name {
                Some((name, _)) => holding(name)?,
                None => Holding {
                    name: String::new(),
                    kept: Kept::Elsewhere,
                },
            });
        }
        keys.sort_by(|one, other| one.name.cmp(&other.name));
        let threshold = root
            .content()
            .roles
            .get(&role)
            .map_or(0, |role| role.threshold.get());
        roles.push(Role {
            role: words.to_owned(),
            threshold,
            keys,
        });
    }
    for name in SECURE_BOOT.into_iter().chain([SERVICE]) {
        let is_here = |kind: &str| directory.join(format!("{name}.{kind}")).exists();
        if is_here("crt") || is_here("pub") {
            roles.push(Role {
                role: name.to_owned(),
                threshold: 1,
                keys: vec![holding(name)?],
            });
        }
    }
    Ok(Shown {
        root: root.as_ref().map(Root::version),
        root_expires: root.as_ref().map(|root| root.content().expires.to_string()),
        development: root.as_ref().is_some_and(Root::is_development),
        waiting: directory.join(NEXT_ROOT).exists(),
        roles,
    })
}

fn kept(directory: &Path, name: &str) -> Result<Kept, KeysError> {
    let path = |kind: &str| directory.join(format!("{name}.{kind}"));
    if path("signer").exists() {
        return Ok(Kept::Program);
    }
    Ok(match read_text(&path("key"))? {
        None => Kept::Elsewhere,
        Some(pem) if is_encrypted(&pem) => Kept::Encrypted,
        Some(_) => Kept::InClear,
    })
}

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.root, &self.root_expires) {
            (Some(root), Some(expires)) => writeln!(f, "root {root}, until {expires}")?,
            _ => writeln!(
                f,
                "no root: images built with these keys cannot update themselves"
            )?,
        }
        if self.development {
            writeln!(f, "for development: never ship what they sign")?;
        }
        if self.waiting {
            writeln!(f, "a new root waits for signatures in {NEXT_ROOT}")?;
        }
        for Role {
            role,
            threshold,
            keys,
        } in &self.roles
        {
            let each: Vec<String> = keys
                .iter()
                .map(|Holding { name, kept }| match (name.as_str(), kept) {
                    ("", _) => "a key that is not here".to_owned(),
                    (name, Kept::InClear) => format!("{name} (in clear)"),
                    (name, Kept::Encrypted) => format!("{name} (encrypted)"),
                    (name, Kept::Program) => format!("{name} (a program signs)"),
                    (name, Kept::Elsewhere) => format!("{name} (public half only)"),
                })
                .collect();
            write!(f, "{role:20}  {threshold} of {}: {}", keys.len(), each.join(", "))?;
            writeln!(f)?;
        }
        Ok(())
    }
}

//! Overlays over each other: what each adds, added up, and the mistakes only seen together.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::{Boot, Error, Fault, Lab, Overlay, User, read};

/// The overlays of one image, the first at the bottom; or all of them, for the lock.
#[derive(Debug, Clone)]
pub struct Stack {
    /// In the order given.
    pub overlays: Vec<Overlay>,
    /// The package that depends on the kernel's.
    pub kernel: String,
    /// What boots the image.
    pub boot: Boot,
    /// What the lab boots it with.
    pub lab: Lab,
}

impl Stack {
    /// Reads the named overlays of a folder.
    ///
    /// # Errors
    /// One that is not there, or every mistake in all of them.
    pub fn read(folder: &Path, wanted: &[String]) -> Result<Self, Error> {
        let there = names(folder)?;
        let mut faults = Vec::new();
        let mut overlays = Vec::new();
        for name in wanted {
            if !there.contains(name) {
                return Err(Error::NoSuchOverlay {
                    name: name.clone(),
                    folder: folder.to_owned(),
                    there: there.join(", "),
                });
            }
            let file = folder.join(name).join("overlay.toml");
            let text = std::fs::read_to_string(&file).map_err(|error| Error::Read(file.clone(), error))?;
            overlays.push(read::overlay(name, &file, &text, &mut faults));
        }
        // What is missing because its line is wrong need not be reported twice.
        if !faults.is_empty() {
            return Err(Error::Faults(faults));
        }
        let stack = Self::resolve(folder, overlays, &mut faults);
        match stack {
            Some(stack) if faults.is_empty() => Ok(stack),
            _ => Err(Error::Faults(faults)),
        }
    }

    /// Reads every overlay of a folder, for the lock.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn all(folder: &Path) -> Result<Self, Error> {
        Self::read(folder, &names(folder)?)
    }

    fn resolve(folder: &Path, overlays: Vec<Overlay>, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut once = |field: &str, count: usize| {
            if count != 1 {
                faults.push(Fault {
                    file: folder.to_owned(),
                    line: 0,
                    field: field.to_owned(),
                    got: format!("{count} overlays that say it"),
                    expected: "one".to_owned(),
                    fix: "say it in one overlay of the stack; `base` does".to_owned(),
                });
            }
        };
        once(
            "kernel.package",
            overlays.iter().filter(|overlay| overlay.kernel.is_some()).count(),
        );
        once(
            "boot",
            overlays.iter().filter(|overlay| overlay.boot.is_some()).count(),
        );
        once(
            "lab",
            overlays.iter().filter(|overlay| overlay.lab.is_some()).count(),
        );
        let mut numbers: BTreeMap<u32, &str> = BTreeMap::new();
        for overlay in &overlays {
            for (name, user) in &overlay.users {
                match numbers.insert(user.id, name) {
                    Some(other) if other != name => faults.push(Fault {
                        file: overlay.folder.join("overlay.toml"),
                        line: 0,
                        field: format!("users.{name}.id"),
                        got: format!("{}, which is {other}'s", user.id),
                        expected: "a number nobody has".to_owned(),
                        fix: "give each user a number of its own".to_owned(),
                    }),
                    _ => {}
                }
            }
        }
        Some(Self {
            kernel: overlays.iter().find_map(|overlay| overlay.kernel.clone())?,
            boot: overlays.iter().find_map(|overlay| overlay.boot.clone())?,
            lab: overlays.iter().find_map(|overlay| overlay.lab.clone())?,
            overlays,
        })
    }

    /// The kernel's command line: every overlay's arguments, in order, each once.
    #[must_use]
    pub fn command_line(&self) -> String {
        let mut arguments: Vec<&str> = Vec::new();
        for argument in self.overlays.iter().flat_map(|overlay| &overlay.arguments) {
            if !arguments.contains(&argument.as_str()) {
                arguments.push(argument);
            }
        }
        arguments.join(" ")
    }

    /// Modules wished for and who wishes, every overlay's watchdogs before any module.
    #[must_use]
    pub fn modules(&self) -> Vec<(String, String)> {
        let watchdogs = self.wishes(|overlay| &overlay.watchdogs);
        watchdogs.chain(self.wishes(|overlay| &overlay.modules)).collect()
    }

    /// Modules that only the installer loads, and who wishes them.
    #[must_use]
    pub fn installer_modules(&self) -> Vec<(String, String)> {
        self.wishes(|overlay| &overlay.installer_modules).collect()
    }

    fn wishes(&self, modules: fn(&Overlay) -> &Vec<String>) -> impl Iterator<Item = (String, String)> {
        self.overlays.iter().flat_map(move |overlay| {
            modules(overlay)
                .iter()
                .map(|module| (module.clone(), format!("overlays/{}", overlay.name)))
        })
    }

    /// The text of `/etc/passwd` and of `/etc/group`: `root` first, then by number.
    #[must_use]
    pub fn users(&self) -> (String, String) {
        let all = self.overlays.iter().flat_map(|overlay| &overlay.users);
        let sorted: BTreeMap<u32, (&String, &User)> =
            all.map(|(name, user)| (user.id, (name, user))).collect();
        let mut passwd = "root:x:0:0:root:/root:/usr/sbin/nologin\n".to_owned();
        let mut group = "root:x:0:\n".to_owned();
        for (id, (name, user)) in sorted {
            passwd += &format!("{name}:x:{id}:{id}::{}:/usr/sbin/nologin\n", user.home);
            group += &format!("{name}:x:{id}:\n");
        }
        (passwd, group)
    }
}

/// The overlays of a folder, by name.
///
/// # Errors
/// When it cannot be read.
pub fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let unreadable = |error: io::Error| Error::Read(PathBuf::from(folder), error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.path().join("overlay.toml").is_file() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    names.sort();
    Ok(names)
}

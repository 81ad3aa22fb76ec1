//! What services say of themselves, and what `rapctl status` prints.
//!
//! Each service writes one small JSON object by temporary file and rename; readers never see half of one. By
//! convention an array of strings `problems` in it lists what is wrong, each in a sentence a person can act on, and a
//! string `trouble` is the one thing that keeps it from its work; without any they are left out. Everything else in the
//! object is the service's own.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::notify::Notifier;
use crate::paths;

/// The largest status file that is read, in bytes.
const LIMIT: u64 = 256 * 1024;
/// How often a service that cannot work says that it is there.
const STAY: Duration = Duration::from_secs(5);

/// Writes `value` as the status of `service` below `directory` ([`crate::paths::STATUS`] on the box).
///
/// # Errors
/// When the file cannot be written or renamed.
pub fn write<T: serde::Serialize>(directory: &Path, service: &str, value: &T) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let temporary = directory.join(format!(".{service}.json"));
    std::fs::write(&temporary, serde_json::to_vec(value)?)?;
    std::fs::rename(temporary, directory.join(format!("{service}.json")))
}

/// Stays up without working, and says why: a wrong site or identity does not become right by starting again, and init
/// restarts a box whose vital services cannot stay up. Never returns.
pub fn stay(service: &str, notifier: &Notifier, why: &anyhow::Error) -> ! {
    let trouble = format!("{why:#}");
    log::error!("{trouble}");
    notifier.ready();
    notifier.status(&trouble);
    loop {
        notifier.alive();
        let status = serde_json::json!({ "trouble": trouble });
        if let Err(error) = write(Path::new(paths::STATUS), service, &status) {
            log::warn!("the status cannot be written: {error}");
        }
        std::thread::sleep(STAY);
    }
}

/// Reads every service's status below `directory`, by service.
///
/// A file that is no JSON object becomes an object with one problem that says so.
///
/// # Errors
/// When the directory cannot be listed.
pub fn read_all(directory: &Path) -> std::io::Result<BTreeMap<String, serde_json::Value>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let service = name.and_then(|name| name.strip_suffix(".json"));
        if let Some(service) = service.filter(|service| !service.starts_with('.')) {
            all.insert(service.to_owned(), read(&path));
        }
    }
    Ok(all)
}

/// Reads the status of one service; `None` when there is none, or it is not like a `T`.
#[must_use]
pub fn read_one<T: serde::de::DeserializeOwned>(directory: &Path, service: &str) -> Option<T> {
    let content = read_bounded(&directory.join(format!("{service}.json"))).ok()?;
    serde_json::from_slice(&content).ok()
}

/// Init's own status: `init.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct InitStatus {
    /// Seconds from the kernel's start until all services were ready; `null` before.
    pub ready_after_seconds: Option<f64>,
    /// The services, in the order they start.
    pub services: Vec<ServiceStatus>,
    /// The hardware watchdog's name and timeout; `null` without one.
    pub watchdog: Option<WatchdogStatus>,
    /// Whether the data partition is mounted.
    pub data: bool,
    /// Whether firmware starts only what is signed; `null` where it cannot tell.
    #[serde(default)]
    pub secure_boot: Option<SecureBoot>,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// Secure Boot, as firmware says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecureBoot {
    /// Firmware starts only what is signed by a key it has.
    On,
    /// It has a platform key, and starts anything.
    Off,
    /// It waits for a platform key, and starts anything.
    Setup,
}

impl SecureBoot {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::On => "Secure Boot is on",
            Self::Off => "Secure Boot is off",
            Self::Setup => "Secure Boot waits for keys",
        }
    }
}

/// One service as init sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// `waiting`, `starting`, `running` or `stopping`.
    pub state: String,
    /// Its process.
    pub pid: Option<u32>,
    /// How often it ended without being asked to.
    pub restarts: u32,
    /// What it said last of itself.
    pub text: String,
}

/// The hardware watchdog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct WatchdogStatus {
    /// Its driver's name.
    pub name: String,
    /// After how many seconds without food it resets the box.
    pub timeout_seconds: u64,
    /// Whether it is still fed.
    pub fed: bool,
}

/// What is wrong, according to a service's status.
#[must_use]
pub fn problems(status: &serde_json::Value) -> Vec<String> {
    let list = status.get("problems").and_then(serde_json::Value::as_array);
    let trouble = status.get("trouble").filter(|trouble| trouble.is_string());
    list.into_iter()
        .flatten()
        .chain(trouble)
        .map(|problem| {
            problem
                .as_str()
                .map_or_else(|| problem.to_string(), str::to_owned)
        })
        .collect()
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(LIMIT).read_to_end(&mut content)?;
    Ok(content)
}

fn read(path: &Path) -> serde_json::Value {
    let parsed = read_bounded(path).map_err(serde_json::Error::io);
    match parsed.and_then(|content| serde_json::from_slice::<serde_json::Map<_, _>>(&content)) {
        Ok(object) => object.into(),
        Err(error) => {
            let problem = format!("its status {} cannot be read: {error}", path.display());
            serde_json::json!({ "problems": [problem] })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_half_written_files_are_not_seen() {
        let directory = tempfile::tempdir().unwrap();
        write(
            directory.path(),
            "netd",
            &serde_json::json!({"problems": ["port1: no link"]}),
        )
        .unwrap();
        std::fs::write(directory.path().join(".forward.json"), "{").unwrap();
        std::fs::write(directory.path().join("broken.json"), "{").unwrap();
        let all = read_all(directory.path()).unwrap();
        assert_eq!(all.keys().collect::<Vec<_>>(), ["broken", "netd"]);
        assert_eq!(problems(&all["netd"]), ["port1: no link"]);
        assert!(problems(&all["broken"])[0].contains("cannot be read"));
    }
}

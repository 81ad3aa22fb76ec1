//! What a page shows: what the services say of themselves at this moment, and what the image says of itself.
//!
//! Reading is bounded, and what cannot be read is left out: a page never fails for what it was to show.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::audit::Status as AuditStatus;
use crate::build_info::BuildInfo;
use crate::forward::status::Status as ForwardStatus;
use crate::netd::report::Status as NetdStatus;
use crate::status::{self, InitStatus};
use crate::update::status::Status as UpdateStatus;

/// The most of a file of the image that is read, in bytes.
const LIMIT: usize = 1 << 20;

/// Where it is read.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    /// The services' status files.
    pub(super) status: PathBuf,
    /// [`BuildInfo`].
    pub(super) build: PathBuf,
    /// The image's packages.
    pub(super) packages: PathBuf,
}

/// Everything the pages tell.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) build: Option<BuildInfo>,
    pub(super) init: Option<InitStatus>,
    pub(super) netd: Option<NetdStatus>,
    pub(super) forward: Option<ForwardStatus>,
    pub(super) update: Option<UpdateStatus>,
    pub(super) audit: Option<AuditStatus>,
    /// Each with the service it is about.
    pub(super) problems: Vec<(String, String)>,
}

/// A package of the image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
}

impl Sources {
    /// Looks at everything.
    pub(super) fn look(&self) -> View {
        let all = status::read_all(&self.status).unwrap_or_default();
        let problems = all.iter().flat_map(|(service, value)| {
            let problems = status::problems(value).into_iter();
            problems.map(|problem| (service.clone(), problem))
        });
        let problems = problems.collect();
        View {
            build: read(&self.build).and_then(|bytes| serde_json::from_slice(&bytes).ok()),
            init: one(&all, "init"),
            netd: one(&all, "netd"),
            forward: one(&all, "forward"),
            update: one(&all, "update"),
            audit: one(&all, "audit"),
            problems,
        }
    }

    /// The image's packages; empty when they cannot be told.
    pub(super) fn packages(&self) -> Vec<Package> {
        #[derive(Deserialize)]
        struct Contents {
            packages: Vec<Package>,
        }
        let contents = self.packages_file();
        let contents = contents.and_then(|bytes| serde_json::from_slice::<Contents>(&bytes).ok());
        contents.map_or_else(Vec::new, |contents| contents.packages)
    }

    /// The file they are in, as it is.
    pub(super) fn packages_file(&self) -> Option<Vec<u8>> {
        read(&self.packages)
    }
}

fn one<T: serde::de::DeserializeOwned>(
    all: &std::collections::BTreeMap<String, serde_json::Value>,
    service: &str,
) -> Option<T> {
    serde_json::from_value(all.get(service)?.clone()).ok()
}

fn read(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut content = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(LIMIT as u64 + 1).read_to_end(&mut content).ok()?;
    (content.len() <= LIMIT).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_left_out_and_said() {
        let place = tempfile::tempdir().unwrap();
        let below = |name: &str| place.path().join(name);
        let sources = Sources {
            status: below("status"),
            build: below("build.json"),
            packages: below("packages.json"),
        };
        let view = sources.look();
        assert!(view.build.is_none() && view.init.is_none() && view.problems.is_empty());
        assert!(sources.packages().is_empty());

        std::fs::create_dir(below("status")).unwrap();
        std::fs::write(below("status/netd.json"), r#"{"trouble":"no site"}"#).unwrap();
        std::fs::write(below("status/forward.json"), "{").unwrap();
        let packages = r#"{"parts":[],"packages":[{"name":"a","version":"1"}]}"#;
        std::fs::write(below("packages.json"), packages).unwrap();
        let view = sources.look();
        let about: Vec<_> = view
            .problems
            .iter()
            .map(|(service, _)| service.as_str())
            .collect();
        assert_eq!(about, ["forward", "netd"]);
        assert_eq!(sources.packages()[0].name, "a");
        std::fs::write(below("packages.json"), vec![b' '; LIMIT + 1]).unwrap();
        assert_eq!(sources.packages_file(), None);
    }
}

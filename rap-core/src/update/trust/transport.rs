//! What `tough` asks for comes from here: only the files that our repositories have, each with a limit of its own, whatever
//! length signed metadata may claim.
//!
//! `tough` takes *any* failure to open `N.root.json` for "there is no newer root". Therefore a failure is never to open but
//! in what is read: only [`SourceError::NotThere`], which the repository itself has said, is "there is none" (§5.3.3).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tough::{TransportError, TransportErrorKind, TransportStream, async_trait};
use url::Url;

use super::super::source::{METADATA, Name, Source, SourceError};
use super::error::{self, TrustError};

/// Bytes of a root, at most: dozens of RSA keys and their signatures.
pub(super) const ROOT_LIMIT: u64 = 128 << 10;
/// Bytes of a timestamp, at most.
pub(super) const TIMESTAMP_LIMIT: u64 = 16 << 10;
/// Bytes of a snapshot, at most.
pub(super) const SNAPSHOT_LIMIT: u64 = 64 << 10;
/// Bytes of the targets, at most: thousands of them.
pub(super) const TARGETS_LIMIT: u64 = 1 << 20;

/// `tough`'s way to a source.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    source: Arc<dyn Source>,
    heard: Arc<Mutex<Heard>>,
}

/// What came, and why something did not.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Asked for last.
    pub(super) last: Option<Name>,
    /// Why `tough` could go no further.
    pub(super) error: Option<TrustError>,
    /// Whole files in the order of versions, as they came; believed only when `tough` has accepted them.
    files: BTreeMap<(Kind, u64), Vec<u8>>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Root,
    Timestamp,
    Snapshot,
    Targets,
}

impl Kind {
    fn limit(self) -> u64 {
        match self {
            Self::Root => ROOT_LIMIT,
            Self::Timestamp => TIMESTAMP_LIMIT,
            Self::Snapshot => SNAPSHOT_LIMIT,
            Self::Targets => TARGETS_LIMIT,
        }
    }
}

impl Transport {
    pub(super) fn new(source: Arc<dyn Source>) -> Self {
        Self {
            source,
            heard: Arc::default(),
        }
    }

    pub(super) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file, or `None` where there is none.
    fn file(&self, url: &Url) -> Result<Option<Bytes>, TrustError> {
        let file = url.path().rsplit('/').next().unwrap_or_default();
        let (kind, version) = parse(file)?;
        let name: Name = format!("{METADATA}/{file}")
            .parse()
            .map_err(|_| TrustError::Delegated {
                role: error::clean(file),
            })?;
        self.heard().last = Some(name.clone());
        match self.source.fetch(&name, kind.limit()) {
            Ok(content) => {
                let bytes = Bytes::from(content.clone());
                self.heard().files.insert((kind, version), content);
                Ok(Some(bytes))
            }
            Err(SourceError::NotThere { .. }) if kind == Kind::Root => Ok(None),
            Err(SourceError::NotThere { .. }) if kind == Kind::Timestamp => Err(TrustError::NoRepository),
            Err(SourceError::NotThere { name }) => Err(TrustError::Missing { name }),
            Err(SourceError::TooLong { name, limit }) => Err(TrustError::Endless {
                name: name.to_string(),
                limit,
            }),
            Err(error) => Err(TrustError::Source(error)),
        }
    }
}

#[async_trait]
impl tough::Transport for Transport {
    /// Blocks: nothing else runs in the check's runtime.
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let content = match self.file(&url) {
            Ok(Some(content)) => Ok(content),
            Ok(None) => Err(TransportError::new(TransportErrorKind::FileNotFound, &url)),
            Err(error) => {
                let words = error.to_string();
                self.heard().error = Some(error);
                Err(TransportError::new_with_cause(
                    TransportErrorKind::Other,
                    &url,
                    words,
                ))
            }
        };
        Ok(Box::pin(futures_util::stream::once(std::future::ready(content))))
    }
}

impl Heard {
    #[cfg(test)]
    pub(super) fn of_texts(timestamp: &str, snapshot: &str) -> Self {
        let file = |kind, text: &str| ((kind, 0), text.as_bytes().to_vec());
        Self {
            files: [file(Kind::Timestamp, timestamp), file(Kind::Snapshot, snapshot)].into(),
            ..Self::default()
        }
    }

    /// The file that was asked for last, as far as it is known.
    pub(super) fn last_content(&self) -> &[u8] {
        let file = self
            .last
            .as_ref()
            .and_then(|name| name.as_str().rsplit('/').next());
        let key = file.and_then(|file| parse(file).ok());
        key.and_then(|key| self.files.get(&key))
            .map_or(&[], Vec::as_slice)
    }

    /// The roots that came, oldest first.
    pub(super) fn roots(&self) -> impl Iterator<Item = String> {
        self.of(Kind::Root)
    }

    pub(super) fn timestamp(&self) -> Option<String> {
        self.of(Kind::Timestamp).next()
    }

    pub(super) fn snapshot(&self) -> Option<String> {
        self.of(Kind::Snapshot).next()
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = String> {
        let texts = self.files.range((kind, 0)..=(kind, u64::MAX));
        // What was accepted is JSON, and so UTF-8.
        texts.filter_map(|(_, content)| String::from_utf8(content.clone()).ok())
    }
}

/// `timestamp.json`, or `VERSION.ROLE.json` (TUF 1.0 §6.1 and §6.2, consistent snapshots).
fn parse(file: &str) -> Result<(Kind, u64), TrustError> {
    let role = match file {
        "timestamp.json" => return Ok((Kind::Timestamp, 0)),
        "snapshot.json" | "targets.json" => return Err(TrustError::NotConsistent),
        _ => file.split_once('.'),
    };
    let found = role.and_then(|(version, role)| Some((version.parse().ok()?, role)));
    match found {
        Some((version, "root.json")) => Ok((Kind::Root, version)),
        Some((version, "snapshot.json")) => Ok((Kind::Snapshot, version)),
        Some((version, "targets.json")) => Ok((Kind::Targets, version)),
        _ => Err(TrustError::Delegated {
            role: error::clean(file),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_what_our_repositories_have_is_asked_for() {
        for (file, kind) in [
            ("2.root.json", (Kind::Root, 2)),
            ("timestamp.json", (Kind::Timestamp, 0)),
            ("7.snapshot.json", (Kind::Snapshot, 7)),
            ("9.targets.json", (Kind::Targets, 9)),
        ] {
            assert_eq!(parse(file).unwrap(), kind);
        }
        for file in ["snapshot.json", "targets.json"] {
            assert!(matches!(parse(file), Err(TrustError::NotConsistent)));
        }
        for file in [
            "",
            "root.json",
            "x.root.json",
            "1.role.json",
            "1.timestamp.json",
            "..%2Fx.json",
        ] {
            assert!(matches!(parse(file), Err(TrustError::Delegated { .. })), "{file}");
        }
    }
}

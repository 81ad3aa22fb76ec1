//! What the box says of its files: `files` in `forward.json`.

use serde::{Deserialize, Serialize};

use super::record::Phase;
use super::shelf::{Entry, Shelf};

/// Refused files named in the status; all are counted.
const NAMED: usize = 8;

/// How many files wait, and how far the one that is sent is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FilesStatus {
    /// Whole files that wait to be delivered, the one being sent among them.
    pub waiting: u64,
    /// Bytes of them that were not sent yet.
    pub waiting_bytes: u64,
    /// Files of which the instruments have not sent everything yet.
    pub partial: u64,
    /// Bytes of them that are here.
    pub partial_bytes: u64,
    /// Bytes all files may take together.
    pub room: u64,
    /// Bytes they have taken of it; what is expected of partial ones counts.
    pub used: u64,
    /// The file of which the service centre got or was asked for a part last; absent when it has all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sending: Option<Sending>,
    /// What keeps files alone from being delivered, in words; absent while nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Files delivered since the forwarder started.
    pub delivered: u64,
    /// Files the service centre refused.
    pub refused: u64,
    /// The latest of them, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<RefusedFile>,
    /// Files set aside or left alone since the forwarder started, because they are damaged or cannot be read.
    pub damaged: u64,
}

/// A file on its way to the service centre.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sending {
    /// Where it came from, `/SITE/PORT`.
    pub source: String,
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// How many of them the service centre has, as far as known.
    pub done: u64,
}

/// A file the service centre refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RefusedFile {
    /// Where it came from, `/SITE/PORT`.
    pub source: String,
    /// Its name.
    pub name: String,
    /// Why, in words.
    pub reason: String,
}

impl Shelf {
    /// The numbers of this moment.
    #[must_use]
    pub fn status(&self) -> FilesStatus {
        let mut status = FilesStatus {
            room: self.config.room,
            trouble: self.trouble.clone(),
            delivered: self.delivered,
            damaged: self.losses,
            ..FilesStatus::default()
        };
        let mut refused: Vec<&Entry> = Vec::new();
        for entry in self.entries.values() {
            let size = entry.description.size;
            status.used = status.used.saturating_add(size);
            match entry.mark.phase {
                Phase::Part => {
                    status.partial += 1;
                    status.partial_bytes += entry.mark.have;
                }
                Phase::Whole => {
                    status.waiting += 1;
                    status.waiting_bytes += size - entry.sent.unwrap_or(0);
                }
                Phase::Refused => refused.push(entry),
            }
        }
        refused.sort_by_key(|entry| std::cmp::Reverse(entry.mark.order));
        status.refused = refused.len() as u64;
        status.refusals = refused.into_iter().take(NAMED).map(refusal).collect();
        let sending = self.turn.as_ref().and_then(|key| self.entries.get(key));
        status.sending = sending.filter(|e| e.mark.phase == Phase::Whole).map(sending_of);
        status
    }
}

fn sending_of(entry: &Entry) -> Sending {
    Sending {
        source: entry.description.source.clone(),
        name: entry.description.name.as_str().to_owned(),
        size: entry.description.size,
        done: entry.sent.unwrap_or(0),
    }
}

fn refusal(entry: &Entry) -> RefusedFile {
    RefusedFile {
        source: entry.description.source.clone(),
        name: entry.description.name.as_str().to_owned(),
        reason: entry.mark.reason.clone(),
    }
}

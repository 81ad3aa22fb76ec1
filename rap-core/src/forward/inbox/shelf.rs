//! Orders and the content of files, on the disk.
//!
//! Every method that changes something has changed it on the medium when it returns. Content that belongs to no open order
//! is removed at the next start, if not before.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde_json::{Value, json};

use super::range::{NoSlice, Slice};
use super::state::{End, Entry, Kept};
use super::{Config, Order, OrderId, PIECE, What, piece};
use crate::digest::Sha256;
use crate::folder::Folder;
use crate::session::Report;

/// The file, and one that was damaged.
const FILE: &str = "inbox.json";
const DAMAGED: &str = "inbox.damaged";
/// While so many reports wait for the log, no new order is taken: the session service offers it again.
const MOST_UNTOLD: usize = 256;

/// Bytes of the partition that may be used: what is free without what the log may come to need.
pub(in crate::forward) type Free = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The shelf.
pub(in crate::forward) struct Shelf<F> {
    folder: F,
    config: Config,
    free: Free,
    kept: Kept,
    /// How many pieces of each open file are here, from its beginning.
    have: BTreeMap<OrderId, u64>,
}

/// What is to be done next for a file that is not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::forward) struct Job {
    pub(in crate::forward) id: OrderId,
    /// Of the whole file.
    pub(in crate::forward) digest: Sha256,
    /// Bytes of the whole file.
    pub(in crate::forward) bytes: u64,
    /// Which piece is to be brought; `None` when all are here and the digest is to be looked at.
    pub(in crate::forward) piece: Option<u64>,
}

/// Why an agent does not get what it asks for.
#[derive(Debug, thiserror::Error)]
pub(in crate::forward) enum AskError {
    /// Not this port's, not there, over, or not whole yet.
    #[error("nothing of this id is in this port's inbox; GET /v1/inbox lists what is")]
    NotHere,
    /// A wish has no content.
    #[error("this is the wish for a file: PUT the file to /v1/files/DIGEST with the header Rap-Request: {0}")]
    Wish(OrderId),
    /// A file is not wanted.
    #[error("this is a file for the instrument, not the wish for one")]
    NoWish,
    /// It ended otherwise.
    #[error("this is over already: {}", .0.word())]
    Over(End),
    /// No range of the file.
    #[error(transparent)]
    Range(#[from] NoSlice),
    /// The disk failed.
    #[error("the disk does not give or take it now; ask again")]
    Disk(#[from] io::Error),
}

impl<F: Folder + Clone> Shelf<F> {
    /// Reads what is there; what is damaged is set aside and said.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub(in crate::forward) fn open(mut folder: F, config: Config, free: Free) -> io::Result<Self> {
        let kept = match folder.read(FILE)?.map(|bytes| serde_json::from_slice(&bytes)) {
            None => Kept::default(),
            Some(Ok(kept)) => kept,
            Some(Err(error)) => {
                log::error!(
                    "the inbox was damaged ({error}), its orders are lost; it is set aside as {DAMAGED}"
                );
                folder.rename(FILE, DAMAGED)?;
                folder.sync()?;
                Kept::default()
            }
        };
        let mut shelf = Self {
            folder,
            config,
            free,
            kept,
            have: BTreeMap::new(),
        };
        shelf.look()?;
        Ok(shelf)
    }

    /// Looks which pieces are here, and removes what is nobody's.
    fn look(&mut self) -> io::Result<()> {
        let mut found: BTreeMap<OrderId, BTreeMap<u64, u64>> = BTreeMap::new();
        for (name, bytes) in self.folder.list()? {
            match piece::parse(&name) {
                Some((id, index)) if self.kept.open(id).is_some() => {
                    found.entry(id).or_default().insert(index, bytes);
                }
                None if [FILE, DAMAGED].contains(&name.as_str()) => {}
                _ => self.folder.remove(&name)?,
            }
        }
        let nothing = BTreeMap::new();
        let mut hidden = Vec::new();
        for entry in &self.kept.entries {
            let (id, bytes) = (entry.order.id, entry.order.bytes());
            let pieces = found.get(&id).unwrap_or(&nothing);
            let whole = |index: &u64| pieces.get(index) == Some(&piece::length(bytes, *index));
            let have = (0..piece::count(bytes)).take_while(whole).count() as u64;
            if entry.shown && have < piece::count(bytes) {
                log::error!(
                    "a file for {} lost a part of its content and is brought again",
                    entry.order.port()
                );
                hidden.push(id);
            }
            self.have.insert(id, have);
        }
        if hidden.is_empty() {
            return Ok(());
        }
        self.change(|kept| hidden.iter().for_each(|id| kept.hide(*id)))
    }

    /// Takes an order, or ends it at once where there is no room. Says whether it is the shelf's now; the same again
    /// changes nothing.
    ///
    /// # Errors
    /// When the disk does not take it: nothing has changed.
    pub(in crate::forward) fn take(&mut self, order: Order, now: u64) -> io::Result<bool> {
        if self.kept.knows(order.id) {
            return Ok(true);
        }
        if self.kept.untold() >= MOST_UNTOLD {
            return Ok(false);
        }
        if let Some(why) = self.no_room(&order) {
            return self
                .change(|kept| kept.close(&order, End::Refused, &why, None))
                .map(|()| true);
        }
        let (id, until) = (order.id, now.saturating_add(order.seconds().saturating_mul(1000)));
        self.change(|kept| kept.add(order, until))?;
        self.have.insert(id, 0);
        Ok(true)
    }

    fn no_room(&self, order: &Order) -> Option<String> {
        let entries = &self.kept.entries;
        let of_port = entries
            .iter()
            .filter(|entry| entry.order.port() == order.port())
            .count();
        if of_port >= self.config.of_a_port || entries.len() >= self.config.all {
            return Some(format!(
                "{of_port} orders of this instrument are open; end some first"
            ));
        }
        let (bytes, room) = (order.bytes(), self.config.room);
        if bytes > room {
            return Some(format!(
                "too large: the file has {bytes} bytes, and this box takes files of {room} at most"
            ));
        }
        let used: u64 = entries.iter().map(|entry| entry.order.bytes()).sum();
        let here: u64 = self.have.values().map(|pieces| pieces * PIECE).sum();
        let needed = used.saturating_sub(here) + bytes;
        if used + bytes > room {
            Some(format!(
                "no room: other files take {used} of {room} bytes until agents have taken them"
            ))
        } else if bytes > 0 && (self.free)() < needed {
            Some("no room: the box's disk is too full, reports come first".to_owned())
        } else {
            None
        }
    }

    /// What is to be brought or looked at next, the one behind `after` first.
    pub(in crate::forward) fn next(&self, after: Option<OrderId>) -> Option<Job> {
        let open = self.kept.entries.iter().filter(|entry| !entry.shown);
        let jobs: Vec<Job> = open.filter_map(|entry| self.job(entry)).collect();
        let place = jobs.iter().position(|job| Some(job.id) == after);
        jobs.get(place.map_or(0, |place| (place + 1) % jobs.len()))
            .cloned()
    }

    fn job(&self, entry: &Entry) -> Option<Job> {
        let What::Put(put) = &entry.order.what else {
            return None;
        };
        let have = self.have.get(&entry.order.id).copied().unwrap_or(0);
        Some(Job {
            id: entry.order.id,
            digest: put.sha256,
            bytes: put.bytes,
            piece: (have < piece::count(put.bytes)).then_some(have),
        })
    }

    /// Puts the piece of a job on the disk. One of an order that is over meanwhile is nobody's.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(in crate::forward) fn store(&mut self, job: &Job, content: &[u8]) -> io::Result<()> {
        let (Some(index), Some(have)) = (job.piece, self.have.get(&job.id).copied()) else {
            return Ok(());
        };
        if index != have || content.len() as u64 != piece::length(job.bytes, index) {
            return Ok(());
        }
        self.folder.replace(&piece::name(job.id, index), content)?;
        self.have.insert(job.id, have + 1);
        Ok(())
    }

    /// Where the pieces are, to be read without holding the shelf: those that are here do not change until the order ends.
    pub(in crate::forward) fn folder(&self) -> F {
        self.folder.clone()
    }

    /// All pieces of a job are here, and this is their digest.
    ///
    /// # Errors
    /// When the disk does not take what follows.
    pub(in crate::forward) fn checked(&mut self, job: &Job, digest: Sha256) -> io::Result<()> {
        if digest == job.digest {
            return self.change(|kept| kept.show(job.id));
        }
        self.fail(
            job.id,
            &format!(
                "wrong digest: what the service centre gave has {digest}, and {} was signed",
                job.digest
            ),
        )
    }

    /// A file cannot be brought.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(in crate::forward) fn fail(&mut self, id: OrderId, words: &str) -> io::Result<()> {
        self.finish(id, End::Failed, words, None)
    }

    /// What the agent of `port` sees.
    pub(in crate::forward) fn list(&self, port: &str, now: u64) -> Vec<Value> {
        let of_port = self
            .kept
            .entries
            .iter()
            .filter(|entry| entry.order.port().as_str() == port);
        let shown = of_port.filter(|entry| entry.shown && entry.until > now);
        let one = |entry: &Entry| {
            let (id, name) = (entry.order.id, entry.order.name());
            let left = (entry.until - now) / 1000;
            match &entry.order.what {
                What::Put(put) => json!({
                    "id": id, "kind": "file", "name": name, "purpose": put.purpose, "bytes": put.bytes,
                    "sha256": put.sha256, "seconds-left": left,
                }),
                What::Get(_) => json!({ "id": id, "kind": "wanted", "name": name, "seconds-left": left }),
            }
        };
        shown.map(one).collect()
    }

    /// Bytes of the file that the agent of `port` is shown under this id.
    ///
    /// # Errors
    /// When there is none.
    pub(in crate::forward) fn size(&self, port: &str, id: OrderId) -> Result<u64, AskError> {
        match &self.shown(port, id)?.order.what {
            What::Put(put) => Ok(put.bytes),
            What::Get(_) => Err(AskError::Wish(id)),
        }
    }

    /// Some bytes of it.
    ///
    /// # Errors
    /// When there is none, or the disk does not give them.
    pub(in crate::forward) fn read(
        &self,
        port: &str,
        id: OrderId,
        slice: Slice,
    ) -> Result<Vec<u8>, AskError> {
        let size = self.size(port, id)?;
        let mut bytes = Vec::new();
        for index in slice.first / PIECE..=slice.last() / PIECE {
            let content = piece::read(&self.folder, id, size, index)?;
            let start = index * PIECE;
            let place = |at: u64| {
                usize::try_from(at.saturating_sub(start))
                    .unwrap_or(usize::MAX)
                    .min(content.len())
            };
            bytes.extend_from_slice(&content[place(slice.first)..place(slice.last() + 1)]);
        }
        Ok(bytes)
    }

    /// The agent has the file. The same again is answered the same.
    ///
    /// # Errors
    /// When there is no such file, or the disk does not take the receipt.
    pub(in crate::forward) fn taken(&mut self, port: &str, id: OrderId) -> Result<(), AskError> {
        self.agent(port, id, End::Taken, "the instrument's agent has the file", None)
    }

    /// The agent does not want it, and says why.
    ///
    /// # Errors
    /// As for [`Shelf::taken`].
    pub(in crate::forward) fn refused(&mut self, port: &str, id: OrderId, why: &str) -> Result<(), AskError> {
        let words = format!("the instrument's agent refused it: {why}");
        self.agent(port, id, End::Refused, &words, None)
    }

    /// Whether this is a wish that the agent of `port` may still answer.
    ///
    /// # Errors
    /// When it is not.
    pub(in crate::forward) fn is_wish(&self, port: &str, id: OrderId) -> Result<(), AskError> {
        match (self.shown(port, id), self.kept.ended(id, port)) {
            (Err(_), Some(End::Answered)) => Ok(()),
            (Ok(entry), _) if matches!(entry.order.what, What::Put(_)) => Err(AskError::NoWish),
            (found, _) => found.map(drop),
        }
    }

    /// The agent sent what was wanted: the file of this digest.
    ///
    /// # Errors
    /// When nothing is wanted under this id, or the disk does not take it.
    pub(in crate::forward) fn answered(
        &mut self,
        port: &str,
        id: OrderId,
        file: Sha256,
    ) -> Result<(), AskError> {
        self.is_wish(port, id)?;
        self.agent(
            port,
            id,
            End::Answered,
            "the instrument's agent sent the file",
            Some(file),
        )
    }

    fn agent(
        &mut self,
        port: &str,
        id: OrderId,
        end: End,
        words: &str,
        file: Option<Sha256>,
    ) -> Result<(), AskError> {
        match self.kept.ended(id, port) {
            Some(before) if before == end => return Ok(()),
            Some(before) => return Err(AskError::Over(before)),
            None => {}
        }
        let entry = self.shown(port, id)?;
        if end == End::Taken && matches!(entry.order.what, What::Get(_)) {
            return Err(AskError::Wish(id));
        }
        Ok(self.finish(id, end, words, file)?)
    }

    fn shown(&self, port: &str, id: OrderId) -> Result<&Entry, AskError> {
        let entry = self
            .kept
            .open(id)
            .filter(|entry| entry.shown && entry.order.port().as_str() == port);
        entry.ok_or(AskError::NotHere)
    }

    /// Ends what is over by the box's clock.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(in crate::forward) fn expire(&mut self, now: u64) -> io::Result<()> {
        let over = |entry: &&Entry| entry.until <= now;
        let ended: Vec<(OrderId, bool)> = self
            .kept
            .entries
            .iter()
            .filter(over)
            .map(|entry| (entry.order.id, entry.shown))
            .collect();
        for (id, shown) in ended {
            let words = match shown {
                true => "the instrument's agent did not answer in time",
                false => "the file could not be brought in time",
            };
            self.finish(id, End::Expired, words, None)?;
        }
        Ok(())
    }

    /// Reports that the log does not have yet.
    pub(in crate::forward) fn reports(&self, most: usize) -> Vec<Report> {
        self.kept.reports(most)
    }

    /// The log has these.
    ///
    /// # Errors
    /// When the disk does not take it: they are told again, under the same ids.
    pub(in crate::forward) fn told(&mut self, ids: &[String]) -> io::Result<()> {
        if !self.kept.has(ids) {
            return Ok(());
        }
        self.change(|kept| kept.told(ids))
    }

    /// Ends an order, then removes its content: what cannot be removed now is at the next start.
    fn finish(&mut self, id: OrderId, end: End, words: &str, file: Option<Sha256>) -> io::Result<()> {
        let count = self
            .kept
            .open(id)
            .map_or(0, |entry| piece::count(entry.order.bytes()));
        self.change(|kept| kept.end(id, end, words, file))?;
        let have = self.have.remove(&id).unwrap_or(0);
        for index in 0..have.min(count) {
            if let Err(error) = self.folder.remove(&piece::name(id, index)) {
                log::warn!("the content of {id} stays until the next start: {error}");
                break;
            }
        }
        Ok(())
    }

    /// Changes what is known, on the disk first.
    fn change(&mut self, change: impl FnOnce(&mut Kept)) -> io::Result<()> {
        let mut next = self.kept.clone();
        change(&mut next);
        self.folder.replace(FILE, &serde_json::to_vec(&next)?)?;
        self.kept = next;
        Ok(())
    }
}

impl<F> std::fmt::Debug for Shelf<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shelf")
    }
}

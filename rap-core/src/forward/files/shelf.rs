//! The files the box has, and what an agent's request does to them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Config;
use super::entry::Entry;
use super::hash::Hash;
use super::past::Past;
use super::put::{Holding, Key, PutError, State, Upload};
use super::record::{Description, HEAD, Mark, Phase};
use crate::forward::log::{Barrier, Storage, crc32c};

pub(super) const FILE: &str = "file-";
pub(super) const TEMPORARY: &str = "new-";

/// Bytes of the partition that the reports' log may yet come to need.
pub type Reserve = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The files. One owner at a time; every method that returns says what is true on the disk then.
pub struct Shelf {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) config: Config,
    pub(super) reserve: Reserve,
    pub(super) entries: BTreeMap<Key, Entry>,
    pub(super) past: Past,
    /// Files set aside because of damage.
    pub(super) damaged: Vec<String>,
    /// Files that could not be read, or were found damaged, since start.
    pub(super) losses: u64,
    pub(super) delivered: u64,
    /// Ranges the service centre has taken, of any file.
    pub(super) taken: u64,
    /// What keeps files from being delivered, in words.
    pub(super) trouble: Option<String>,
    /// Whose file was sent from last.
    pub(super) turn: Option<Key>,
    pub(super) next_file: u64,
    pub(super) next_order: u64,
    pub(super) names_durable: bool,
}

impl Shelf {
    /// What is here of a file of `size` bytes.
    ///
    /// # Errors
    /// [`PutError::OtherSize`], and [`PutError::Storage`] when it cannot be told.
    pub fn ask(&mut self, key: &Key, size: u64, now: Duration) -> Result<Holding, PutError> {
        self.settle(key)?;
        if let Some(entry) = self.entries.get_mut(key) {
            entry.touched = now;
        }
        let nothing = Holding {
            have: 0,
            size,
            state: State::Partial,
        };
        let holding = self.holding(key).unwrap_or(nothing);
        match holding.size == size {
            true => Ok(holding),
            false => Err(PutError::OtherSize { known: holding.size }),
        }
    }

    /// Takes bytes of a file: what [`Holding::have`] says afterwards is durable. What is here already is skipped.
    ///
    /// # Errors
    /// Then nothing of these bytes counts.
    pub fn put(&mut self, upload: &Upload<'_>, now: Duration) -> Result<Holding, PutError> {
        let holding = self.ask(upload.key, upload.size, now)?;
        if holding.state != State::Partial {
            return Ok(holding);
        }
        if upload.first > holding.have {
            return Err(PutError::Gap { have: holding.have });
        }
        let known = usize::try_from(holding.have - upload.first).unwrap_or(usize::MAX);
        let Some(fresh) = upload.bytes.get(known..).filter(|fresh| !fresh.is_empty()) else {
            return Ok(holding);
        };
        if self.entries.contains_key(upload.key) {
            self.room_for_range(fresh.len() as u64)?;
            self.extend(upload.key, fresh)?;
        } else {
            self.begin(upload, now)?;
        }
        self.ask(upload.key, upload.size, now)
    }

    fn holding(&self, key: &Key) -> Option<Holding> {
        let Some(entry) = self.entries.get(key) else {
            let size = self.past.size_of(key)?;
            let state = State::Delivered;
            return Some(Holding {
                have: size,
                size,
                state,
            });
        };
        let (have, size) = (entry.mark.have, entry.description.size);
        let state = match entry.mark.phase {
            Phase::Part if have == size => State::Checking,
            Phase::Part => State::Partial,
            Phase::Whole => State::Kept,
            Phase::Refused => State::Refused(entry.mark.reason.clone()),
        };
        Some(Holding { have, size, state })
    }

    /// A file appears under its name when its first bytes are whole, so that a file without a description is damage.
    fn begin(&mut self, upload: &Upload<'_>, now: Duration) -> Result<(), PutError> {
        let limit = self.config.largest();
        if upload.size > limit {
            return Err(PutError::TooLarge { limit });
        }
        let description = Description {
            source: upload.key.source.clone(),
            digest: upload.key.digest,
            size: upload.size,
            name: upload.name.ok_or(PutError::NoName)?.clone(),
            media: upload.media.clone(),
            received: upload.received,
        };
        let too_long = || io::Error::other("the description does not fit its page");
        let mut page = description.encode().ok_or_else(too_long)?;
        let mut hash = Hash::default();
        hash.take(0, upload.bytes);
        let mark = Mark {
            turn: 1,
            phase: hash.phase(&description)?,
            have: upload.bytes.len() as u64,
            first: 0,
            check: crc32c(&[upload.bytes]),
            order: self.order(),
            reason: String::new(),
        };
        self.make_room(upload.key, upload.size, now)?;
        page.resize(HEAD, 0);
        let encoded = mark.encode();
        page[mark.place()..mark.place() + encoded.len()].copy_from_slice(&encoded);
        let file = self.create(&page, upload.bytes)?;
        let entry = Entry {
            file,
            description,
            mark,
            before: None,
            verified: true,
            durable: true,
            hash,
            touched: now,
            sent: Some(0),
            unread: 0,
            went_back: 0,
            doubt: None,
        };
        self.entries.insert(upload.key.clone(), entry);
        Ok(())
    }

    fn create(&mut self, page: &[u8], bytes: &[u8]) -> io::Result<String> {
        let number = self.next_file;
        self.next_file += 1;
        let (temporary, file) = (format!("{TEMPORARY}{number:06}"), format!("{FILE}{number:06}"));
        let storage = &self.storage;
        let try_create = || {
            storage.create(&temporary)?;
            storage.write(&temporary, HEAD as u64, bytes)?;
            storage.write(&temporary, 0, page)?;
            storage.sync(&temporary, Barrier::FileHead)?;
            storage.rename(&temporary, &file)?;
            storage.sync_directory(Barrier::FileName)
        };
        let created = try_create();
        if created.is_err() {
            // One of the two is there, or none.
            drop(storage.remove(&temporary));
            drop(storage.remove(&file));
        }
        created.map(|()| file)
    }

    fn extend(&mut self, key: &Key, bytes: &[u8]) -> Result<(), PutError> {
        let order = self.order();
        let Some(entry) = self.entries.get_mut(key) else {
            return Ok(());
        };
        let mut hash = entry.hash.clone();
        hash.take(entry.mark.have, bytes);
        let mut mark = entry.mark.next(order);
        mark.have += bytes.len() as u64;
        mark.check = crc32c(&[bytes]);
        match hash.phase(&entry.description) {
            Ok(phase) => mark.phase = phase,
            Err(wrong) => {
                self.discard(key);
                return Err(wrong);
            }
        }
        entry.store(self.storage.as_ref(), mark, bytes)?;
        entry.hash = hash;
        Ok(())
    }

    fn order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order - 1
    }

    pub(super) fn next_mark(&mut self, key: &Key) -> Option<Mark> {
        let order = self.order();
        Some(self.entries.get(key)?.mark.next(order))
    }

    pub(super) fn discard(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.remove(&entry.file);
        Some(entry)
    }

    /// Removes a file. When that fails it is found again at the next start.
    pub(super) fn remove(&self, file: &str) {
        if let Err(error) = self.storage.remove(file) {
            log::warn!("{file} is not needed any more and cannot be removed: {error}");
        }
    }
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf")
            .field("files", &self.entries.len())
            .finish()
    }
}

//! What is found at start: looked at in passing, and made sure of before anything is said or sent of it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Config;
use super::entry::Entry;
use super::hash::Hash;
use super::past::Past;
use super::put::{Key, PutError};
use super::record::{Description, HEAD, Mark};
use super::shelf::{FILE, Reserve, Shelf, TEMPORARY};
use crate::forward::log::{Barrier, Storage};

const DAMAGED: &str = "damaged-";

impl Shelf {
    /// Finds the files there are. Only their first pages are read.
    ///
    /// # Errors
    /// When the directory itself cannot be read; never because of what is in it.
    pub fn open(
        storage: Arc<dyn Storage>,
        config: Config,
        reserve: Reserve,
        now: Duration,
    ) -> io::Result<Self> {
        let names = storage.list()?;
        let mut shelf = Self {
            past: Past::read(storage.as_ref()),
            storage,
            config,
            reserve,
            entries: BTreeMap::new(),
            damaged: Vec::new(),
            losses: 0,
            delivered: 0,
            taken: 0,
            trouble: None,
            turn: None,
            next_file: 1,
            next_order: 1,
            names_durable: false,
        };
        for name in names {
            let number = name
                .rsplit_once('-')
                .and_then(|(_, number)| number.parse().ok())
                .filter(|number: &u64| *number < u64::MAX / 2);
            shelf.next_file = shelf.next_file.max(number.unwrap_or(0) + 1);
            if name.starts_with(TEMPORARY) {
                // Nobody was told of it.
                shelf.remove(&name);
            } else if name.starts_with(DAMAGED) {
                shelf.damaged.push(name);
            } else if name.starts_with(FILE) {
                shelf.find(name, now);
            }
        }
        Ok(shelf)
    }

    /// Makes sure of a file before anything is said of it: a process that was killed may have left in the kernel's
    /// memory what a power cut would still take away.
    pub(super) fn settle(&mut self, key: &Key) -> Result<(), PutError> {
        if !self.names_durable {
            self.storage.sync_directory(Barrier::FileNames)?;
            self.names_durable = true;
        }
        self.verify(key)?;
        let Some(entry) = self.entries.get_mut(key).filter(|entry| !entry.durable) else {
            return Ok(());
        };
        // Written again, because after a sync that failed the kernel may hold these pages for clean.
        let bytes = entry.read(self.storage.as_ref(), entry.mark.first, entry.mark.have)?;
        entry.write(self.storage.as_ref(), &entry.mark, &bytes)?;
        self.storage.sync(&entry.file, Barrier::FileTail)?;
        entry.durable = true;
        Ok(())
    }

    /// Holds the newest mark of a file found at start against the bytes it is about; without them the one before counts.
    pub(super) fn verify(&mut self, key: &Key) -> io::Result<()> {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| !entry.verified) else {
            return Ok(());
        };
        while !entry.holds(self.storage.as_ref())? {
            let name = entry.description.name.as_str();
            let Some(before) = entry.before.take() else {
                log::error!("the file \"{name}\" from {} is damaged and set aside", key.source);
                if let Some(entry) = self.entries.remove(key) {
                    self.set_aside(&entry.file);
                }
                return Ok(());
            };
            log::warn!(
                "of the file \"{name}\" from {} only {} of {} bytes are whole on the disk",
                key.source,
                before.have,
                entry.description.size
            );
            entry.mark = before;
        }
        entry.verified = true;
        Ok(())
    }

    fn find(&mut self, file: String, now: Duration) {
        let mut page = [0; HEAD];
        let read = match self.storage.read(&file, 0, &mut page) {
            Ok(read) => read,
            Err(error) => {
                log::error!("{file} cannot be read and is left alone: {error}");
                self.losses += 1;
                return;
            }
        };
        self.storage.close(&file);
        let description = Description::decode(&page[..read]);
        let mut marks = description.iter().flat_map(|d| Mark::all(&page[..read], d.size));
        let found = marks.next().map(|newest| (newest, marks.next()));
        let (Some((mark, before)), Some(description)) = (found, description.clone()) else {
            log::error!("{file} is damaged and set aside");
            return self.set_aside(&file);
        };
        let key = Key {
            source: description.source.clone(),
            digest: description.digest,
        };
        self.next_order = self.next_order.max(mark.order + 1);
        let entry = Entry {
            file,
            description,
            mark,
            before,
            verified: false,
            durable: false,
            hash: Hash::default(),
            touched: now,
            sent: None,
            unread: 0,
            went_back: 0,
            doubt: None,
        };
        // Two of one key: removing the older failed once.
        let older = match self.entries.get(&key) {
            Some(other) if other.mark.order > entry.mark.order => Some(entry),
            _ => self.entries.insert(key, entry),
        };
        if let Some(older) = older {
            self.remove(&older.file);
        }
    }

    fn set_aside(&mut self, file: &str) {
        self.losses += 1;
        let name = format!("{DAMAGED}{}", file.trim_start_matches(FILE));
        match self.storage.rename(file, &name) {
            Ok(()) => self.damaged.push(name),
            Err(error) => log::warn!("{file} is damaged and cannot be set aside: {error}"),
        }
    }
}

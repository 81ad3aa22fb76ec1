//! The files the box has: what an agent's request does to them, and what is found at start.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Config;
use super::digest::Digest;
use super::hash::Hash;
use super::label::{FileName, MediaType};
use super::past::Past;
use super::record::{Description, HEAD, Mark, Phase};
use crate::forward::log::{Barrier, Storage, crc32c};

const FILE: &str = "file-";
const TEMPORARY: &str = "new-";
const DAMAGED: &str = "damaged-";

/// Bytes of the partition that the reports' log may yet come to need.
pub type Reserve = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a file is known by: the same bytes from two ports are two files, so that no instrument learns what another has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Where it came from, `/SITE/PORT`.
    pub source: String,
    /// SHA-256 of all its bytes.
    pub digest: Digest,
}

/// Some bytes of a file, as an agent sent them.
#[derive(Debug)]
pub struct Upload<'a> {
    /// Which file.
    pub key: &'a Key,
    /// Bytes of the whole file, at least 1.
    pub size: u64,
    /// Where the bytes begin.
    pub first: u64,
    /// The bytes; with `first` not more than `size`.
    pub bytes: &'a [u8],
    /// The file's name, needed for a file that is new.
    pub name: Option<&'a FileName>,
    /// Its media type.
    pub media: &'a MediaType,
    /// When they came, milliseconds since 1970-01-01 UTC by the box's clock.
    pub received: u64,
}

/// What the box has of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Bytes from its beginning that are durable here, or were delivered.
    pub have: u64,
    /// Bytes of the whole file.
    pub size: u64,
    /// What becomes of it.
    pub state: State,
}

/// What becomes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// More of it is expected.
    Partial,
    /// All of it is here; its digest is being checked.
    Checking,
    /// All of it is here and will be delivered.
    Kept,
    /// The service centre has it.
    Delivered,
    /// The service centre refused it, in its words.
    Refused(String),
}

/// Why bytes were not taken.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The bytes begin behind what is here.
    #[error("{have} bytes of the file are here, the next must begin there or before")]
    Gap {
        /// Where to go on.
        have: u64,
    },
    /// The file is known with another size: one of the two is wrong.
    #[error("the file with this digest has {known} bytes")]
    OtherSize {
        /// The size it was begun with.
        known: u64,
    },
    /// A new file without a name.
    #[error("a new file needs a name")]
    NoName,
    /// A file larger than allowed.
    #[error("the file has more than {limit} bytes")]
    TooLarge {
        /// The most allowed.
        limit: u64,
    },
    /// No room for it until something is delivered.
    #[error("no room for the file")]
    Full,
    /// All bytes came, and are others than the digest says. They were given up.
    #[error("the digest of what came is another: the file was given up, send it anew")]
    WrongDigest,
    /// The disk failed.
    #[error("the disk refused to store the file")]
    Storage(#[source] io::Error),
}

impl From<io::Error> for PutError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Storage(error),
        }
    }
}

/// One file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) file: String,
    pub(super) description: Description,
    pub(super) mark: Mark,
    /// The mark before, while the newest was not yet held against the bytes it is about.
    pub(super) before: Option<Mark>,
    pub(super) verified: bool,
    /// Whether what the mark says is surely on the disk.
    pub(super) durable: bool,
    pub(super) hash: Hash,
    /// When an agent last asked for it, or the box started; since boot.
    pub(super) touched: Duration,
    /// How much the service centre has; `None` when it must be asked.
    pub(super) sent: Option<u64>,
    /// Reads in a row that failed.
    pub(super) unread: u32,
    /// Answers in a row by which the service centre went back.
    pub(super) went_back: u32,
}

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
    /// What keeps files from being delivered, in words.
    pub(super) trouble: Option<String>,
    /// Whose file was sent from last.
    pub(super) turn: Option<Key>,
    next_file: u64,
    next_order: u64,
    names_durable: bool,
}

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
            trouble: None,
            turn: None,
            next_file: 1,
            next_order: 1,
            names_durable: false,
        };
        for name in names {
            let number = name
                .rsplit_once('-')
                .and_then(|(_, number)| number.parse::<u64>().ok());
            shelf.next_file = shelf.next_file.max(number.unwrap_or(0).saturating_add(1));
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

    fn set_aside(&mut self, file: &str) {
        self.losses += 1;
        let name = format!("{DAMAGED}{}", file.trim_start_matches(FILE));
        match self.storage.rename(file, &name) {
            Ok(()) => self.damaged.push(name),
            Err(error) => log::warn!("{file} is damaged and cannot be set aside: {error}"),
        }
    }

    /// Removes a file. When that fails it is found again at the next start.
    pub(super) fn remove(&self, file: &str) {
        if let Err(error) = self.storage.remove(file) {
            log::warn!("{file} is not needed any more and cannot be removed: {error}");
        }
    }
}

impl Entry {
    /// Makes `mark` and the `bytes` that come with it durable, and then true.
    pub(super) fn store(&mut self, storage: &dyn Storage, mark: Mark, bytes: &[u8]) -> io::Result<()> {
        self.write(storage, &mark, bytes)?;
        storage.sync(&self.file, Barrier::FileRange)?;
        if mark.phase != Phase::Part {
            storage.close(&self.file);
        }
        self.mark = mark;
        Ok(())
    }

    /// Writes `mark` and the `bytes` it is about, waiting for nothing.
    pub(super) fn write(&self, storage: &dyn Storage, mark: &Mark, bytes: &[u8]) -> io::Result<()> {
        if !bytes.is_empty() {
            storage.write(&self.file, HEAD as u64 + mark.first, bytes)?;
        }
        storage.write(&self.file, mark.place() as u64, &mark.encode())
    }

    /// Reads the file's bytes from `first` to before `end`.
    pub(super) fn read(&self, storage: &dyn Storage, first: u64, end: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(end - first).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        let read = storage.read(&self.file, HEAD as u64 + first, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Whether the bytes the mark is about are there.
    fn holds(&self, storage: &dyn Storage) -> io::Result<bool> {
        let (first, have) = (self.mark.first, self.mark.have);
        // A mark this long is none of ours, however good its checksum.
        if have - first > super::LONGEST_RANGE as u64 {
            return Ok(false);
        }
        if storage.size(&self.file)? < HEAD as u64 + have {
            return Ok(false);
        }
        let bytes = self.read(storage, first, have)?;
        Ok(bytes.len() as u64 == have - first && crc32c(&[&bytes]) == self.mark.check)
    }
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf")
            .field("files", &self.entries.len())
            .finish()
    }
}

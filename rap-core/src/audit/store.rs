//! The trail on the disk: files of records, the newest one written at its end.
//!
//! `trail-NUMBER`, where NUMBER is that of its first record, twenty digits. A file is closed at [`Room::file`] bytes; when
//! there are more than [`Room::files`], the oldest goes, after a record that says so is on the medium.
//!
//! Invariants: [`Store::append`] returned means that the record is on the medium, under its name; whatever a power cut
//! leaves is opened again, and of what was acknowledged nothing is missing. After an error nothing is written any more:
//! nobody knows what the medium has, until the trail is opened again and looks.

use std::io;

use super::disk::Folder;
use super::event::{Event, Kind};
use super::record::{LONGEST, Link, Origin, Record};

const PREFIX: &str = "trail-";

/// How much room the trail has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes of one file, about.
    pub(super) file: u64,
    /// Files.
    pub(super) files: usize,
}

impl Default for Room {
    /// 16 MiB: some 50,000 records.
    fn default() -> Self {
        Self {
            file: 256 << 10,
            files: 64,
        }
    }
}

/// The trail, open for writing.
#[derive(Debug)]
pub(super) struct Store<F> {
    folder: F,
    room: Room,
    /// Numbers of the files' first records, oldest first.
    files: Vec<u64>,
    /// Bytes of the last file.
    length: u64,
    next: Link,
    broken: bool,
}

impl<F: Folder> Store<F> {
    /// Opens what is there: cuts what a power cut left of a record at the end, and says so in a record.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub(super) fn open(folder: F, room: Room, origin: Origin) -> io::Result<Self> {
        let files = files(&folder)?;
        let mut store = Self {
            folder,
            room,
            files,
            length: 0,
            next: Link::first(),
            broken: false,
        };
        let lost = store.find_end()?;
        // What a process that was killed left in the kernel's memory is relied on from here.
        if let Some(last) = store.files.last() {
            store.folder.sync(&name(*last))?;
        }
        store.folder.sync_names()?;
        if lost > 0 {
            let event = Event::new(
                Kind::TailCut,
                "the end of the trail was no record: power failed while it was written",
            )
            .with("bytes", lost);
            store.append(origin.clone(), event)?;
        }
        store.make_room(&origin)?;
        Ok(store)
    }

    /// The number of the last record; 0 before there is one.
    pub(super) fn last(&self) -> u64 {
        self.next.number - 1
    }

    /// Puts an event at the end of the trail. Returns its number once it is on the medium.
    ///
    /// # Errors
    /// When the disk does not take it; then the trail takes nothing until it is opened again.
    pub(super) fn append(&mut self, origin: Origin, event: Event) -> io::Result<u64> {
        if self.length >= self.room.file || self.files.is_empty() {
            self.files.push(self.next.number);
            self.length = 0;
            let written = self.write(origin.clone(), event)?;
            self.make_room(&origin)?;
            return Ok(written);
        }
        self.write(origin, event)
    }

    fn write(&mut self, origin: Origin, event: Event) -> io::Result<u64> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(io::Error::other(
                "the trail's disk failed; it has to be opened again",
            ));
        }
        let Some(file) = self.files.last().copied().map(name) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let line = Record::new(self.next, origin, event).line();
        let number = self.next.number;
        self.folder.append(&file, format!("{line}\n").as_bytes())?;
        self.folder.sync(&file)?;
        if self.length == 0 {
            self.folder.sync_names()?;
        }
        self.length += line.len() as u64 + 1;
        self.next = self.next.after(line.as_bytes());
        self.broken = false;
        Ok(number)
    }

    /// Lets the oldest file go where there are too many, and says so before.
    fn make_room(&mut self, origin: &Origin) -> io::Result<()> {
        while self.files.len() > self.room.files.max(2) {
            let (oldest, following) = (self.files[0], self.files[1]);
            let through = self.folder.read(&name(following), LONGEST as u64 + 1)?;
            let before = first_line(&through)
                .and_then(Record::parse)
                .map(|record| record.link.before);
            let event = Event::new(Kind::RecordsDropped, "the oldest records made room")
                .with("first", oldest)
                .with("last", following.saturating_sub(1))
                .with(
                    "digest",
                    before.map_or_else(|| "unknown".to_owned(), |digest| digest.to_string()),
                );
            self.write(origin.clone(), event)?;
            self.folder.remove(&name(oldest))?;
            self.folder.sync_names()?;
            self.files.remove(0);
        }
        Ok(())
    }

    /// Finds the end of the trail and cuts what is behind it; says how many bytes.
    fn find_end(&mut self) -> io::Result<u64> {
        let mut lost = 0;
        while let Some(first) = self.files.last().copied() {
            let content = self.folder.read(&name(first), whole(self.room))?;
            let (end, lines) = last_record(&content);
            if end < content.len() {
                lost += (content.len() - end) as u64;
                self.folder.cut(&name(first), end as u64)?;
            }
            if let Some((line, count)) = lines {
                // A record that was changed on the disk still has its place.
                let place = Link {
                    number: first.saturating_add(count - 1),
                    before: Link::first().before,
                };
                self.next = place.after(line);
                self.length = end as u64;
                return Ok(lost);
            }
            // A file of which nothing reached the medium.
            self.folder.remove(&name(first))?;
            self.files.pop();
        }
        Ok(lost)
    }
}

/// The files of a trail in order, by the numbers of their first records.
pub(super) fn files(folder: &impl Folder) -> io::Result<Vec<u64>> {
    let mut files: Vec<u64> = folder
        .list()?
        .iter()
        .filter_map(|name| {
            let digits = name.strip_prefix(PREFIX)?;
            (digits.len() == 20).then(|| digits.parse().ok())?
        })
        .collect();
    files.sort_unstable();
    Ok(files)
}

pub(super) fn name(first: u64) -> String {
    format!("{PREFIX}{first:020}")
}

/// More than any file of the trail has, in bytes.
pub(super) fn whole(room: Room) -> u64 {
    room.file + 4 * LONGEST as u64
}

fn first_line(content: &[u8]) -> Option<&str> {
    let line = content.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()
}

/// Where the last whole line ends, that line, and how many lines there are. A last line that is no record is what a torn
/// write left: it counts as not there. So does nothing before it.
fn last_record(content: &[u8]) -> (usize, Option<(&[u8], u64)>) {
    let end = content
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let mut lines: Vec<&[u8]> = content[..end]
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| &line[..line.len() - 1])
        .collect();
    let is_record = |line: &&[u8]| std::str::from_utf8(line).is_ok_and(|line| Record::parse(line).is_some());
    let mut end = end;
    if lines.last().is_some_and(|line| !is_record(line)) {
        end -= lines.pop().map_or(0, |line| line.len() + 1);
    }
    let count = lines.len() as u64;
    (end, lines.last().map(|line| (*line, count)))
}

#[cfg(test)]
pub(super) mod sim;
#[cfg(test)]
mod tests;

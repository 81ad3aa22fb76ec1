//! One copy of the trail elsewhere: what is next for it, and what is told when the trail has that no more.

use std::io;

use super::place::Place;
use crate::audit::record::Link;
use crate::audit::records::Batch;
use crate::audit::{Event, Kind};
use crate::folder::Folder;

/// Where records come from.
pub(super) trait Trail {
    /// The records from `place` on.
    ///
    /// # Errors
    /// In words, when they cannot be had now.
    fn from(&self, place: Link) -> Result<Batch, String>;
}

/// A copy.
#[derive(Debug)]
pub(super) struct Copy<F> {
    title: &'static str,
    place: Place<F>,
    tell: fn(Event),
}

impl<F: Folder> Copy<F> {
    /// The copy of this title, which is its file's name, too.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn open(folder: F, title: &'static str) -> io::Result<Self> {
        Ok(Self {
            title,
            place: Place::open(folder, title)?,
            tell: crate::audit::tell,
        })
    }

    /// The number of the last record that is there.
    pub(super) fn carried(&self) -> u64 {
        self.place.link().number - 1
    }

    /// What is next. A gap, and a trail that is another one, are told and then passed, so that they are told once; a power
    /// cut between the two tells it twice.
    ///
    /// # Errors
    /// In words, when nothing can be had, or the disk does not take the place behind a gap.
    pub(super) fn next(&mut self, trail: &impl Trail) -> Result<Batch, String> {
        let batch = trail.from(self.place.link())?;
        let event = match batch.gone {
            Some((first, last)) => Event::new(
                Kind::CopyGap,
                "records made room before they were carried to this copy",
            )
            .with("first", first)
            .with("last", last),
            None if batch.anew => Event::new(
                Kind::CopyDiffers,
                "the trail is not the one that this copy has: it is carried from its beginning",
            )
            .with("number", self.place.link().number)
            .with("digest", self.place.link().before),
            None => return Ok(batch),
        };
        (self.tell)(event.with("copy", self.title));
        if !batch.lines.is_empty() {
            self.move_to(batch.from)?;
        }
        Ok(batch)
    }

    /// Everything before `place` is there.
    ///
    /// # Errors
    /// In words, when the disk does not take it: it comes there again.
    pub(super) fn move_to(&mut self, place: Link) -> Result<(), String> {
        self.place
            .move_to(place)
            .map_err(|error| format!("how far the copy has come cannot be kept: {error}"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::digest::Sha256;
    use crate::folder::Directory;

    thread_local! {
        static TOLD: RefCell<Vec<Event>> = const { RefCell::new(Vec::new()) };
    }

    /// A trail of lines `line N`, from one number to another.
    pub(in crate::trail) struct Lines(pub(in crate::trail) u64, pub(in crate::trail) u64);

    pub(in crate::trail) fn line(number: u64) -> String {
        format!("line {number}")
    }

    fn link(number: u64) -> Link {
        if number == 1 {
            return Link::first();
        }
        let before = Sha256::of(line(number - 1).as_bytes());
        Link { number, before }
    }

    impl Trail for Lines {
        fn from(&self, place: Link) -> Result<Batch, String> {
            let Self(oldest, last) = *self;
            let gone = (place.number < oldest).then(|| (place.number, oldest - 1));
            let anew = gone.is_none() && (place.number > last + 1 || place != link(place.number));
            let from = if gone.is_some() || anew {
                oldest
            } else {
                place.number
            };
            let through = last.min(from + 3);
            Ok(Batch {
                from: link(from),
                lines: (from..=through).map(line).collect(),
                next: link(through + 1),
                gone,
                anew,
                last,
            })
        }
    }

    pub(in crate::trail) fn copy(directory: &std::path::Path) -> Copy<Directory> {
        let mut copy = Copy::open(Directory(directory.to_owned()), "collector").unwrap();
        copy.tell = |event| TOLD.with_borrow_mut(|told| told.push(event));
        copy
    }

    fn told() -> Vec<Event> {
        TOLD.take()
    }

    #[test]
    fn it_goes_on_where_it_was_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let trail = Lines(1, 9);
        let mut seen = Vec::new();
        loop {
            let mut copy = copy(directory.path());
            let batch = copy.next(&trail).unwrap();
            if batch.lines.is_empty() {
                assert_eq!(copy.carried(), 9);
                break;
            }
            seen.extend(batch.lines);
            copy.move_to(batch.next).unwrap();
        }
        assert_eq!(seen, (1..=9).map(line).collect::<Vec<_>>());
        assert_eq!(told(), []);
    }

    #[test]
    fn a_gap_is_told_once_though_nothing_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let trail = Lines(5, 9);
        for _ in 0..3 {
            let batch = copy(directory.path()).next(&trail).unwrap();
            assert_eq!(batch.lines[0], line(5));
        }
        let told = told();
        assert_eq!(told.len(), 1);
        let text = format!("{told:?}");
        assert!(
            text.contains("CopyGap") && text.contains("\"4\"") && text.contains("collector"),
            "{text}"
        );
    }

    #[test]
    fn another_trail_is_told_once_and_carried_from_its_beginning() {
        let directory = tempfile::tempdir().unwrap();
        copy(directory.path()).move_to(link(30)).unwrap();
        for _ in 0..3 {
            let batch = copy(directory.path()).next(&Lines(1, 9)).unwrap();
            assert_eq!(batch.lines[0], line(1));
        }
        let told = told();
        assert_eq!(told.len(), 1);
        assert!(format!("{told:?}").contains("CopyDiffers"));
    }
}

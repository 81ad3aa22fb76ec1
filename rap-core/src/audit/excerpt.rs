//! The newest records of each instrument, for the local page: what happened at its port.
//!
//! Invariant: bounded, at each port and in all, so that one port's records do not make another's go before their time and
//! the status they are told in stays small.

use std::collections::VecDeque;
use std::io;

use serde::{Deserialize, Serialize};

use super::disk::Folder;
use super::record::Record;
use super::store::{self, Room};

/// The parameter that names a port.
const PORT: &str = "port";
/// Of one port.
const MOST_OF_A_PORT: usize = 20;
/// Of all.
const MOST: usize = 240;
/// Files of the trail that are looked through at start.
const FILES: usize = 4;

/// A record as a person at its port is shown it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Its number in the trail.
    pub number: u64,
    /// The port it is about.
    pub port: String,
    /// The wall clock, RFC 3339.
    pub time: String,
    /// As [`super::Kind::id`].
    pub kind: String,
    /// For people.
    pub text: String,
}

/// The newest records that are about ports, oldest first.
#[derive(Debug, Default)]
pub(super) struct Excerpt(VecDeque<Shown>);

impl Excerpt {
    /// Of what is in the newest files of a trail.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn of(folder: &impl Folder, room: Room) -> io::Result<Self> {
        let mut excerpt = Self::default();
        let files = store::files(folder)?;
        for first in &files[files.len().saturating_sub(FILES)..] {
            let content = folder.read(&store::name(*first), store::whole(room))?;
            let text = String::from_utf8_lossy(&content);
            for record in text.lines().filter_map(Record::parse) {
                excerpt.note(&record);
            }
        }
        Ok(excerpt)
    }

    /// Takes a record in, where it is about a port.
    pub(super) fn note(&mut self, record: &Record) {
        let Some(port) = record.parameter(PORT) else {
            return;
        };
        let of_port = |shown: &Shown| shown.port == port;
        if self.0.iter().filter(|shown| of_port(shown)).count() == MOST_OF_A_PORT {
            let oldest = self.0.iter().position(of_port);
            oldest.and_then(|oldest| self.0.remove(oldest));
        }
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(Shown {
            number: record.link.number,
            port: port.to_owned(),
            time: record.origin.wall.clone(),
            kind: record.kind.clone(),
            text: record.text.clone(),
        });
    }

    /// All of them, oldest first.
    pub(super) fn shown(&self) -> Vec<Shown> {
        self.0.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{Event, Kind};
    use super::super::record::{Link, Origin};
    use super::*;

    fn record(number: u64, port: Option<&str>) -> Record {
        let link = Link {
            number,
            ..Link::first()
        };
        let origin = Origin {
            wall: "2026-11-28T18:00:00Z".to_owned(),
            host: "box1".to_owned(),
            service: "session".to_owned(),
        };
        let event = Event::new(Kind::SessionChanged, "a session is open");
        let event = match port {
            Some(port) => event.with(PORT, port),
            None => event,
        };
        Record::new(link, origin, event)
    }

    #[test]
    fn a_port_that_has_much_to_tell_does_not_make_anothers_go() {
        let mut excerpt = Excerpt::default();
        excerpt.note(&record(1, Some("quiet")));
        excerpt.note(&record(2, None));
        for number in 3..100 {
            excerpt.note(&record(number, Some("loud")));
        }
        let shown = excerpt.shown();
        let of = |port| shown.iter().filter(move |shown| shown.port == port);
        assert_eq!(of("quiet").count(), 1);
        let loud: Vec<u64> = of("loud").map(|shown| shown.number).collect();
        assert_eq!(loud, (80..100).collect::<Vec<_>>());
        for number in 100..1000 {
            excerpt.note(&record(number, Some(&format!("port{number}"))));
        }
        assert_eq!(excerpt.shown().len(), MOST);
    }
}

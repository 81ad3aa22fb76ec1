//! Data files, a range at a time, when nothing waits in the lanes.
//!
//! Invariant: files cost reports nothing but the time of one range. What only files run into (a centre that has no room
//! for them, or does not know them) lets them rest, and not the lanes.

use std::time::Duration;

use ureq::http::Method;

use super::answer::{Answer, Failure};
use super::backoff::{pause, random_fraction};
use super::client::Request;
use super::trouble::Trouble;
use super::{Did, Uplink, receipt};
use crate::forward::clock;
use crate::forward::files::{self, Errand, Pace, Shelf};
use crate::moment;
use crate::site::BitRate;

/// How it goes with files.
pub(super) struct Uploads {
    shelf: files::Shared,
    pace: Pace,
    /// Until then, since boot, no file is sent.
    rest_until: Duration,
    /// Rests in a row.
    rests: u32,
}

/// What an answer says of a range.
enum Outcome {
    /// So much of the file is there, durably.
    Has(u64),
    /// It wants what follows after so much.
    Wants(u64),
    /// It does not want the file.
    Refuses(String),
    /// It does not want so much: smaller ranges may do.
    TooLarge(String),
    Trouble(Trouble),
}

impl Uploads {
    pub(super) fn new(shelf: files::Shared, limit: Option<BitRate>) -> Self {
        Self {
            shelf,
            pace: limit.map_or_else(Pace::default, |rate| Pace::limited(|time| rate.bytes_in(time))),
            rest_until: Duration::ZERO,
            rests: 0,
        }
    }

    /// Until when, since boot, files rest, if they do.
    pub(super) fn resting(&self, now: Duration) -> Option<Duration> {
        (now < self.rest_until).then_some(self.rest_until)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Shelf) -> T) -> Option<T> {
        files::hold(&self.shelf).as_mut().map(act)
    }

    /// Says what keeps files from being delivered, once.
    fn tell(&self, trouble: Option<&str>) {
        let news = self.with(|shelf| shelf.note(trouble)).unwrap_or(false);
        match trouble {
            Some(words) if news => {
                log::warn!("data files are not delivered: {words}; they are kept and sent later")
            }
            None if news => log::info!("data files are delivered again"),
            _ => {}
        }
    }
}

impl Uplink {
    /// Sends one range of one file, or asks how much of one is there.
    pub(super) fn upload(&mut self) -> Result<Did, Trouble> {
        if self.uploads.resting(moment::since_boot()).is_some() {
            return Ok(Did::Nothing);
        }
        let most = self.uploads.pace.bytes();
        let Some(errand) = self.uploads.with(|shelf| shelf.next(most)).flatten() else {
            return Ok(Did::Nothing);
        };
        let begun = moment::since_boot();
        let outcome = match self.put(&errand) {
            Ok(answer) => outcome(&answer, &errand),
            Err(trouble) => {
                self.uploads.with(|shelf| shelf.failed(&errand));
                self.uploads.pace.forget();
                return Err(trouble);
            }
        };
        let time = moment::since_boot().saturating_sub(begun);
        self.follow_outcome(&errand, outcome, time);
        Ok(Did::Something)
    }

    fn put(&self, errand: &Errand) -> Result<Answer, Trouble> {
        let file = &errand.file;
        self.send(&Request {
            method: Method::PUT,
            path: &format!("{}{}", files::PATH, file.digest),
            headers: &[
                ("content-range", &errand.range.to_string()),
                ("content-type", file.media.as_str()),
                ("accept", receipt::MEDIA_TYPE),
                ("rap-source", &file.source),
                (files::NAME, &file.name.to_header()),
                ("rap-received", &clock::text(file.received)),
            ],
            body: &errand.bytes,
        })
    }

    fn follow_outcome(&mut self, errand: &Errand, outcome: Outcome, time: Duration) {
        let uploads = &mut self.uploads;
        let contradiction = match outcome {
            Outcome::Has(have) => {
                if !errand.bytes.is_empty() {
                    uploads.pace.learn(errand.bytes.len(), time);
                }
                uploads.with(|shelf| shelf.confirmed(errand, have).err())
            }
            Outcome::Wants(have) => uploads.with(|shelf| shelf.behind(errand, have).err()),
            Outcome::TooLarge(_) if uploads.pace.too_large(errand.bytes.len()) => {
                uploads.with(|shelf| shelf.failed(errand));
                None
            }
            Outcome::TooLarge(reason) | Outcome::Refuses(reason) => {
                let (name, source) = (errand.file.name.as_str(), &errand.file.source);
                log::error!(
                    "the service centre refuses the file \"{name}\" from {source}, it is set aside: {reason}"
                );
                uploads.with(|shelf| shelf.refuse(errand, &reason));
                None
            }
            Outcome::Trouble(trouble) => {
                uploads.with(|shelf| shelf.failed(errand));
                return self.rest_uploads(&trouble);
            }
        };
        if let Some(contradiction) = contradiction.flatten() {
            return self.rest_uploads(&Trouble::new(contradiction.to_string()));
        }
        self.uploads.rests = 0;
        self.uploads.tell(None);
        self.failures = 0;
        self.progress().failures = 0;
        self.tell(None);
    }

    /// Lets files rest: longer each time.
    fn rest_uploads(&mut self, trouble: &Trouble) {
        let rest = pause(
            &self.patience(),
            self.uploads.rests,
            random_fraction(),
            trouble.asked,
        );
        self.uploads.rests = self.uploads.rests.saturating_add(1);
        self.uploads.rest_until = moment::since_boot() + rest.whole;
        self.uploads.pace.forget();
        self.uploads.tell(Some(&trouble.words));
    }
}

fn outcome(answer: &Answer, errand: &Errand) -> Outcome {
    if [200, 409].contains(&answer.status) && answer.is_of_type(receipt::MEDIA_TYPE) {
        return match answer.body() {
            Ok(body) => match (receipt::of_file(body, &errand.file.digest), answer.status) {
                (Some(have), 200) => Outcome::Has(have),
                (Some(have), _) => Outcome::Wants(have),
                (None, _) => {
                    Outcome::Trouble(Trouble::new("the service centre's receipt is for something else"))
                }
            },
            Err(Failure::Trouble(trouble)) => Outcome::Trouble(trouble),
            Err(_) => Outcome::Trouble(Trouble::new("the service centre's receipt cannot be read")),
        };
    }
    match answer.failure() {
        Failure::Refused(refusal) if refusal.status == 413 => Outcome::TooLarge(refusal.to_string()),
        Failure::Refused(refusal) => Outcome::Refuses(refusal.to_string()),
        // Nothing is compressed: it is the media type.
        Failure::Coding(_) => Outcome::Refuses("HTTP 415".to_owned()),
        Failure::Trouble(trouble) => Outcome::Trouble(trouble),
    }
}

//! What was asked before, and so whether a directive is to be done: pure. `session::memory` keeps it on the disk.
//!
//! Invariants
//! - The last number only rises, and only by what the service key's owner made for this docket.
//! - What was taken is remembered before it is done, so nothing is done twice; the same directive again gets the answer
//!   it got.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Directive, Envelope, LONGEST_LIFE, Refusal, ServiceKey};
use crate::digest::Sha256;

/// So many are remembered with their answers.
pub const REMEMBERED: usize = 64;

/// A docket's name: 16 random bytes. Another memory, another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DocketId([u8; 16]);

/// A text that names no docket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a docket, 32 lower hexadecimal digits")]
pub struct NoDocket;

/// What became of a directive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "detail", rename_all = "kebab-case")]
pub enum Outcome {
    /// It was taken; it is not known yet how it ends. Found after a restart, it was interrupted.
    Taken,
    /// It was done, with what there is to tell.
    Done(serde_json::Value),
    /// It was tried.
    Failed(String),
    /// It was not done.
    Refused(String),
}

/// A directive that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Settled {
    number: u64,
    digest: Sha256,
    outcome: Outcome,
}

/// What this box was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Docket {
    id: DocketId,
    last: u64,
    settled: VecDeque<Settled>,
}

/// What is to be done with an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is new: take it, then do it.
    Do(Directive, Sha256),
    /// It was taken before, and this is what became of it.
    Again {
        /// Its number.
        number: u64,
        /// What became of it.
        outcome: Outcome,
    },
    /// It is not to be done. With a number, it is settled by that.
    Refuse(Refusal, Option<(u64, Sha256)>),
}

impl Docket {
    /// An empty one; `id` is to be random.
    #[must_use]
    pub fn new(id: DocketId) -> Self {
        Self {
            id,
            last: 0,
            settled: VecDeque::new(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> DocketId {
        self.id
    }

    /// The highest number that was taken: the centre is asked for what comes after.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Judges an envelope for the box called `here`. Changes nothing.
    #[must_use]
    pub fn judge(&self, envelope: &[u8], key: &ServiceKey, here: &str, now: Timestamp) -> Verdict {
        match Envelope::open(envelope, key) {
            Ok((directive, digest)) => self.judge_opened(directive, digest, here, now),
            Err(refusal) => Verdict::Refuse(refusal, None),
        }
    }

    /// The same for a directive whose signature was checked.
    pub(super) fn judge_opened(
        &self,
        directive: Directive,
        digest: Sha256,
        here: &str,
        now: Timestamp,
    ) -> Verdict {
        let number = directive.number;
        let refuse = |refusal| Verdict::Refuse(refusal, None);
        if directive.to != here {
            let (to, here) = (directive.to, here.to_owned());
            return refuse(Refusal::WrongBox { to, here });
        }
        if directive.docket != self.id {
            let (to, here) = (directive.docket, self.id);
            return refuse(Refusal::WrongDocket { to, here });
        }
        if number <= self.last {
            return self.judge_old(number, digest);
        }
        let Directive { issued, expires, .. } = directive;
        let life = expires.duration_since(issued);
        if life.is_negative() || life.unsigned_abs() > LONGEST_LIFE {
            return Verdict::Refuse(Refusal::TooLong { issued, expires }, Some((number, digest)));
        }
        if now >= expires {
            return Verdict::Refuse(Refusal::Expired { expires, now }, Some((number, digest)));
        }
        Verdict::Do(directive, digest)
    }

    /// One whose number is not above the last.
    fn judge_old(&self, number: u64, digest: Sha256) -> Verdict {
        let refuse = |refusal| Verdict::Refuse(refusal, None);
        let known = self.settled.iter().find(|settled| settled.number == number);
        let first = self.settled.front().map_or(0, |settled| settled.number);
        match known {
            Some(known) if known.digest == digest => Verdict::Again {
                number,
                outcome: known.outcome.clone(),
            },
            Some(_) => refuse(Refusal::NumberTaken { number }),
            None if number < first => refuse(Refusal::Replayed { number, first }),
            None => refuse(Refusal::OutOfOrder {
                number,
                last: self.last,
            }),
        }
    }

    /// Remembers that a directive was taken, or what became of it. What is not above the last and not remembered
    /// changes nothing.
    pub fn settle(&mut self, number: u64, digest: Sha256, outcome: Outcome) {
        if let Some(known) = self.settled.iter_mut().find(|settled| settled.number == number) {
            if known.digest == digest {
                known.outcome = outcome;
            }
            return;
        }
        if number <= self.last {
            return;
        }
        self.last = number;
        self.settled.push_back(Settled {
            number,
            digest,
            outcome,
        });
        if self.settled.len() > REMEMBERED {
            self.settled.pop_front();
        }
    }

    /// The numbers of those that were taken and never finished: a restart came between.
    #[must_use]
    pub fn interrupted(&self) -> Vec<(u64, Sha256)> {
        let open = self
            .settled
            .iter()
            .filter(|settled| settled.outcome == Outcome::Taken);
        open.map(|settled| (settled.number, settled.digest)).collect()
    }

    /// Whether what was read from a disk is a docket as this module makes them.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let numbers: Vec<u64> = self.settled.iter().map(|settled| settled.number).collect();
        let rising = numbers.windows(2).all(|pair| pair[0] < pair[1]);
        rising && numbers.len() <= REMEMBERED && numbers.last().copied().unwrap_or(0) <= self.last
    }
}

impl DocketId {
    /// A new one, from random bytes.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        Self(random)
    }
}

impl fmt::Display for DocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for DocketId {
    type Err = NoDocket;

    fn from_str(text: &str) -> Result<Self, NoDocket> {
        let clean = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(clean) {
            return Err(NoDocket);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| NoDocket)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl TryFrom<String> for DocketId {
    type Error = NoDocket;

    fn try_from(text: String) -> Result<Self, NoDocket> {
        text.parse()
    }
}

impl From<DocketId> for String {
    fn from(id: DocketId) -> Self {
        id.to_string()
    }
}

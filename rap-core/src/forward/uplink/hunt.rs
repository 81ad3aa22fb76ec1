//! Finding the one report of a lane that the service centre refuses, and deciding what becomes of it. Pure.
//!
//! A refused batch (400, 422) is halved until one report alone is refused; that one is a suspect. It may be the
//! report's fault or the centre's: a centre that refuses *everything* must not make the box give up what it
//! acknowledged. So a suspect is set aside only when the centre takes others and still refuses it:
//!
//! 1. another report was accepted since the suspect was first refused, in a batch or alone, and it is refused again;
//! 2. or, in one run without a pause, the suspect is refused and the next one is accepted. While that is refused too,
//!    it is another suspect and the run goes on, up to [`MOST_SUSPECTS`]; the first one accepted proves all before it.
//!
//! Else nothing is set aside: the lane rests, and the next run begins with the first suspect. Whenever that one is
//! accepted, nothing had been wrong with it.
//!
//! Order: a report is sent before an earlier one only by rule 2, and when it is accepted the earlier ones are set aside.
//! Only when the box stops between this receipt and the writing down, and the centre has changed its mind at the same
//! time, an earlier one comes after it.

/// So many reports in a row are sent one by one; when all are refused, it may well be the centre.
pub(super) const MOST_SUSPECTS: usize = 16;

/// What the centre said of a report it refuses, such as `HTTP 422: no such type`.
pub(super) type Reason = String;

/// Which reports of a lane to send next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Portion {
    /// So many of the oldest are left out: they are suspects of this run.
    pub(super) skip: usize,
    /// At most so many after them.
    pub(super) most: usize,
}

/// What to do after an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send the next portion.
    GoOn,
    /// Set aside the oldest reports of the lane, so many, for these reasons. Then send the next portion.
    SetAside(Vec<Reason>),
    /// Let the lane rest.
    Rest,
}

/// The search in one lane.
#[derive(Debug, Default)]
pub(super) struct Hunt {
    within: Option<Within>,
    suspects: Vec<Suspect>,
    /// Which of the suspects comes next in this run; as many as there are: the one behind them.
    turn: usize,
}

/// The oldest reports, so many, were refused together.
#[derive(Debug)]
struct Within {
    count: usize,
    /// How many reports had been accepted in all by then.
    accepted: u64,
}

/// A report refused alone.
#[derive(Debug)]
struct Suspect {
    seq: u64,
    reason: Reason,
    /// How many reports had been accepted in all when it was first refused.
    accepted: u64,
}

impl Hunt {
    /// What to send next, at most `most` reports.
    pub(super) fn portion(&self, most: usize) -> Portion {
        if !self.suspects.is_empty() {
            return Portion {
                skip: self.turn,
                most: 1,
            };
        }
        let half = self.within.as_ref().map(|within| (within.count / 2).max(1));
        Portion {
            skip: 0,
            most: half.unwrap_or(most).min(most),
        }
    }

    /// The lane as it is, as far as it was looked at: suspects that are not its oldest reports any more are none.
    pub(super) fn look(&mut self, oldest: impl Iterator<Item = u64>) {
        let mut pairs = self.suspects.iter().zip(oldest);
        if pairs.any(|(suspect, seq)| suspect.seq != seq) {
            *self = Self::default();
        }
    }

    /// How many suspects there are: the lane's oldest reports.
    pub(super) fn suspects(&self) -> usize {
        self.suspects.len()
    }

    /// The first suspect's reason.
    pub(super) fn first_reason(&self) -> Option<&str> {
        self.suspects.first().map(|suspect| suspect.reason.as_str())
    }

    /// Whether to look for a report that came after the suspects: it might be the one that is accepted.
    pub(super) fn wants_another(&self) -> bool {
        !self.suspects.is_empty() && self.suspects.len() < MOST_SUSPECTS
    }

    /// There is no report behind the suspects.
    pub(super) fn ended(&mut self) -> Verdict {
        self.turn = 0;
        Verdict::Rest
    }

    /// The run was interrupted, by trouble: what it showed so far is worth nothing.
    pub(super) fn interrupted(&mut self) {
        self.turn = 0;
        self.within = None;
    }

    /// `count` reports behind the first `skip` were accepted.
    pub(super) fn accepted(&mut self, skip: usize, count: usize) -> Verdict {
        if skip > 0 {
            let proven = self.suspects.drain(..skip.min(self.suspects.len()));
            let reasons = proven.map(|suspect| suspect.reason).collect();
            *self = Self::default();
            return Verdict::SetAside(reasons);
        }
        let rest = self.within.take().filter(|within| within.count > count);
        *self = Self {
            within: rest.map(|within| Within {
                count: within.count - count,
                ..within
            }),
            ..Self::default()
        };
        Verdict::GoOn
    }

    /// So many reports were refused together.
    pub(super) fn refused_together(&mut self, count: usize, accepted: u64) {
        let before = self.within.take();
        self.within = Some(Within {
            count,
            accepted: before.map_or(accepted, |within| within.accepted),
        });
    }

    /// The report `seq` was refused alone; `accepted` reports have been accepted in all until now.
    pub(super) fn refused(&mut self, seq: u64, reason: Reason, accepted: u64) -> Verdict {
        let within = self.within.take();
        match self.suspects.get_mut(self.turn) {
            Some(suspect) => suspect.reason = reason,
            None => self.suspects.push(Suspect {
                seq,
                reason,
                accepted: within.map_or(accepted, |within| within.accepted),
            }),
        }
        if self.turn == 0 && self.suspects.first().is_some_and(|s| s.accepted < accepted) {
            let proven = self.suspects.remove(0);
            return Verdict::SetAside(vec![proven.reason]);
        }
        self.turn += 1;
        if self.turn == MOST_SUSPECTS {
            return self.ended();
        }
        Verdict::GoOn
    }
}

#[cfg(test)]
mod tests;

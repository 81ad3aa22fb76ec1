//! Finding the one report of a lane that the service centre refuses, and deciding what becomes of it. Pure.
//!
//! A refused batch (400, 422) is halved until one report alone is refused: the suspect. It may be the report's fault or
//! the centre's: a centre that refuses *everything* must not make the box give up what it acknowledged. So a suspect is
//! set aside only when it is refused alone, then another report is accepted, then it is refused alone again. The other
//! report may be one of the other lane, or one that was accepted before and is sent once more for this (a *probe*: to
//! the centre it is a duplicate). Else nothing is set aside: the lane rests, and then the suspect is sent again.
//!
//! Nothing is ever sent before an earlier report of its lane, so whatever the centre does, order is kept.
//!
//! What no rule can tell: a centre that changes between refusing everything and taking reports from one request to the
//! next and back. What it makes the box set aside is kept among the dead letters.

/// What the centre said of a report it refuses, such as `HTTP 422: no such type`.
pub(super) type Reason = String;

/// What to do after the refusal of one report alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Set the oldest report of the lane aside.
    SetAside(Reason),
    /// See whether the centre accepts another report; then send the next portion, or let the lane rest.
    Probe,
}

/// The search in one lane.
#[derive(Debug)]
pub(super) struct Hunt {
    /// So many of the oldest reports were refused together.
    within: Option<usize>,
    suspect: Option<Suspect>,
    /// So many reports are sent together when nothing is known against them. After one was set aside it grows from 1:
    /// refused ones come in rows.
    most: usize,
}

/// The oldest report, refused alone.
#[derive(Debug)]
struct Suspect {
    seq: u64,
    reason: Reason,
    /// How many reports had been accepted in all when it was first refused.
    accepted: u64,
}

impl Default for Hunt {
    fn default() -> Self {
        Self {
            within: None,
            suspect: None,
            most: usize::MAX,
        }
    }
}

impl Hunt {
    /// How many reports to send next, at most `most`.
    pub(super) fn portion(&self, most: usize) -> usize {
        let known = match (&self.suspect, self.within) {
            (Some(_), _) => 1,
            (None, Some(within)) => (within / 2).max(1),
            (None, None) => self.most,
        };
        known.min(most)
    }

    /// The oldest report of the lane as it is: a suspect that is not that is none.
    pub(super) fn look(&mut self, oldest: u64) {
        if self.suspect.as_ref().is_some_and(|suspect| suspect.seq != oldest) {
            *self = Self::default();
        }
    }

    /// The suspect's reason, if there is one.
    pub(super) fn suspicion(&self) -> Option<&str> {
        self.suspect.as_ref().map(|suspect| suspect.reason.as_str())
    }

    /// So many of the oldest reports were accepted.
    pub(super) fn accepted(&mut self, count: usize) {
        self.suspect = None;
        self.most = self.most.saturating_mul(2);
        let left = self.within.and_then(|within| within.checked_sub(count));
        self.within = left.filter(|left| *left > 0);
    }

    /// So many of the oldest reports, more than one, were refused together.
    pub(super) fn refused_together(&mut self, count: usize) {
        self.within = Some(count);
    }

    /// The oldest report, `seq`, was refused alone, after `accepted` had been accepted in all.
    pub(super) fn refused(&mut self, seq: u64, reason: Reason, accepted: u64) -> Verdict {
        self.within = None;
        let first = self.suspect.take().map(|suspect| suspect.accepted);
        if first.is_some_and(|first| first < accepted) {
            self.most = 1;
            return Verdict::SetAside(reason);
        }
        self.suspect = Some(Suspect {
            seq,
            reason,
            accepted: first.unwrap_or(accepted),
        });
        Verdict::Probe
    }
}

#[cfg(test)]
mod tests;

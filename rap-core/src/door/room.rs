//! Which connection gives way when a port has as many as it may have. Pure.
//!
//! First those that never sent a whole request's head, then those that wait after an answer, then those that are slow
//! with a body; the oldest first, and none before its grace is over. One whose report is being stored never does. So
//! ten thousand connections that do nothing cannot keep one out that posts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Handshake, or the first request's head.
    Fresh,
    /// It was served and has not asked again.
    Idle,
    /// A body is coming.
    Body,
    /// Its request is being stored.
    Working,
}

impl Phase {
    /// How long a connection is left alone in this phase; `None` for always.
    fn grace(self) -> Option<Duration> {
        match self {
            // A request sent at once is there after this, even behind a slow handshake of others.
            Self::Fresh => Some(Duration::from_millis(20)),
            Self::Idle | Self::Body => Some(Duration::from_secs(1)),
            Self::Working => None,
        }
    }
}

/// What to do with a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is room.
    Enter,
    /// Close this one first.
    Close(u64),
    /// Ask again at this time, or when one has gone.
    Wait(Instant),
}

#[derive(Debug)]
struct Seat {
    phase: Phase,
    since: Instant,
    close: Arc<Notify>,
}

/// A port's open connections.
#[derive(Debug)]
pub(super) struct Room {
    most: usize,
    seats: HashMap<u64, Seat>,
    next: u64,
}

impl Room {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            seats: HashMap::new(),
            next: 0,
        }
    }

    /// Whether one more may enter.
    pub(super) fn verdict(&self, now: Instant) -> Verdict {
        if self.seats.len() < self.most {
            return Verdict::Enter;
        }
        let ends = |seat: &Seat| Some(seat.since + seat.phase.grace()?);
        let ready = self
            .seats
            .iter()
            .filter(|(_, s)| ends(s).is_some_and(|end| end <= now));
        if let Some((id, _)) = ready.min_by_key(|(id, seat)| (seat.phase, seat.since, **id)) {
            return Verdict::Close(*id);
        }
        let soonest = self.seats.values().filter_map(ends).min();
        Verdict::Wait(soonest.unwrap_or(now + Duration::from_secs(1)))
    }

    /// A new connection's number, and what is raised when it has to go.
    pub(super) fn enter(&mut self, now: Instant) -> (u64, Arc<Notify>) {
        self.next += 1;
        let close = Arc::new(Notify::new());
        let seat = Seat {
            phase: Phase::Fresh,
            since: now,
            close: Arc::clone(&close),
        };
        self.seats.insert(self.next, seat);
        (self.next, close)
    }

    /// Notes what a connection is doing now.
    pub(super) fn note(&mut self, id: u64, phase: Phase, now: Instant) {
        if let Some(seat) = self.seats.get_mut(&id) {
            (seat.phase, seat.since) = (phase, now);
        }
    }

    /// Tells a connection to go; its place is free at once.
    pub(super) fn close(&mut self, id: u64) {
        if let Some(seat) = self.seats.remove(&id) {
            seat.close.notify_one();
        }
    }

    /// A connection has gone by itself.
    pub(super) fn leave(&mut self, id: u64) {
        self.seats.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn idle_ones_give_way_in_order_and_a_storing_one_never() {
        let start = Instant::now();
        let mut room = Room::new(4);
        let ids: Vec<_> = (0..4).map(|i| room.enter(start + i * MS).0).collect();
        room.note(ids[0], Phase::Working, start);
        room.note(ids[1], Phase::Body, start);
        room.note(ids[2], Phase::Idle, start);
        assert_eq!(room.verdict(start), Verdict::Wait(start + 23 * MS));
        let late = start + Duration::from_secs(5);
        for expected in [ids[3], ids[2], ids[1]] {
            assert_eq!(room.verdict(late), Verdict::Close(expected));
            room.close(expected);
            assert_eq!(room.verdict(late), Verdict::Enter);
            let (new, _) = room.enter(late);
            room.note(new, Phase::Working, late);
        }
        assert!(matches!(room.verdict(late), Verdict::Wait(at) if at > late));
        room.leave(ids[0]);
        assert_eq!(room.verdict(late), Verdict::Enter);
    }

    #[test]
    fn the_oldest_of_a_kind_goes_first_and_none_within_its_grace() {
        let start = Instant::now();
        let mut room = Room::new(2);
        let (first, closed) = room.enter(start);
        let (second, _) = room.enter(start + 5 * MS);
        assert_eq!(room.verdict(start + 19 * MS), Verdict::Wait(start + 20 * MS));
        assert_eq!(room.verdict(start + 30 * MS), Verdict::Close(first));
        room.note(first, Phase::Idle, start + 30 * MS);
        assert_eq!(room.verdict(start + 31 * MS), Verdict::Close(second));
        room.close(first);
        let told = tokio::runtime::Builder::new_current_thread().build().unwrap();
        told.block_on(closed.notified());
    }
}

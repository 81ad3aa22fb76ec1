//! A centre that refuses some reports by their number, everything, or changes its mind; and the lane it is asked about.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// A lane, and a centre that refuses a batch when one of its reports is `poison`.
#[derive(Default)]
struct World {
    hunt: Hunt,
    lane: Vec<u64>,
    poison: BTreeSet<u64>,
    refuses_all: bool,
    delivered: Vec<u64>,
    aside: Vec<u64>,
    accepted: u64,
    posts: usize,
}

impl World {
    fn new(reports: u64, poison: &[u64]) -> Self {
        Self {
            lane: (1..=reports).collect(),
            poison: poison.iter().copied().collect(),
            ..Self::default()
        }
    }

    /// One step; `false` when the lane is empty or rests.
    fn step(&mut self) -> bool {
        let Some(oldest) = self.lane.first() else {
            return false;
        };
        self.hunt.look(*oldest);
        let count = self.hunt.portion(256).min(self.lane.len());
        let sent = self.lane[..count].to_vec();
        self.posts += 1;
        if !self.refuses_all && sent.iter().all(|seq| !self.poison.contains(seq)) {
            self.accepted += count as u64;
            self.hunt.accepted(count);
            self.delivered.extend(self.lane.drain(..count));
            return true;
        }
        if count > 1 {
            self.hunt.refused_together(count);
            return true;
        }
        match self.hunt.refused(sent[0], sent[0].to_string(), self.accepted) {
            Verdict::SetAside(reason) => {
                assert_eq!(reason, sent[0].to_string());
                self.aside.push(self.lane.remove(0));
                true
            }
            Verdict::Probe => self.probe(),
        }
    }

    /// A probe there is only when something was delivered.
    fn probe(&mut self) -> bool {
        if self.delivered.is_empty() {
            return false;
        }
        self.posts += 1;
        self.accepted += u64::from(!self.refuses_all);
        !self.refuses_all
    }

    fn until_rest(&mut self) {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < 10_000, "a hunt that does not end");
        }
    }
}

#[test]
fn one_among_many_is_found_by_halving_and_set_aside() {
    let mut world = World::new(256, &[100]);
    world.until_rest();
    assert_eq!(world.aside, [100]);
    assert_eq!(world.delivered.len(), 255);
    assert!(world.delivered.is_sorted() && world.lane.is_empty());
    // Eight halvings, and the rest in growing portions.
    assert!(world.posts <= 8 + 2 + 9 + 2, "{} posts", world.posts);
}

#[test]
fn a_row_of_them_takes_three_requests_each() {
    let mut world = World::new(100, &(20..60).collect::<Vec<_>>());
    world.until_rest();
    assert_eq!(world.aside, (20..60).collect::<Vec<_>>());
    assert_eq!(world.delivered.len(), 60);
    assert!(world.posts <= 40 * 3 + 20, "{} posts", world.posts);
}

#[test]
fn a_lone_one_is_set_aside_when_a_probe_is_accepted_and_it_is_refused_again() {
    let mut world = World::new(1, &[]);
    world.until_rest();
    world.poison = [2].into();
    world.lane = vec![2];
    world.until_rest();
    assert_eq!((world.aside, world.posts), (vec![2], 1 + 3));
}

#[test]
fn where_nothing_was_ever_accepted_the_first_one_waits_for_the_other_lane() {
    let mut world = World::new(3, &[1]);
    world.until_rest();
    world.until_rest();
    assert_eq!((world.lane.len(), world.hunt.suspicion()), (3, Some("1")));
    world.accepted += 1;
    world.until_rest();
    assert_eq!((world.aside, world.delivered), (vec![1], vec![2, 3]));
}

#[test]
fn a_centre_that_refuses_everything_takes_nothing_away() {
    let mut world = World::new(1000, &[]);
    assert!(world.step());
    let delivered = world.delivered.len() as u64;
    world.refuses_all = true;
    for _ in 0..20 {
        world.until_rest();
    }
    assert!(world.aside.is_empty());
    assert_eq!(world.lane.len() as u64, 1000 - delivered);
    // Halving once, then the first one and the probe at each try, and no more.
    assert_eq!(world.posts, 1 + 8 + 20 * 2);
    world.refuses_all = false;
    world.until_rest();
    assert_eq!(world.delivered, (1..=1000).collect::<Vec<_>>());
}

#[test]
fn a_suspect_that_is_gone_is_forgotten() {
    let mut world = World::new(1, &[1]);
    world.until_rest();
    world.lane = vec![2, 3];
    world.accepted += 1;
    world.poison = [2].into();
    assert!(
        !world.step() || world.aside.is_empty(),
        "it was refused once only"
    );
}

proptest! {
    /// Some poison, and a centre that now and then refuses everything for a while, changing at any moment: what is good
    /// is delivered in order or still waits, and is never set aside.
    #[test]
    fn only_what_is_refused_for_itself_is_set_aside(
        reports in 1..60_u64,
        poison in proptest::collection::btree_set(1..60_u64, 0..20),
        weather in proptest::collection::vec(20..60_usize, 0..6),
    ) {
        let mut world = World::new(reports, &[]);
        world.poison = poison.clone();
        for steps in weather {
            world.refuses_all = !world.refuses_all;
            // Not from one request to the next and back.
            for _ in 0..steps {
                world.step();
            }
        }
        world.refuses_all = false;
        // The other lane delivers something.
        for _ in 0..30 {
            world.until_rest();
            world.accepted += 1;
        }
        prop_assert!(world.aside.iter().all(|seq| poison.contains(seq)), "{:?}", world.aside);
        prop_assert!(world.delivered.is_sorted() && world.lane.is_empty());
        let good = (1..=reports).filter(|seq| !poison.contains(seq)).count();
        prop_assert_eq!(world.delivered.len(), good);
    }
}

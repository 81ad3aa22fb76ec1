//! A centre that refuses some reports by their number, everything, or changes its mind; and the lane it is asked about.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// A lane and a centre that refuses a batch when one of its reports is `poison`.
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

    /// One portion; `false` when the lane is empty or rests.
    fn step(&mut self) -> bool {
        self.hunt.look(self.lane.iter().copied());
        let Portion { skip, most } = self.hunt.portion(256);
        let sent: Vec<u64> = self.lane.iter().skip(skip).take(most).copied().collect();
        if sent.is_empty() {
            return !self.lane.is_empty() && self.hunt.ended() != Verdict::Rest;
        }
        self.posts += 1;
        let refused = self.refuses_all || sent.iter().any(|seq| self.poison.contains(seq));
        let verdict = match (refused, sent.as_slice()) {
            (true, [seq]) => self.hunt.refused(*seq, format!("{seq}"), self.accepted),
            (true, many) => {
                self.hunt.refused_together(many.len(), self.accepted);
                Verdict::GoOn
            }
            (false, _) => self.accept(skip, &sent),
        };
        match verdict {
            Verdict::GoOn => true,
            Verdict::Rest => false,
            Verdict::SetAside(reasons) => {
                for reason in reasons {
                    let seq = self.lane.remove(0);
                    assert_eq!(reason, seq.to_string(), "each for its own reason");
                    self.aside.push(seq);
                }
                // The caller writes down what was accepted behind them.
                if skip > 0 && !refused {
                    self.lane.remove(0);
                }
                true
            }
        }
    }

    fn accept(&mut self, skip: usize, sent: &[u64]) -> Verdict {
        self.accepted += sent.len() as u64;
        self.delivered.extend(sent);
        if skip == 0 {
            self.lane.drain(..sent.len());
        }
        self.hunt.accepted(skip, sent.len())
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
    assert!(world.posts <= 12, "{} posts", world.posts);
}

#[test]
fn the_first_one_is_proven_by_the_next_and_a_row_of_them_too() {
    for poison in [&[1][..], &[1, 2, 3, 4, 5], &[1, 2, 4], &[5, 6, 9]] {
        let mut world = World::new(10, poison);
        world.until_rest();
        assert_eq!(world.aside, poison);
        assert_eq!(world.delivered.len(), 10 - poison.len());
        assert!(world.lane.is_empty());
    }
}

#[test]
fn of_two_at_the_end_the_last_one_waits() {
    let mut world = World::new(10, &[9, 10]);
    world.until_rest();
    assert_eq!(
        (world.aside.as_slice(), world.lane.as_slice()),
        (&[9][..], &[10][..])
    );
    world.lane.push(11);
    world.until_rest();
    assert_eq!((world.aside, world.lane), (vec![9, 10], vec![]));
}

#[test]
fn a_lone_one_waits_until_another_is_accepted() {
    let mut world = World::new(1, &[1]);
    world.until_rest();
    assert!(world.aside.is_empty() && world.hunt.wants_another());
    // It is asked again at each run, and nothing else happens.
    world.until_rest();
    assert_eq!((world.posts, world.lane.len()), (2, 1));
    world.lane.push(2);
    world.until_rest();
    assert_eq!((world.aside, world.delivered), (vec![1], vec![2]));
}

#[test]
fn a_lone_one_is_proven_by_what_the_other_lane_delivers() {
    let mut world = World::new(1, &[1]);
    world.until_rest();
    world.accepted += 1;
    world.until_rest();
    assert_eq!(world.aside, [1]);
}

#[test]
fn a_centre_that_refuses_everything_takes_nothing_away() {
    let mut world = World::new(1000, &[]);
    world.refuses_all = true;
    for _ in 0..20 {
        world.until_rest();
    }
    assert_eq!((world.lane.len(), world.hunt.suspects()), (1000, MOST_SUSPECTS));
    assert!(!world.hunt.wants_another());
    // Halving once, then each of the suspects in each run, and no more.
    assert_eq!(world.posts, 8 + 20 * MOST_SUSPECTS);
    world.refuses_all = false;
    world.until_rest();
    assert_eq!(world.delivered, (1..=1000).collect::<Vec<_>>());
    assert!(world.aside.is_empty());
}

#[test]
fn what_was_refused_before_an_interruption_proves_nothing() {
    let mut world = World::new(4, &[]);
    world.refuses_all = true;
    // 4, 2, then 1 alone and 2 alone.
    (0..4).for_each(|_| assert!(world.step()));
    assert_eq!(world.hunt.suspects(), 2);
    world.refuses_all = false;
    world.hunt.interrupted();
    world.until_rest();
    assert_eq!((world.delivered, world.aside), (vec![1, 2, 3, 4], vec![]));
}

#[test]
fn suspects_that_are_gone_are_forgotten() {
    let mut world = World::new(3, &[]);
    world.refuses_all = true;
    world.until_rest();
    assert_eq!(world.hunt.suspects(), 3);
    world.lane = vec![3, 4];
    world.refuses_all = false;
    world.until_rest();
    assert_eq!((world.delivered, world.aside), (vec![3, 4], vec![]));
}

proptest! {
    /// Some poison, a centre that now and then refuses everything, runs cut by trouble: what is good is delivered in
    /// order or still waits, and is never set aside.
    #[test]
    fn only_what_is_refused_for_itself_is_set_aside(
        reports in 1..60_u64,
        poison in proptest::collection::btree_set(1..60_u64, 0..20),
        weather in proptest::collection::vec((1..40_usize, any::<bool>()), 0..12),
    ) {
        let mut world = World::new(reports, &[]);
        world.poison = poison.clone();
        for (steps, refuses_all) in weather {
            world.refuses_all = refuses_all;
            // The weather changes with a pause between: a change within a run is what no rule can tell.
            world.hunt.interrupted();
            for _ in 0..steps {
                if !world.step() {
                    break;
                }
            }
        }
        world.refuses_all = false;
        world.hunt.interrupted();
        (0..4).for_each(|_| world.until_rest());
        prop_assert!(world.aside.iter().all(|seq| poison.contains(seq)), "{:?}", world.aside);
        prop_assert!(world.delivered.is_sorted());
        prop_assert!(world.lane.iter().all(|seq| poison.contains(seq)) || world.lane.len() >= MOST_SUSPECTS);
        let good = (1..=reports).filter(|seq| !poison.contains(seq)).count();
        if world.lane.is_empty() {
            prop_assert_eq!(world.delivered.len(), good);
        }
    }
}

//! Each wait for the disk is needed: left out, or done too late, some history breaks a promise.

use super::super::storage::Barrier;
use super::history::History;
use super::sim::Mutant;

/// Within so many histories each mutant must be found.
const HISTORIES: u64 = 2000;

/// Found the rarest mutants before: tried first, to save time only.
const KNOWN: [u64; 1] = [1280];

fn found(mutant: Mutant) -> Option<(u64, String)> {
    KNOWN.into_iter().chain(0..HISTORIES).find_map(|seed| {
        History::new(seed)
            .run(Some(mutant))
            .err()
            .map(|broken| (seed, broken))
    })
}

#[test]
fn a_sync_left_out_or_late_breaks_a_promise() {
    let mut survivors = Vec::new();
    for barrier in Barrier::ALL {
        for mutant in [Mutant::Without(barrier), Mutant::Late(barrier)] {
            match found(mutant) {
                Some((seed, broken)) => println!("{mutant:?}: history {seed}: {broken}"),
                None => survivors.push(mutant),
            }
        }
    }
    assert!(
        survivors.is_empty(),
        "no history needs these syncs: {survivors:?}"
    );
}

//! Each wait for the disk is needed: left out, or done too late, some history breaks a promise.

use super::history::run;
use crate::forward::log::Barrier;
use crate::forward::log::tests::sim::Mutant;

/// Within so many histories each mutant must be found.
const HISTORIES: u64 = 5000;

#[test]
fn a_sync_left_out_or_late_breaks_a_promise() {
    let mut survivors = Vec::new();
    for barrier in Barrier::OF_FILES {
        for mutant in [Mutant::Without(barrier), Mutant::Late(barrier)] {
            let found = (0..HISTORIES).find_map(|seed| Some((seed, run(seed, Some(mutant)).err()?)));
            match found {
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

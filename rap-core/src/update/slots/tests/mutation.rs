//! Each wait for the disk is needed: left out, some cut of some history breaks a promise.

use std::rc::Rc;

use super::super::device::Barrier;
use super::SIZES;
use super::history::{self, Tally};
use super::machine::World;
use super::sim::Mutant;
use crate::boot::disk::WRITE_FLUSHES;

/// Within so many histories each mutant must be found.
const HISTORIES: u64 = 60;

#[test]
fn a_flush_left_out_breaks_a_promise() {
    let world = Rc::new(World::new(&SIZES));
    let barriers = Barrier::ALL.map(Mutant::Without);
    let mut survivors = Vec::new();
    for mutant in barriers.into_iter().chain((0..WRITE_FLUSHES).map(Mutant::Table)) {
        let mut tally = Tally::default();
        let broken = (0..HISTORIES)
            .find_map(|seed| history::run(&world, seed, u64::MAX, Some(mutant), &mut tally).err());
        match broken {
            Some(broken) => println!("{mutant:?} after {} cuts: {broken}", tally.cuts),
            None => survivors.push(mutant),
        }
    }
    assert!(
        survivors.is_empty(),
        "no history needs these flushes: {survivors:?}"
    );
}

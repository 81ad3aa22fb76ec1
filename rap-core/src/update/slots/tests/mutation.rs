//! Each wait for the disk is needed: left out, some cut breaks a promise.

use std::rc::Rc;

use super::super::device::Barrier;
use super::SIZES;
use super::history;
use super::machine::{Nature, Order, World};
use super::sim::Mutant;
use crate::boot::disk::WRITE_FLUSHES;

/// Different losses of what was not flushed, for each cut.
const LOSSES: u64 = 8;

/// What a box does that needs this flush: its revision at first, and its orders.
fn story(mutant: Mutant) -> (u32, Vec<Order>) {
    let install = |image| Order::Install(image, Nature::Good);
    match mutant {
        Mutant::Table(_) => (1, vec![Order::First]),
        Mutant::Without(Barrier::Failed) => (1, vec![Order::Withdraw(1)]),
        Mutant::Without(Barrier::Mended) => (1, vec![install(1), Order::Mend(2)]),
        Mutant::Without(Barrier::Vacated) => (u32::MAX - 1, vec![install(1), Order::Back]),
        Mutant::Without(Barrier::Renumbered) => (u32::MAX, vec![install(1)]),
        Mutant::Without(_) => (1, vec![install(1)]),
    }
}

#[test]
fn a_flush_left_out_breaks_a_promise() {
    let world = Rc::new(World::new(&SIZES));
    let barriers = Barrier::ALL.map(Mutant::Without);
    let mut survivors = Vec::new();
    for mutant in barriers.into_iter().chain((0..WRITE_FLUSHES).map(Mutant::Table)) {
        let (revision, orders) = story(mutant);
        match history::mutated(&world, mutant, revision, &orders, LOSSES) {
            Err(broken) => println!("{mutant:?}: {broken}"),
            Ok(()) => survivors.push(mutant),
        }
    }
    assert!(survivors.is_empty(), "nothing needs these flushes: {survivors:?}");
}

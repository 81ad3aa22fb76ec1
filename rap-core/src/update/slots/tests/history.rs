//! Histories: orders made from a seed, each tried with the power cut in every write and flush of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::machine::{Machine, Nature, Order, World};
use super::sim::Mutant;
use crate::boot::slot::{Label, Layout};

/// What was tried, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Places in which the power was cut first, all different.
    pub(super) cuts: u64,
    /// Cuts in all: after many a first there was another one while the box recovered.
    pub(super) all: u64,
}

/// Runs the history `seed`, at most `most` cuts of each order; `Err` says which promise was broken where.
pub(super) fn run(world: &Rc<World>, seed: u64, most: u64, tally: &mut Tally) -> Result<(), String> {
    let revision = if seed % 2 == 1 {
        u32::MAX - u32::try_from(seed / 2 % 3).unwrap()
    } else {
        1
    };
    let mut machine = Machine::flashed(world.clone(), seed, revision);
    let count = 3 + machine.disk.random(4);
    for step in 0..count {
        let order = if step == 0 { Order::First } else { next(&machine) };
        machine = obeyed(&machine, order, most, 1, tally)
            .map_err(|error| format!("history {seed}, order {step} {order:?}, {error}"))?;
    }
    Ok(())
}

/// Runs these orders on a box whose flushes are not all done, each cut with `losses` different losses.
pub(super) fn mutated(
    world: &Rc<World>,
    mutant: Mutant,
    revision: u32,
    orders: &[Order],
    losses: u64,
) -> Result<(), String> {
    let mut machine = Machine::flashed(world.clone(), 1, revision);
    machine.disk.mutate(mutant);
    for order in orders {
        machine = obeyed(&machine, *order, u64::MAX, losses, &mut Tally::default())
            .map_err(|error| format!("{order:?}, {error}"))?;
    }
    Ok(())
}

/// The machine after an order, which was also given to copies of it whose power was cut meanwhile.
fn obeyed(
    machine: &Machine,
    order: Order,
    most: u64,
    losses: u64,
    tally: &mut Tally,
) -> Result<Machine, String> {
    rot(machine, order);
    let mut whole = machine.copied(0);
    let before = whole.disk.operations();
    guarded(|| whole.obey(order, &mut |_| {})).map_err(|error| format!("no cut: {error}"))?;
    let operations = whole.disk.operations() - before;
    let stride = operations.div_ceil(most).max(1);
    // Another offset each time, so that a few cuts of many orders are all over them.
    let mut at = 1 + machine.disk.random(stride);
    while at <= operations {
        tally.cuts += 1;
        for loss in 0..losses {
            let mut machine = machine.copied(at + loss * 1000);
            cut(&mut machine, order, at, tally).map_err(|error| format!("cut {at}: {error}"))?;
        }
        at += stride;
    }
    Ok(whole)
}

/// One cut in the `at`th operation of an order, perhaps more of them while the box recovers.
fn cut(machine: &mut Machine, order: Order, at: u64, tally: &mut Tally) -> Result<(), String> {
    let mut more = machine.disk.random(3);
    let mut first = Some(at);
    let mut all = 0;
    let done = guarded(|| {
        machine.obey(order, &mut |disk| {
            if let Some(at) = first.take() {
                all += 1;
                // Whether it falls into this start or a later one: the fuse goes on burning.
                disk.cut_in(at);
            } else if more > 0 && disk.is_off() {
                more -= 1;
                all += 1;
                let soon = 1 + disk.random(20);
                disk.cut_in(soon);
            }
        })
    });
    tally.all += all;
    done
}

fn guarded(run: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

fn next(machine: &Machine) -> Order {
    let nature = match machine.disk.random(5) {
        0 => Nature::Bad,
        1 => Nature::Hangs,
        _ => Nature::Good,
    };
    let other = 1 + usize::try_from(machine.disk.random(3)).unwrap();
    let wanted = (machine.runs() + other) % 4;
    match machine.disk.random(8) {
        0..3 if machine.other_is_settled() => Order::Back,
        3 => Order::Withdraw(wanted),
        4 | 5 => Order::Mend(1 + machine.disk.random(3)),
        _ => Order::Install(wanted, nature),
    }
}

/// Rot for the order that mends it, in the slot that does not run: the other one has to start once more first.
fn rot(machine: &Machine, order: Order) {
    let Order::Mend(places) = order else { return };
    for slot in Label::ALL {
        let Some(bytes) = machine.settled_bytes(slot).filter(|_| !machine.runs_from(slot)) else {
            continue;
        };
        let part = machine.part(slot);
        let layout = Layout::of(bytes).unwrap();
        for _ in 0..places {
            let at = match machine.disk.random(5) {
                0 => machine.disk.random(layout.environment.start),
                1 => layout.environment.start + machine.disk.random(132_104),
                _ => layout.uki.start + machine.disk.random(bytes),
            };
            if machine.disk.random(4) == 0 {
                part.spoil(at);
            } else {
                part.flip(at);
            }
        }
    }
}

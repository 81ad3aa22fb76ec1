//! The simulator, in the manner of `MCUboot`'s: the power is cut in every write and flush of every path.

mod firmware;
mod history;
mod machine;
mod mutation;
mod sim;
mod single;

use std::rc::Rc;

use history::Tally;
use machine::World;

/// Small ones, which cost little time, and one of more than a MiB.
const SIZES: [usize; 4] = [9_000, 30_000, 70_000, (1 << 20) + 5_000];

/// From `UPDATE_CUTS_SEED`, as many as `UPDATE_CUTS_HISTORIES`, with all their cuts: what `scripts/soak update-cuts` runs.
/// Else a few.
#[test]
fn histories() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("UPDATE_CUTS_SEED").unwrap_or(0);
    let (count, most) = match number("UPDATE_CUTS_HISTORIES") {
        Some(count) => (count, u64::MAX),
        None => (8, 6),
    };
    let world = Rc::new(World::new(&SIZES));
    let mut tally = Tally::default();
    for seed in seed..seed + count {
        if let Err(broken) = history::run(&world, seed, most, &mut tally) {
            println!("{broken}");
            panic!("{broken}");
        }
    }
    assert!(tally.cuts > count * 5, "the cuts must fall into every phase");
    println!("{} distinct cuts, {} in all", tally.cuts, tally.all);
}

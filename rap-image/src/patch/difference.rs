//! The instructions that make one file out of another.

use std::convert::Infallible;

use bidiff::{DiffParams, Match};
use rap_core::update::apply::Instruction;

/// The instructions that make `new` out of `old`, each followed by its differences and its new bytes.
pub(super) fn between(old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut patch = Vec::with_capacity(new.len() + new.len() / 64);
    let mut stopped = 0;
    if old.is_empty() {
        // bidiff looks for the longest common piece, and panics where there is nothing to look in.
        let all = Match {
            add_old_start: 0,
            add_new_start: 0,
            add_length: 0,
            copy_end: new.len(),
        };
        write(&all, old, new, &mut stopped, &mut patch);
        return patch;
    }
    let result: Result<(), Infallible> = bidiff::diff(old, new, &DiffParams::default(), |found| {
        write(&found, old, new, &mut stopped, &mut patch);
        Ok(())
    });
    match result {
        Ok(()) => patch,
        Err(never) => match never {},
    }
}

/// Appends what a match is, unless it makes nothing. `stopped` is where the last one stopped taking from `old`.
fn write(found: &Match, old: &[u8], new: &[u8], stopped: &mut usize, patch: &mut Vec<u8>) {
    let (from, copy) = (found.add_old_start, found.copy_start()..found.copy_end);
    if found.add_length == 0 && copy.is_empty() {
        return;
    }
    // Where nothing is taken it does not matter from where.
    let from = if found.add_length == 0 { *stopped } else { from };
    Instruction {
        seek: distance(*stopped, from),
        add: found.add_length as u64,
        copy: copy.len() as u64,
    }
    .write(patch);
    let taken = &old[from..from + found.add_length];
    let made = &new[found.add_new_start..found.copy_start()];
    patch.extend(
        made.iter()
            .zip(taken)
            .map(|(made, taken)| made.wrapping_sub(*taken)),
    );
    patch.extend(&new[copy]);
    *stopped = from + found.add_length;
}

/// Files lie in memory, so their lengths are below 2^63.
fn distance(from: usize, to: usize) -> i64 {
    (to as u64).wrapping_sub(from as u64).cast_signed()
}

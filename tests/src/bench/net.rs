//! `bench net`: how long netfw takes beside `nft -f` alone, and what a session's way carries beside a way without rules.
//! Needs root.
//!
//! Both sides of each comparison run in turns, on namespaces of the same shape; of the runs the middle one counts.

mod apply;
mod path;

use anyhow::ensure;

use super::Figure;

/// How often each side runs.
const ROUNDS: usize = 7;

/// Measures on namespaces made for it, which are gone afterwards.
///
/// # Errors
/// Without root's rights, or when something cannot be set up.
pub fn measure() -> anyhow::Result<Vec<Figure>> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "namespaces by name and their firewalls need root; run it with sudo"
    );
    let mut figures = apply::measure()?;
    figures.extend(path::measure()?);
    Ok(figures)
}

/// The middle one; of none, nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_one_counts() {
        assert!((median(vec![9.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).is_nan());
    }
}

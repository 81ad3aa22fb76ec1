//! How long to wait after a failure: full jitter, so that boxes that failed together do not come back together.

use std::time::Duration;

use super::Patience;

/// No pause is shorter: a failure that comes at once must not become a busy loop.
const SHORTEST: Duration = Duration::from_millis(50);

/// A pause after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::forward) struct Pause {
    /// For what waits already.
    pub(in crate::forward) whole: Duration,
    /// For an alert that comes meanwhile. It need not wait as long as the centre asks, for a machine in need does not
    /// know of that; but it waits for the jitter, which grows with each failure, so that alerts cannot become a storm.
    pub(in crate::forward) for_alert: Duration,
}

/// The pause after `failures` failures in a row before this one, if the centre `asked` for that long. `fraction` is
/// between 0 and 1, evenly.
pub(in crate::forward) fn pause(
    patience: &Patience,
    failures: u32,
    fraction: f64,
    asked: Option<Duration>,
) -> Pause {
    let jitter = full_jitter(patience, failures, fraction);
    // Boxes that were all asked for the same time are spread over as much again.
    let asked = asked.map_or(Duration::ZERO, |asked| asked + jitter.min(asked));
    Pause {
        whole: asked.max(jitter),
        for_alert: jitter,
    }
}

/// A pause between nothing and the bound, evenly. The bound doubles with each failure in a row.
pub(crate) fn full_jitter(patience: &Patience, failures: u32, fraction: f64) -> Duration {
    let bound = patience
        .first_pause
        .saturating_mul(1 << failures.min(16))
        .min(patience.longest_pause);
    bound.mul_f64(fraction).max(SHORTEST)
}

/// Between 0 and 1.
pub(crate) fn random_fraction() -> f64 {
    let mut bytes = [0_u8; 4];
    // Without entropy every pause is half the bound: still a pause.
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(4) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        _ => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_grow_to_their_bound_and_never_vanish() {
        let patience = Patience::default();
        assert_eq!(full_jitter(&patience, 0, 1.0), S);
        assert_eq!(full_jitter(&patience, 3, 0.5), 4 * S);
        assert_eq!(full_jitter(&patience, 99, 1.0), 60 * S);
        assert_eq!(full_jitter(&patience, 0, 0.0), SHORTEST);
    }

    #[test]
    fn what_is_asked_for_is_kept_to_but_by_an_alert() {
        let of = |failures, fraction, asked| pause(&Patience::default(), failures, fraction, asked);
        let pause = |whole, for_alert| Pause { whole, for_alert };
        assert_eq!(of(0, 0.5, None), pause(S / 2, S / 2));
        assert_eq!(of(0, 0.5, Some(100 * S)), pause(100 * S + S / 2, S / 2));
        assert_eq!(of(9, 1.0, Some(100 * S)), pause(160 * S, 60 * S));
        // The centre asks for less than we would wait anyway, or for nothing.
        assert_eq!(of(9, 1.0, Some(S)), pause(60 * S, 60 * S));
        assert_eq!(of(0, 0.0, Some(Duration::ZERO)), pause(SHORTEST, SHORTEST));
    }
}

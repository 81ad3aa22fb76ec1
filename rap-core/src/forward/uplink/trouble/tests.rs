use super::*;
use crate::identity::Validity;

/// 2026-11-24T00:00:00Z.
const TODAY: u64 = 1_795_478_400;
const DAY: u64 = 86_400;

fn times(there: Option<u64>, device: Option<(u64, u64)>) -> Times {
    Times {
        peer: "the service centre",
        authority: crate::identity::AUTHORITY,
        here: TODAY,
        there,
        device: device.map(|(from, until)| Validity { from, until }),
    }
}

#[test]
fn what_is_warned_of_before_it_is_trouble() {
    let good = Some((0, TODAY + 365 * DAY));
    assert!(times(None, good).warnings().is_empty());
    assert!(times(Some(TODAY + APART), good).warnings().is_empty());
    for (there, device, words) in [
        (
            None,
            Some((0, TODAY - DAY)),
            "expired on 2026-11-23T00:00:00Z by the box's clock, which says 2026-11-24",
        ),
        (
            None,
            Some((TODAY + DAY, TODAY + 2 * DAY)),
            "valid only from 2026-11-25T00:00:00Z on",
        ),
        (
            None,
            Some((0, TODAY + DAY)),
            "device.crt expires on 2026-11-25T00:00:00Z",
        ),
        (
            Some(TODAY - 3 * DAY),
            good,
            "the box's clock is 3 days ahead of the service centre's",
        ),
        (
            Some(TODAY + 7_199),
            good,
            "the box's clock is 119 min behind the service centre's",
        ),
    ] {
        let warnings = times(there, device).warnings();
        assert!(warnings.len() == 1 && warnings[0].contains(words), "{warnings:?}");
    }
}

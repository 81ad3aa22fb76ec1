//! What is said of certificates and clocks, for each of what may be true.

use std::time::Duration;

use super::*;

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

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

#[test]
fn an_expired_certificate_or_a_clock_that_is_ahead() {
    let until = TODAY - DAY;
    let said = |there| expired(at(until), &times(there, None));
    assert_eq!(
        said(None),
        "it expired on 2026-11-23T00:00:00Z by the box's clock, which says 2026-11-24: if that is today's date, the \
         service centre needs a new one, else the box's clock is wrong"
    );
    assert_eq!(
        said(Some(until - 1)),
        "it expired on 2026-11-23T00:00:00Z by the box's clock, which says 2026-11-24; by the service centre's own it \
         did not: the box's clock is wrong"
    );
    assert_eq!(
        said(Some(until + 1)),
        "it expired on 2026-11-23T00:00:00Z: the service centre needs a new one"
    );
}

#[test]
fn a_certificate_of_the_future_or_a_clock_that_is_behind() {
    let from = TODAY + DAY;
    let said = |there| not_yet(at(from), &times(there, None));
    assert!(said(None).contains("the box's clock says 2026-11-24: probably the box's clock is behind"));
    assert!(said(Some(from)).contains("by the service centre's own it is valid: the box's clock is behind"));
    assert_eq!(
        said(Some(from - 1)),
        "it is valid only from 2026-11-25T00:00:00Z on"
    );
}

#[test]
fn our_own_certificate_refused_as_expired() {
    let said = |device| of_alert(AlertDescription::CertificateExpired, &times(None, device));
    let prefix = "the service centre refuses this box's certificate: device.crt ";
    for (device, words) in [
        (None, "has expired by its clock"),
        (
            Some((0, TODAY - DAY)),
            "expired on 2026-11-23T00:00:00Z: the box needs a new one",
        ),
        (
            Some((TODAY + DAY, TODAY + 2 * DAY)),
            "is valid only from 2026-11-25T00:00:00Z on",
        ),
        (
            Some((TODAY - DAY, TODAY + DAY)),
            "is valid from 2026-11-23T00:00:00Z until 2026-11-25T00:00:00Z, which is over or to come by the service \
             centre's clock; the box's says 2026-11-24: one of the two clocks is wrong",
        ),
    ] {
        assert_eq!(said(device), format!("{prefix}{words}"));
    }
    let other = of_alert(
        AlertDescription::CertificateUnknown,
        &times(None, Some((0, TODAY - DAY))),
    );
    assert!(
        other.ends_with("it does not accept device.crt, which expired on 2026-11-23T00:00:00Z"),
        "{other}"
    );
}

//! Holding what was seen against what the policy says.

use netfw::policy::{Answer, Verdict};

use crate::case::{Case, From, ROOT, Seen, Spot, UPLINK, Word};
use crate::oracle;
use crate::packet::{Body, RST};
use crate::site::Site;

/// Where a packet of `case` comes when it is let through.
fn goal(site: &Site, case: &Case) -> Spot {
    let destination = case.packet.destination;
    let tunnel = site.network.ports.len() + 1;
    let behind = (0..site.network.ports.len()).find(|nth| {
        let pair = site.network.session_pair(*nth);
        pair.is_some_and(|(_, inner)| destination == inner.addr())
    });
    let in_session = matches!(case.before(), Some((From::Wire { wire, .. }, _)) if *wire == tunnel);
    match (&case.from, behind) {
        (From::Inside { inside, .. }, _) if destination.is_loopback() => Spot::Inside(*inside),
        (From::Inside { inside: ROOT, .. }, _) if destination == site.address.addr() => Spot::Inside(ROOT),
        (From::Inside { inside: ROOT, .. }, Some(nth)) => Spot::Wire(nth + 1),
        (From::Inside { inside, .. }, _) => Spot::Wire(*inside),
        (From::Wire { wire: UPLINK, .. }, _) => Spot::Inside(ROOT),
        (From::Wire { wire, .. }, Some(nth)) if *wire == tunnel => Spot::Wire(nth + 1),
        (From::Wire { wire, .. }, None) if *wire == tunnel => Spot::Inside(ROOT),
        (From::Wire { .. }, _) if in_session => Spot::Wire(tunnel),
        (From::Wire { wire, .. }, _) => Spot::Inside(*wire),
    }
}

/// What is wrong with `seen`, in words; none when it is as the policy says.
pub(crate) fn fault(site: &Site, case: &Case, expected: &Answer, seen: &Seen) -> Option<String> {
    // A connection is reset, which every program understands; a program of the box hears it from its own kernel.
    let resets = matches!(
        (&case.from, &case.packet.body),
        (From::Wire { .. }, Body::Tcp { .. })
    );
    let refused = |word: &Word| match word {
        Word::Reset => resets,
        Word::Icmp(3, 13) | Word::Icmp(1, 1) | Word::NoWay => !resets,
        _ => false,
    };
    let right = match expected.verdict {
        Verdict::Silent => *seen == Seen::default(),
        Verdict::Refused => {
            let told = !seen.words.is_empty() || mute(case);
            seen.delivered.is_empty() && told && seen.words.iter().all(refused)
        }
        Verdict::Delivered => {
            let there = seen.delivered.len() == 1 && seen.delivered.contains(&goal(site, case));
            let answered = seen
                .words
                .iter()
                .any(|word| matches!(word, Word::Accepted | Word::Echo | Word::Datagram));
            let prohibited = seen
                .words
                .iter()
                .any(|word| matches!(word, Word::Icmp(3, 13) | Word::Icmp(1, 1)));
            there && !prohibited && (answered || !oracle::asks(case) || !answerable(case))
        }
    };
    (!right).then(|| {
        let wanted = match expected.verdict {
            Verdict::Delivered => format!("delivered to {:?}", goal(site, case)),
            Verdict::Refused => "refused in words".to_owned(),
            Verdict::Silent => "silence".to_owned(),
        };
        format!(
            "{case}\n    expected: {wanted} ({})\n    seen: {seen}",
            expected.reason
        )
    })
}

/// Nobody has to answer these in words (RFC 1122 §3.2.2, RFC 9293 §3.5.2).
fn mute(case: &Case) -> bool {
    match &case.packet.body {
        Body::Tcp { flags, .. } => flags & RST != 0,
        Body::Icmp { kind, .. } | Body::Error { kind, .. } => {
            if case.packet.source.is_ipv4() {
                matches!(kind, 3 | 4 | 5 | 11 | 12)
            } else {
                *kind < 128 || *kind == 137
            }
        }
        _ => false,
    }
}

/// Whether there is somebody at the packet's destination who would answer it.
fn answerable(case: &Case) -> bool {
    let destination = case.packet.destination;
    let one = match destination {
        std::net::IpAddr::V4(address) => !address.is_broadcast() && !address.is_multicast(),
        std::net::IpAddr::V6(address) => !address.is_multicast(),
    };
    one && case.packet.source != destination
}

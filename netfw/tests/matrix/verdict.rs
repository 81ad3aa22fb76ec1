//! Holding what was seen against what the policy says.

use netfw::policy::{Answer, Verdict};

use crate::case::{Case, From, ROOT, Seen, Spot, UPLINK, Word};
use crate::oracle;
use crate::packet::{Body, RST};
use crate::site::Site;

/// Where a packet of `case` comes when it is let through.
fn goal(site: &Site, case: &Case) -> Spot {
    let destination = case.packet.destination;
    match case.from {
        From::Inside { inside, .. } if destination.is_loopback() => Spot::Inside(inside),
        From::Inside { inside: ROOT, .. } if destination == site.address.addr() => Spot::Inside(ROOT),
        From::Inside { inside, .. } => Spot::Wire(inside),
        From::Wire { wire: UPLINK, .. } => Spot::Inside(ROOT),
        From::Wire { wire, .. } if wire <= site.network.ports.len() => Spot::Inside(wire),
        From::Wire { .. } => {
            let services = (0..site.network.ports.len()).filter_map(|nth| {
                let (_, inner) = site.network.session_pair(nth)?;
                (destination == inner.addr()).then_some(Spot::Wire(nth + 1))
            });
            services.last().unwrap_or(Spot::Inside(ROOT))
        }
    }
}

/// What is wrong with `seen`, in words; none when it is as the policy says.
pub(crate) fn fault(site: &Site, case: &Case, expected: &Answer, seen: &Seen) -> Option<String> {
    let refused = |word: &Word| matches!(word, Word::Reset | Word::Icmp(3, 13) | Word::Icmp(1, 1));
    let right = match expected.verdict {
        Verdict::Silent => *seen == Seen::default(),
        Verdict::Refused if mute(case) => *seen == Seen::default(),
        Verdict::Refused => {
            seen.delivered.is_empty() && !seen.words.is_empty() && seen.words.iter().all(refused)
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

/// Nobody answers these in words (RFC 1122 §3.2.2, RFC 9293 §3.5.2).
fn mute(case: &Case) -> bool {
    match &case.packet.body {
        Body::Tcp { flags, .. } => flags & RST != 0 && matches!(case.from, From::Wire { .. }),
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

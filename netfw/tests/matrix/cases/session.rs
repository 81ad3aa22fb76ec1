//! What an engineer at the far end of the tunnel can send, with sessions open and without.

use std::net::Ipv4Addr;

use netfw::model::{Opening, Protocol};

use super::{Cases, FEW, Probe, STRAY, everything, to_card, too_large};
use crate::case::{From, ROOT, Side};
use crate::packet::{ACK, Body, Packet, SYN};
use crate::site::{ENGINEER, INTERNET, Site, TUNNEL_END};

pub(super) fn add(cases: &mut Cases, site: &Site) {
    let tunnel = site.network.ports.len() + 1;
    let from = to_card(tunnel, "engineer", [0; 6]);
    for (nth, port) in site.network.ports.iter().enumerate() {
        if let Some((outer, inner)) = site.network.session_pair(nth) {
            cases.try_all(
                "an engineer to an instrument",
                &from,
                ENGINEER,
                inner.addr(),
                &everything(),
            );
            cases.try_all("an engineer to the box", &from, ENGINEER, outer.addr(), &FEW);
            let stray = port.remote.first().map_or(22, |opening| opening.port);
            let strays: Vec<_> = STRAY.iter().map(|flags| Probe::Tcp(stray, *flags)).collect();
            cases.try_all(
                "an engineer, out of nothing",
                &from,
                ENGINEER,
                inner.addr(),
                &strays,
            );
            for source in [
                Ipv4Addr::LOCALHOST,
                site.address.addr(),
                site.lan(10),
                outer.addr(),
                inner.addr(),
            ] {
                cases.try_all(
                    "a spoofed source",
                    &from,
                    source,
                    inner.addr(),
                    &[Probe::Tcp(stray, SYN), Probe::Echo],
                );
            }
        }
        errors(cases, site, nth, &from);
        over(cases, site, nth, &from);
        for destination in [port.instrument, port.address.addr()] {
            cases.try_all(
                "an engineer past the service address",
                &from,
                ENGINEER,
                destination,
                &FEW,
            );
        }
    }
    cases.try_all(
        "an engineer to the box",
        &from,
        ENGINEER,
        TUNNEL_END,
        &everything(),
    );
    for destination in [
        site.address.addr(),
        site.lan(10),
        site.lan(20),
        INTERNET,
        Ipv4Addr::LOCALHOST,
    ] {
        cases.try_all("an engineer to the hospital", &from, ENGINEER, destination, &FEW);
    }
}

/// Packets of a session that are too large for the way: each side is told, by whoever finds out.
fn errors(cases: &mut Cases, site: &Site, nth: usize, engineer: &From) {
    let port = &site.network.ports[nth];
    let (Some((outer, inner)), Some(opening)) = (site.network.session_pair(nth), port.remote.first()) else {
        return;
    };
    let gateway = port.address.addr();
    let first = |cases: &Cases| {
        let (from, to) = (cases.own_port(), opening.port);
        let body = match opening.protocol {
            Protocol::Tcp => Body::Tcp { from, to, flags: SYN },
            Protocol::Udp => Body::Udp { from, to },
        };
        Packet::new(ENGINEER, inner.addr(), body)
    };
    let question = first(cases);
    let error = too_large(&question.reversed(), ENGINEER);
    cases.push_after("an error about a session", (engineer, question), engineer, error);

    let question = first(cases);
    let error = too_large(&question.reversed(), outer.addr());
    let inside = From::Inside {
        inside: ROOT,
        via: inner.addr().into(),
    };
    cases.push_after("an error about a session", (engineer, question), &inside, error);

    // The instrument knows the engineer by the gateway's address.
    let question = first(cases);
    let mut about = question.clone();
    (about.source, about.destination) = (gateway.into(), port.instrument.into());
    let error = too_large(&about, port.instrument);
    let instrument = to_card(nth + 1, "instrument", site.instrument(nth)[0].station);
    cases.push_after(
        "an error about a session",
        (engineer, question),
        &instrument,
        error,
    );
}

/// What was let through goes on no longer than the session is open, in either direction.
fn over(cases: &mut Cases, site: &Site, nth: usize, engineer: &From) {
    let port = &site.network.ports[nth];
    let Some((_, inner)) = site
        .network
        .session_pair(nth)
        .filter(|_| site.sessions.contains(&nth))
    else {
        return;
    };
    let instrument = to_card(nth + 1, "instrument", site.instrument(nth)[0].station);
    let packet = |opening: &Opening, ours, flags| {
        let (from, to) = (ours, opening.port);
        let body = match opening.protocol {
            Protocol::Tcp => Body::Tcp { from, to, flags },
            Protocol::Udp => Body::Udp { from, to },
        };
        Packet::new(ENGINEER, inner.addr(), body)
    };
    for (opening, side) in port
        .remote
        .iter()
        .flat_map(|opening| [(opening, Side::Root), (opening, Side::Port)])
    {
        let ours = cases.own_port();
        let next = packet(opening, ours, ACK);
        cases.push_over(side, (engineer, packet(opening, ours, SYN)), engineer, next);
        let question = packet(opening, cases.own_port(), SYN);
        let mut answer = site.translated(&question).reversed();
        if let Body::Tcp { flags, .. } = &mut answer.body {
            *flags = ACK;
        }
        cases.push_over(side, (engineer, question), &instrument, answer);
        let question = packet(opening, cases.own_port(), SYN);
        let error = too_large(&site.translated(&question), port.instrument);
        cases.push_over(side, (engineer, question), &instrument, error);
    }
}

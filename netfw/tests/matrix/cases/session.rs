//! What an engineer at the far end of the tunnel can send, with sessions open and without.

use std::net::Ipv4Addr;

use super::{Cases, FEW, Probe, STRAY, everything, to_card};
use crate::packet::SYN;
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

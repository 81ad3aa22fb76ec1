//! Below IP: whose questions the box answers on a link, whom it believes, and what must not have changed after all
//! cases: addresses, routes, pinned neighbours.

use std::net::Ipv4Addr;
use std::process::Command;

use netfw::model::Ipv6;

use crate::case::UPLINK;
use crate::lab::Lab;
use crate::packet::Live;
use crate::site::{INTERNET, Site, TUNNEL_END, station};
use crate::wire::{EVERYBODY, Moods, Stray};

/// What of a box no packet may change.
pub(crate) type State = Vec<(String, String)>;

/// Numbers of no case.
const NOBODY: Live = 0..0;

/// Asks for every address on every wire; returns how often it asked, and what is wrong.
pub(crate) fn questions(lab: &mut Lab, site: &Site) -> (usize, Vec<String>) {
    let (mut asked, mut wrong) = (0, Vec::new());
    for wire in 0..=site.network.ports.len() {
        let host = lab.wires[wire].hosts[0].clone();
        let own = lab.wires[wire].own;
        let addresses: Vec<_> = everywhere(site)
            .into_iter()
            .filter(|address| Some(*address) != own)
            .collect();
        lab.wires[wire].arp.clear();
        for address in &addresses {
            lab.wires[wire].arp((host.station, host.ipv4()), (EVERYBODY, *address), false);
        }
        lab.settle(&NOBODY, &Moods::new());
        asked += addresses.len();
        let answers = &lab.wires[wire].arp;
        // The one answer is that to the control.
        let foreign = answers.iter().filter(|(address, _)| Some(*address) != own);
        wrong.extend(foreign.map(|(address, _)| format!("wire {wire}: the box says that it has {address}")));
    }
    (asked, wrong)
}

/// Somebody else claims to be each pinned instrument; returns how often.
pub(crate) fn lies(lab: &mut Lab, site: &Site) -> usize {
    let mut told = 0;
    for (nth, port) in site
        .network
        .ports
        .iter()
        .enumerate()
        .filter(|(_, port)| port.mac.is_some())
    {
        let (liar, gateway) = (station(nth + 1, 99), port.address.addr());
        let card = crate::site::card(nth + 1);
        for answer in [true, false] {
            lab.wires[nth + 1].arp((liar, port.instrument), (card, gateway), answer);
            // Of itself, to everybody (RFC 5227 §3).
            lab.wires[nth + 1].arp((liar, port.instrument), (EVERYBODY, port.instrument), answer);
            told += 2;
        }
    }
    lab.settle(&NOBODY, &Moods::new());
    told
}

/// What the box said unasked and has no reason to.
pub(crate) fn strays(lab: &Lab, site: &Site) -> Vec<String> {
    let ipv6 = site.network.uplink.ipv6;
    let allowed = |wire: usize, stray: &Stray| match stray {
        // Neighbour discovery, listener reports, and where routers are believed a call for one.
        Stray::Icmpv6(135 | 136 | 143) => wire == UPLINK && ipv6 != Ipv6::Off,
        Stray::Icmpv6(133) => wire == UPLINK && ipv6 == Ipv6::Slaac,
        Stray::Icmpv6(_) | Stray::Other(_) => false,
    };
    let wires = lab.wires.iter().enumerate();
    let strays = wires.flat_map(|(nth, wire)| wire.strays.iter().map(move |stray| (nth, stray)));
    strays
        .filter(|(wire, stray)| !allowed(*wire, stray))
        .map(|(wire, stray)| format!("{}: the box said, unasked: {stray:?}", lab.wires[wire].name))
        .collect()
}

fn everywhere(site: &Site) -> Vec<Ipv4Addr> {
    let mut list = vec![
        site.address.addr(),
        site.lan(10),
        site.lan(77),
        INTERNET,
        TUNNEL_END,
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::BROADCAST,
    ];
    for (nth, port) in site.network.ports.iter().enumerate() {
        list.push(port.address.addr());
        list.extend(
            port.address
                .hosts()
                .find(|host| ![port.address.addr(), port.instrument].contains(host)),
        );
        let pair = site.network.session_pair(nth);
        list.extend(
            pair.into_iter()
                .flat_map(|(outer, inner)| [outer.addr(), inner.addr()]),
        );
    }
    list.sort_unstable();
    list.dedup();
    list
}

/// The state of every namespace. Where routers of the link are believed, what they say is no part of it.
pub(crate) fn state(lab: &Lab, site: &Site) -> State {
    let mut state = Vec::new();
    for (nth, inside) in lab.insides.iter().enumerate() {
        let believes = nth == 0 && site.network.uplink.ipv6 == Ipv6::Slaac;
        let mut questions = vec![
            "-4 -o address",
            "-4 route show table all",
            "neighbour show nud permanent",
        ];
        if !believes {
            questions.extend(["-6 -o address", "-6 route show table all"]);
        }
        for question in questions {
            let show = || {
                Command::new("ip")
                    .args(question.split(' '))
                    .output()
                    .unwrap()
                    .stdout
            };
            let text = String::from_utf8(inside.namespace.run(show).unwrap()).unwrap();
            state.push((format!("{}: ip {question}", inside.name), without_times(&text)));
        }
        let show = || {
            Command::new("ip")
                .args(["route", "show", "cache"])
                .output()
                .unwrap()
                .stdout
        };
        let cache = String::from_utf8(inside.namespace.run(show).unwrap()).unwrap();
        let redirected = cache
            .lines()
            .filter(|line| line.contains("redirect"))
            .collect::<Vec<_>>()
            .join("\n");
        state.push((format!("{}: redirects", inside.name), redirected));
    }
    state
}

/// What differs, in words.
pub(crate) fn changes(before: &State, after: &State) -> Vec<String> {
    let each = before.iter().zip(after);
    let changed = each.filter(|(before, after)| before != after);
    changed
        .map(|((what, before), (_, after))| format!("{what}: was\n{before}\nand is\n{after}"))
        .collect()
}

fn without_times(text: &str) -> String {
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| {
            let words: Vec<_> = line
                .split_whitespace()
                .filter(|word| !word.ends_with("sec"))
                .collect();
            words.join(" ")
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

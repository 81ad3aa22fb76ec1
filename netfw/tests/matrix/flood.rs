//! Limits: so many at once, and the rest is dropped. What is counted is what gets through.

use std::time::{Duration, Instant};

use netfw::model::{Port, Protocol};

use crate::case::{Case, From, ROOT, Setup, Spot, UPLINK, Word};
use crate::lab::Lab;
use crate::packet::{Body, Packet, SYN};
use crate::run;
use crate::site::{Site, card, station};

/// More than is allowed, of one kind.
pub(crate) struct Flood {
    pub(crate) name: String,
    /// The namespace whose rule holds it back.
    pub(crate) inside: usize,
    waves: Vec<Vec<Case>>,
    /// Between one wave and the next.
    pause: Duration,
    /// What a second and what at once may get through; nothing more comes with time, when the rate is nought.
    rate: u32,
    burst: u32,
    counts: Counts,
}

/// What of a case counts as got through.
#[derive(Clone, Copy)]
enum Counts {
    Delivered,
    Told(Word),
}

/// Those of what an instrument may use. Each is a rule of its own.
pub(crate) fn at_ports(site: &Site) -> Vec<Flood> {
    let ports = site.network.ports.iter().enumerate();
    ports.flat_map(|(nth, port)| at_port(site, nth, port)).collect()
}

impl Flood {
    /// Sends it, and says what is wrong with what got through.
    pub(crate) fn fault(&self, lab: &mut Lab) -> Option<String> {
        let start = Instant::now();
        let mut through = 0;
        for (nth, wave) in self.waves.iter().enumerate() {
            if nth > 0 {
                // Not for luck: the kernel's bucket fills with the time.
                std::thread::sleep(self.pause);
            }
            for cases in wave.chunks(400) {
                let cases: Vec<_> = cases.iter().collect();
                let seen = run::batch(lab, &cases);
                through += seen.iter().filter(|seen| self.counts.has(seen)).count();
            }
        }
        let time = u32::try_from(start.elapsed().as_millis()).unwrap();
        let most = self.burst + self.rate * time / 1000 + 1;
        let sent: usize = self.waves.iter().map(Vec::len).sum();
        let right =
            (usize::try_from(self.burst).unwrap()..=usize::try_from(most).unwrap()).contains(&through);
        (!right).then(|| {
            format!(
                "{}: {through} of {sent} got through in {time} ms, expected {} to {most}",
                self.name, self.burst
            )
        })
    }
}

impl Counts {
    fn has(self, seen: &crate::case::Seen) -> bool {
        match self {
            Self::Delivered => seen.delivered.iter().any(|spot| matches!(spot, Spot::Inside(_))),
            Self::Told(word) => seen.words.contains(&word),
        }
    }
}

fn at_port(site: &Site, nth: usize, port: &Port) -> Vec<Flood> {
    let limits = port.limits;
    let flood = |what: &str, waves, pause, rate, burst| Flood {
        name: format!("{}: {what}", port.name),
        inside: nth + 1,
        waves,
        pause,
        rate,
        burst,
        counts: Counts::Delivered,
    };
    let mut floods = vec![flood(
        "pings",
        vec![each(site, nth, 40, |_| Body::Echo)],
        Duration::ZERO,
        10,
        20,
    )];
    for service in &port.services {
        let to = service.port;
        let opening = move |from| match service.protocol {
            Protocol::Tcp => Body::Tcp { from, to, flags: SYN },
            Protocol::Udp => Body::Udp { from, to },
        };
        let rate = limits.connections_per_second;
        // New ones, each hung up at once where there is something to hang up.
        let quick = vec![each(site, nth, 3 * rate, opening)];
        floods.push(flood(
            &format!("new connections to {}", service.name),
            quick,
            Duration::ZERO,
            rate,
            2 * rate,
        ));
        // Kept ones: as many as the rate allows, and more when it allows more.
        let mut first = each(site, nth, 2 * rate, opening);
        let mut second = each(site, nth, rate, move |from| opening(from + 1000));
        for case in first.iter_mut().chain(&mut second) {
            keep(case);
        }
        let pause = Duration::from_millis(400);
        floods.push(flood(
            &format!("connections to {} at once", service.name),
            vec![first, second],
            pause,
            0,
            limits.connections,
        ));
    }
    let udp = port
        .services
        .iter()
        .find(|service| service.protocol == Protocol::Udp);
    if let Some(service) = udp {
        // One flow, so that no other limit comes first.
        let same = each(site, nth, limits.packets_per_second * 3 / 2, |_| Body::Udp {
            from: 20_000,
            to: service.port,
        });
        let rate = limits.packets_per_second;
        floods.push(flood("packets", vec![same], Duration::ZERO, rate, rate));
    }
    floods
}

/// So many packets of the instrument to its gateway, with ports of its own from 20,000.
fn each(site: &Site, nth: usize, number: u32, body: impl Fn(u16) -> Body) -> Vec<Case> {
    let port = &site.network.ports[nth];
    let from = From::Wire {
        wire: nth + 1,
        name: "instrument",
        station: site.instrument(nth)[0].station,
        to: card(nth + 1),
        astray: false,
    };
    let ports = (20_000..).take(usize::try_from(number).unwrap());
    ports
        .map(|own| {
            Case::new(
                "a flood",
                from.clone(),
                Packet::new(port.instrument, port.address.addr(), body(own)),
            )
        })
        .collect()
}

/// The connection stays: nobody hangs it up.
fn keep(case: &mut Case) {
    case.setup = Setup::Keep;
}

/// What the box tells strangers, and its own programs. There the limit is a part of the rule that tells.
pub(crate) fn refusals(site: &Site) -> Vec<Flood> {
    let own = site.address.addr();
    let stranger = From::Wire {
        wire: UPLINK,
        name: "stranger",
        station: station(0, 20),
        to: card(0),
        astray: false,
    };
    let program = From::Inside {
        inside: ROOT,
        via: site.lan(20).into(),
    };
    let flood = |name: &str, number, rate, burst, from: &From, word, body: fn(u16) -> Body| {
        let (source, destination) = match from {
            From::Wire { .. } => (site.lan(20), own),
            From::Inside { .. } => (own, site.lan(20)),
        };
        let ports = (20_000..).take(number);
        let cases = ports.map(|own| {
            Case::new(
                "a flood",
                from.clone(),
                Packet::new(source, destination, body(own)),
            )
        });
        Flood {
            name: name.to_owned(),
            inside: ROOT,
            waves: vec![cases.collect()],
            pause: Duration::ZERO,
            rate,
            burst,
            counts: Counts::Told(word),
        }
    };
    let prohibited = Word::Icmp(3, 13);
    let udp: fn(u16) -> Body = |from| Body::Udp { from, to: 161 };
    let tcp: fn(u16) -> Body = |from| Body::Tcp {
        from,
        to: 22,
        flags: SYN,
    };
    vec![
        flood("refusals of datagrams", 400, 100, 200, &stranger, prohibited, udp),
        flood(
            "refusals of connections",
            12_000,
            2000,
            4000,
            &stranger,
            Word::Reset,
            tcp,
        ),
        flood("refusals of programs", 400, 100, 200, &program, prohibited, udp),
    ]
}

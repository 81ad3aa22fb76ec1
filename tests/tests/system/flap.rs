//! Cables are pulled and plugged in, again and again. The box gets over it each time, loses nothing, and opens nothing.

use std::thread;
use std::time::Duration;

use rap_qemu::lab::BOX;
use rap_qemu::machine::{Card, Machine};
use rap_tests::random::Random;

use crate::stranger::Strangers;
use crate::{booted_with, deliver, fixed_uplink};

/// Pulls between two times at which the box must have come to rest; there are 50 in all.
const PULLS: [usize; 5] = [10; 5];
/// Reports each instrument posts meanwhile, and the pause after each.
const REPORTS: u64 = 20;
const INTERVAL: Duration = Duration::from_millis(150);
/// How long the box may take to come to rest.
const REST: Duration = Duration::from_secs(60);
const CARDS: [Card; 3] = [Card::Uplink, Card::Port(1), Card::Port(2)];

/// What the site says that the uplink carries.
const MTU: u16 = 1280;

#[test]
fn fifty_pulled_cables_lose_no_report_open_no_door_and_lengthen_no_packet() {
    let Some(mut system) = booted_with(|setup| {
        setup.site = fixed_uplink("vlan = 7\nmtu = 1280");
        setup.layout.vlan = Some(7);
    }) else {
        return;
    };
    let mut random = Random::of_test();
    let strangers = Strangers::around(&system.lab);
    let uplink = system.lab.hospital.capture("uplink").unwrap();
    system.agents.noise = 1000;
    for pulls in PULLS {
        let mut posting = Vec::new();
        for number in 1..=2 {
            let agent = system.agents.start(&system.lab, number, REPORTS, INTERVAL, REST);
            posting.push(agent.unwrap());
        }
        flap(&mut system.machine, &mut random, pulls);
        for agent in &mut posting {
            let ended = agent.wait(REST).unwrap();
            assert!(
                ended.success(),
                "an agent gave up:\n{}",
                system.machine.console().tail(60)
            );
        }
        deliver(&system);
    }
    strangers.expect_nothing();
    let of_the_box = uplink
        .ip()
        .into_iter()
        .filter(|ip| [ip.source, ip.destination].contains(&BOX));
    assert_eq!(of_the_box.map(|ip| ip.length).max(), Some(MTU));
    let reports = system.agents.acknowledged().unwrap().len();
    assert_eq!(reports as u64, PULLS.len() as u64 * 2 * REPORTS);
}

/// Pulls `pulls` cables, by chance which and for how long; in the end all are in.
fn flap(machine: &mut Machine, random: &mut Random, pulls: usize) {
    let mut out = Vec::new();
    for _ in 0..pulls {
        let card = CARDS[usize::try_from(random.below(3)).unwrap()];
        if out.contains(&card) {
            machine.plug_cable(card).unwrap();
            thread::sleep(random.millis(1, 200));
        }
        machine.pull_cable(card).unwrap();
        out.push(card);
        thread::sleep(random.millis(20, 600));
        // Some stay out while others are pulled.
        if random.below(3) > 0 {
            machine.plug_cable(card).unwrap();
            out.retain(|other| *other != card);
        }
    }
    for card in CARDS {
        machine.plug_cable(card).unwrap();
    }
}

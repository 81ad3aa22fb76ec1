//! What was acknowledged outlives the power.

use std::time::Duration;

use rap_qemu::disk::Survivors;
use rap_tests::random::Random;
use rap_tests::system::{BOOT, READY};

use crate::system_with;

/// Reports each of the two instruments posts.
const REPORTS: u64 = 100;
/// How long the agents may need for them, over all cuts.
const PATIENCE: Duration = Duration::from_secs(600);

#[test]
fn two_hundred_reports_survive_three_power_cuts() {
    let Some(mut system) = system_with(|_| {}) else {
        return;
    };
    let mut random = Random::of_test();
    system.boot().unwrap_or_else(|error| panic!("{error:#}"));

    let interval = Duration::from_millis(150);
    let mut posting: Vec<_> = (1..=2)
        .map(|number| {
            system
                .agents
                .start(&system.lab, number, REPORTS, interval, PATIENCE)
                .unwrap()
        })
        .collect();
    for _ in 0..3 {
        std::thread::sleep(random.millis(500, 4500));
        let before = system.agents.acknowledged().unwrap().len();
        eprintln!("power cut with {before} acknowledged");
        // Sometimes the disk was just writing back, in an order of its own.
        let survivors = match random.below(2) {
            0 => Survivors::None,
            _ => Survivors::Half {
                seed: random.below(u64::MAX),
            },
        };
        system.machine.power_cut_sparing(survivors).unwrap();
        system.machine.power_on().unwrap();
        system
            .machine
            .wait_for(READY, BOOT)
            .unwrap_or_else(|error| panic!("{error:#}"));
    }
    for agent in &mut posting {
        let ended = agent.wait(PATIENCE).unwrap();
        assert!(
            ended.success(),
            "an agent gave up: {ended}\n{}",
            system.machine.console().tail(60)
        );
    }
    let delivered = system
        .expect_delivered()
        .unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(delivered, 200);
    let again = system.centre.book().unwrap().duplicates().unwrap();
    eprintln!("{again} arrived again and were recognised");
}

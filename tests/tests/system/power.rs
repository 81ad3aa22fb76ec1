//! What was acknowledged outlives the power.

use std::time::Duration;

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
    let seed = std::env::var("RAP_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("RAP_SEED={seed}");
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
    let mut random = seed;
    for _ in 0..3 {
        // A linear congruential step (Knuth, MMIX): any spread over the moments will do.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(500 + (random >> 33) % 4000));
        let before = system.agents.acknowledged().unwrap().len();
        eprintln!("power cut with {before} acknowledged");
        system.machine.power_cut().unwrap();
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

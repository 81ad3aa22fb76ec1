//! Power cuts of the whole box: the image under real firmware, its disk forgetting what the guest did not flush.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::random::Random;
use crate::system::{BOOT, READY, Setup, System};
use crate::volatile::Survivors;

/// Between an acknowledgement and an agent's next report.
const INTERVAL: Duration = Duration::from_millis(100);
/// An agent's patience with a box that boots again and again.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);
/// More than an agent gets to post.
const REPORTS: u64 = 1_000_000;
/// A boot takes about so long under software emulation.
const BOOT_MS: u64 = 15_000;
/// A life is at most this long once reports flow.
const LIFE_MS: u64 = 5000;

/// What a campaign against the guest did; that every acknowledged report arrived once and in order goes without saying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Its seed.
    pub seed: u64,
    /// Power cuts.
    pub cuts: u64,
    /// How many of them came while the box was starting.
    pub in_boot: u64,
    /// Reports that were acknowledged, and arrived.
    pub acknowledged: usize,
    /// Arrivals that were recognised as repeated.
    pub again: usize,
}

impl fmt::Display for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} cuts ({} of them in a boot), {} acknowledged, 0 lost, {} again",
            self.seed, self.cuts, self.in_boot, self.acknowledged, self.again
        )
    }
}

/// Cuts the power of a box `cuts` times while two instruments post at it, then lets everything arrive.
///
/// # Errors
/// When a part is missing, the box does not boot, or what was acknowledged did not arrive; with the console's end.
pub fn guest(setup: &Setup, seed: u64, cuts: u64) -> anyhow::Result<Guest> {
    let mut system = System::new(setup)?;
    system.agents.alert_every = Some(5);
    let mut random = Random::new(seed);
    let mut posting = Vec::new();
    for number in 1..=setup.instruments {
        let agent = system
            .agents
            .start(&system.lab, number, REPORTS, INTERVAL, PATIENCE)?;
        posting.push(agent);
    }
    let mut in_boot = 0;
    for cut in 1..=cuts {
        system.machine.power_on()?;
        if random.below(3) == 0 {
            in_boot += 1;
            std::thread::sleep(random.millis(0, BOOT_MS));
        } else {
            let before = system.agents.acknowledged()?.len();
            system.machine.wait_for(READY, BOOT)?;
            wait_for_more(&system, before)?;
            std::thread::sleep(random.millis(0, LIFE_MS));
        }
        let survivors = match random.below(3) {
            0 => Survivors::None,
            _ => Survivors::Half {
                seed: random.below(u64::MAX),
            },
        };
        system.machine.power_cut_sparing(survivors)?;
        let acknowledged = system.agents.acknowledged()?.len();
        log::info!("{cut} power cuts, {acknowledged} acknowledged");
    }
    let before = system.agents.acknowledged()?.len();
    system.boot()?;
    wait_for_more(&system, before)?;
    drop(posting);
    Ok(Guest {
        seed,
        cuts,
        in_boot,
        acknowledged: system.expect_delivered()?,
        again: system.centre.book()?.duplicates()?,
    })
}

/// Waits until more than `before` reports are acknowledged.
fn wait_for_more(system: &System, before: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    while system.agents.acknowledged()?.len() <= before {
        ensure!(
            begun.elapsed() < BOOT,
            "nothing is acknowledged after {} s; the console's end:\n{}",
            BOOT.as_secs(),
            system.machine.console().tail(40)
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

//! All faults, at random and by twos, while two instruments post: `scripts/soak faults`, and a slice of it in CI.
//!
//! `FAULTS_SEED` and `FAULTS_ROUNDS` say which and how many stories. A story is the same schedule of faults and reports
//! each time; how they meet is the machine's.

use std::time::{Duration, Instant};

use rap_tests::centre;
use rap_tests::fault::{Dice, Fault, Link, Way};
use rap_tests::keys::{PAST, Role};
use rap_tests::nginx::{Limits, Setup};

use super::ledger::p99;
use super::posters::Posters;
use super::rig::*;

/// Faults of a story.
const FAULTS: u64 = 10;

/// What goes wrong, and where.
#[derive(Debug, Clone, Copy)]
enum Trial {
    /// Between the box and nginx.
    Front(Fault),
    /// Between nginx and the centre.
    Behind(Fault),
    /// nginx refuses.
    Nginx(Limits),
    /// Its certificate has expired.
    Certificate,
    /// The centre does.
    Centre(centre::Fault),
}

impl Trial {
    /// Two in one place would be the second alone.
    fn place(self) -> &'static str {
        match self {
            Self::Front(_) => "front",
            Self::Behind(_) => "behind",
            Self::Nginx(_) | Self::Certificate => "nginx",
            Self::Centre(_) => "centre",
        }
    }
}

/// What a story was.
#[derive(Debug, Default)]
struct Story {
    faults: u64,
    acknowledged: usize,
    duplicates: usize,
    delays: Vec<u64>,
}

#[test]
fn faults_come_and_go_and_nothing_is_lost() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (seed, rounds) = (number("FAULTS_SEED"), number("FAULTS_ROUNDS"));
    let (seed, rounds) = (seed.unwrap_or(1), rounds.unwrap_or(2));
    let mut all = Story::default();
    for seed in seed..seed + rounds {
        println!("story {seed}");
        let Some(story) = tell(seed) else {
            return;
        };
        all.faults += story.faults;
        all.acknowledged += story.acknowledged;
        all.duplicates += story.duplicates;
        all.delays.extend(story.delays);
    }
    all.delays.sort_unstable();
    println!(
        "{} faults, {} reports acknowledged and delivered, {} of them more than once; {} alerts, 99 % overtaken by at \
         most {} batches, all by at most {}",
        all.faults,
        all.acknowledged,
        all.duplicates,
        all.delays.len(),
        p99(&all.delays),
        all.delays.last().copied().unwrap_or_default()
    );
    assert!(
        p99(&all.delays) <= 2,
        "alerts waited for so many batches: {:?}",
        all.delays
    );
}

/// Tells one story; `None` when this machine cannot.
fn tell(seed: u64) -> Option<Story> {
    let mut dice = Dice::new(seed);
    let mut rig = Rig::with_nginx(http())?;
    rig.start(8 + dice.below(24));
    let posters = Posters::start(rig.forwarder().addresses(), seed, &rig.ledger);
    for _ in 0..FAULTS {
        let first = trial(&mut dice);
        let second = dice.once_in(3).then(|| trial(&mut dice));
        let second = second.filter(|second| second.place() != first.place());
        let trials: Vec<Trial> = [Some(first), second].into_iter().flatten().collect();
        println!("  {trials:?}");
        for trial in &trials {
            begin(&mut rig, *trial);
        }
        live_through(&rig, &trials, &mut dice);
        for trial in &trials {
            end(&mut rig, *trial);
        }
        if dice.once_in(2) {
            let batches = rig.ledger.batches();
            wait_until("delivery goes on", || rig.ledger.batches() > batches);
        }
    }
    let posted = posters.stop();
    rig.expect_delivered(&posted);
    wait_until("the trouble is over", || rig.trouble().is_none());
    Some(Story {
        faults: FAULTS,
        acknowledged: posted.iter().map(|posted| posted.acknowledged.len()).sum(),
        duplicates: rig.centre().store().unwrap().duplicates().unwrap(),
        delays: rig.ledger.alert_delays(&posted),
    })
}

fn trial(dice: &mut Dice) -> Trial {
    // A handshake and a little of a request.
    let after = 1 + dice.below(1500);
    let way = dice.pick(&[Way::Up, Way::Down]);
    let slow = Link {
        // A batch and a delay there and back take less than nginx's patience.
        rate: Some(2_000_000),
        delay: dice.time_below(Duration::from_millis(100)),
    };
    let fault = dice.pick(&[
        Fault::Refuse,
        Fault::Stall { up: 0 },
        Fault::Stall { up: after },
        Fault::Reset { way, after },
        Fault::Swallow,
        Fault::HalfClose { after },
        Fault::Trickle(Duration::from_millis(300)),
        Fault::Slow(slow),
    ]);
    let limits = Limits {
        patience: Duration::from_millis(500),
        ..Limits::default()
    };
    // More than the largest report needs.
    let limits_on_size = Limits { body: 7000, ..limits };
    let rate = Some((5, dice.pick(&[429, 503])));
    let limits = dice.pick(&[Limits { rate, ..limits }, limits_on_size]);
    let centre = dice.pick(&[
        centre::Fault::Busy,
        centre::Fault::CaptivePortal,
        centre::Fault::DropReply,
        centre::Fault::Status(500),
        centre::Fault::NoZstd(Some("gzip")),
        centre::Fault::LargerThan(7000),
        centre::Fault::CloseAfter,
        centre::Fault::BreakKept,
    ]);
    match dice.below(10) {
        0..=3 => Trial::Front(fault),
        4..=5 => Trial::Behind(fault),
        6 if dice.once_in(3) => Trial::Certificate,
        6 => Trial::Nginx(limits),
        _ => Trial::Centre(centre),
    }
}

fn begin(rig: &mut Rig, trial: Trial) {
    match trial {
        Trial::Front(fault) => rig.front.set(fault).unwrap(),
        Trial::Behind(fault) => rig.behind.as_ref().unwrap().set(fault).unwrap(),
        Trial::Nginx(limits) => rig.restart_nginx(Setup::Http(limits)),
        Trial::Certificate => {
            rig.family.issue(rig.path(), Role::Centre, Some(PAST)).unwrap();
            rig.restart_nginx(http());
        }
        Trial::Centre(fault) => rig.centre().fault(Some(fault)),
    }
}

fn end(rig: &mut Rig, trial: Trial) {
    match trial {
        Trial::Front(_) => rig.front.set(Fault::Pass).unwrap(),
        Trial::Behind(_) => rig.behind.as_ref().unwrap().set(Fault::Pass).unwrap(),
        Trial::Nginx(_) => rig.restart_nginx(http()),
        Trial::Certificate => {
            rig.family.issue(rig.path(), Role::Centre, None).unwrap();
            rig.restart_nginx(http());
        }
        Trial::Centre(_) => rig.centre().fault(None),
    }
}

/// Waits until the box says what one of the trials makes it say, or delivers all the same; and a moment longer.
fn live_through(rig: &Rig, trials: &[Trial], dice: &mut Dice) {
    let words: Vec<&str> = trials.iter().flat_map(|trial| words(*trial)).copied().collect();
    if words.is_empty() {
        let batches = rig.ledger.batches();
        wait_until("something is delivered", || rig.ledger.batches() > batches + 1);
    } else {
        rig.expect_trouble(&words);
    }
    let (begun, moment) = (Instant::now(), dice.time_below(Duration::from_millis(200)));
    wait_until("a moment has passed", || begun.elapsed() >= moment);
}

/// What the box may say of it; nothing where it delivers all the same.
fn words(trial: Trial) -> &'static [&'static str] {
    match trial {
        Trial::Front(Fault::Refuse) => &["refuses the connection: nothing listens there"],
        Trial::Front(Fault::Stall { .. } | Fault::Swallow | Fault::Trickle(_)) => {
            &["does not answer in time"]
        }
        Trial::Front(Fault::Reset { .. } | Fault::HalfClose { .. }) => &["broke off"],
        Trial::Behind(Fault::Refuse | Fault::Reset { .. } | Fault::HalfClose { .. }) => {
            &["HTTP 502", "HTTP 504"]
        }
        Trial::Behind(Fault::Stall { .. } | Fault::Swallow | Fault::Trickle(_)) => &["HTTP 504"],
        Trial::Nginx(Limits { rate: Some(_), .. }) => &["is busy (HTTP 429)", "is busy (HTTP 503)"],
        Trial::Certificate => &["certificate is refused: it expired on 2020-01-01"],
        Trial::Centre(centre::Fault::Busy) => &["is busy (HTTP 503)"],
        Trial::Centre(centre::Fault::CaptivePortal) => &["not a receipt"],
        // nginx sends no POST twice.
        Trial::Centre(centre::Fault::DropReply | centre::Fault::BreakKept) => &["HTTP 502"],
        Trial::Centre(centre::Fault::Status(_)) => &["HTTP 500"],
        Trial::Front(_) | Trial::Behind(_) | Trial::Nginx(_) | Trial::Centre(_) => &[],
    }
}

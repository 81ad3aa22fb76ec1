//! No room: routine reports wait outside, alerts are taken, and all goes on by itself once there is room.

use std::time::{Duration, Instant};

use rap_core::forward::log::Config;
use rap_tests::centre::Fault;
use rap_tests::cuts::{Setup, Told, Verdict, World};
use rap_tests::instrument::{Agent, Answer};
use rap_tests::volatile::{Survivors, Volatile};

use super::possible;
use super::volatile::on;

const LONG: Duration = Duration::from_secs(60);
/// The port that speaks plain HTTP.
const PORT: usize = 1;
/// Alerts that are posted while routine reports are refused.
const ALERTS: u64 = 20;

/// A box whose centre is busy, and an agent that posts at it.
struct Story {
    world: World,
    agent: Agent,
    routine: Told,
    alerts: Told,
}

impl Story {
    fn new(room: Config) -> Self {
        let world = World::new(Setup {
            room,
            ..Setup::default()
        });
        let world = world.unwrap_or_else(|error| panic!("{error:#}"));
        world.centre().fault(Some(Fault::Busy));
        let told = |name: &str, alert_every| Told {
            name: name.to_owned(),
            source: World::source(PORT),
            alert_every,
            acknowledged: 0,
            posted: 0,
        };
        Self {
            agent: world.agent(PORT).unwrap(),
            world,
            routine: told("routine", None),
            alerts: told("alert", Some(1)),
        }
    }

    /// Starts the forwarder and waits until it answers an alert, whatever it answers.
    fn start(&mut self) {
        self.world.start().unwrap();
        wait("the forwarder answers", || {
            post(&self.world, &self.agent, &mut self.alerts).is_some()
        });
    }

    fn routine(&mut self) -> Answer {
        post(&self.world, &self.agent, &mut self.routine).expect("an answer")
    }

    fn alert(&mut self) -> Answer {
        post(&self.world, &self.agent, &mut self.alerts).expect("an answer")
    }

    /// Posts routine reports until one is refused, then alerts, which are taken.
    fn fill_the_log(&mut self) {
        let begun = Instant::now();
        let refused = loop {
            let answer = self.routine();
            if answer.status != 202 {
                break answer;
            }
            assert!(begun.elapsed() < LONG, "the log takes ever more");
        };
        assert_eq!(refused.status, 503, "{}", refused.body);
        assert!(
            refused.retry_after.is_some_and(|seconds| seconds > 0),
            "{refused:?}"
        );
        for _ in 0..ALERTS {
            let answer = self.alert();
            assert_eq!(answer.status, 202, "{}", answer.body);
        }
        assert_eq!(self.routine().status, 503);
    }

    /// The centre takes reports again: all arrives, and routine reports are taken again, by the same process.
    fn drain(&mut self) {
        assert!(self.world.runs());
        self.world.centre().fault(None);
        wait("routine reports are taken again", || self.routine().status == 202);
        self.expect_delivered();
        assert!(self.world.runs(), "{}", self.world.output());
    }

    fn expect_delivered(&self) {
        let told = [self.routine.clone(), self.alerts.clone()];
        wait("all that was acknowledged arrived", || {
            Verdict::new(&told, &self.world.arrivals()).lost.is_empty()
        });
        let verdict = Verdict::new(&told, &self.world.arrivals());
        assert!(verdict.is_good(), "{verdict:?}");
    }

    fn power_cut(&mut self) {
        self.world.power_cut(Survivors::None).unwrap();
        self.world.restore().unwrap();
        self.start();
    }
}

/// Posts an agent's next report once; `None` when nobody answers.
fn post(world: &World, agent: &Agent, told: &mut Told) -> Option<Answer> {
    told.posted = told.acknowledged + 1;
    let report = told.report(told.posted);
    let answer = world.host().run(|| agent.post(&report)).unwrap().ok()?;
    if answer.status == 202 {
        told.acknowledged = told.posted;
    }
    Some(answer)
}

/// Something else takes all that is left of the partition.
fn take_all_room(disk: &Volatile) {
    on(
        disk,
        "for size in 64k 4k; do dd if=/dev/zero of=$D/other bs=$size oflag=append conv=notrunc status=none || true; done",
    );
    on(
        disk,
        "sync $D/other; ! dd if=/dev/zero of=$D/more bs=8k count=1 status=none",
    );
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < LONG, "still waiting until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_log_at_its_bound_takes_alerts_drains_and_takes_all_again() {
    if !possible() {
        return;
    }
    let mut story = Story::new(Config {
        segment: 64 << 10,
        total: 2 << 20,
    });
    story.start();
    story.fill_the_log();
    story.drain();
    // And again, with a power cut while it is full.
    story.world.centre().fault(Some(Fault::Busy));
    story.fill_the_log();
    story.power_cut();
    story.fill_the_log();
    story.drain();
}

#[test]
fn a_full_partition_takes_alerts_drains_and_takes_all_again() {
    if !possible() {
        return;
    }
    let room = Config {
        segment: 64 << 10,
        total: 16 << 20,
    };
    let mut story = Story::new(room);
    story.start();
    // What alerts are promised is made at once, though not before the first answer: a tenth, and what is made ahead.
    let made = |story: &Story| {
        on(story.world.disk(), "ls $D/forward | grep -c ^segment")
            .trim()
            .parse::<u64>()
    };
    let promised = room.total / room.segment / 20;
    wait("the segments for alerts are there", || {
        made(&story).unwrap() > promised
    });
    take_all_room(story.world.disk());
    let before = made(&story);
    story.fill_the_log();
    assert_eq!(made(&story), before, "a full partition has room after all");
    story.drain();
    // It starts on a full partition, too, with what it has.
    story.world.centre().fault(Some(Fault::Busy));
    story.fill_the_log();
    story.power_cut();
    assert_eq!(story.alert().status, 202);
    assert_eq!(story.routine().status, 503);
    story.drain();
}

#[test]
fn a_partition_full_from_the_start_takes_nothing_until_there_is_room() {
    if !possible() {
        return;
    }
    let mut story = Story::new(Setup::default().room);
    on(story.world.disk(), "mkdir $D/forward");
    take_all_room(story.world.disk());
    story.start();
    assert_eq!(story.alert().status, 503);
    assert_eq!(story.routine().status, 503);
    on(story.world.disk(), "rm $D/other");
    wait("alerts are taken", || story.alert().status == 202);
    wait("routine reports are taken", || story.routine().status == 202);
    story.world.centre().fault(None);
    story.expect_delivered();
    assert!(story.world.runs(), "{}", story.world.output());
}

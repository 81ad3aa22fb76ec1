//! Each rule of the supervisor, and what holds under any sequence of events.

use proptest::prelude::*;

use super::*;

const NETD: Id = 0;
const FORWARD: Id = 1;

fn specs() -> [Spec; 2] {
    let netd = Spec {
        name: "netd",
        vital: true,
        after: None,
        stores: true,
        takes: Some("ingest@"),
        restarts: false,
        speaks: true,
    };
    let forward = Spec {
        name: "forward",
        after: Some("netd"),
        stores: false,
        ..netd
    };
    [netd, forward]
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Both services ready at second 1.
fn running() -> Supervisor {
    let mut supervisor = Supervisor::new(&specs());
    assert_eq!(supervisor.step(seconds(0), Event::Tick), [Action::Start(NETD)]);
    assert_eq!(
        supervisor.step(seconds(1), Event::Ready(NETD)),
        [Action::Start(FORWARD)]
    );
    assert_eq!(
        supervisor.step(seconds(1), Event::Ready(FORWARD)),
        [Action::AllReady]
    );
    supervisor
}

#[test]
fn a_service_waits_for_the_one_before_it() {
    running();
}

#[test]
fn all_ready_is_said_once() {
    let mut supervisor = running();
    supervisor.step(seconds(2), Event::Exited(FORWARD));
    assert_eq!(supervisor.step(seconds(3), Event::Tick), [Action::Start(FORWARD)]);
    assert_eq!(supervisor.step(seconds(4), Event::Ready(FORWARD)), []);
}

#[test]
fn pauses_double_up_to_half_a_minute() {
    let mut supervisor = running();
    let mut now = seconds(2);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        supervisor.step(now, Event::Exited(FORWARD));
        let Phase::Waiting(until) = supervisor.state(FORWARD).0 else {
            panic!("not waiting")
        };
        pauses.push((until - now).as_millis());
        now = until;
        assert_eq!(supervisor.step(now, Event::Tick), [Action::Start(FORWARD)]);
        supervisor.step(now, Event::Heard(NETD));
    }
    assert_eq!(
        pauses,
        [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]
    );
}

#[test]
fn a_healthy_minute_forgives() {
    let mut supervisor = running();
    supervisor.step(seconds(2), Event::Exited(FORWARD));
    supervisor.step(seconds(3), Event::Tick);
    supervisor.step(seconds(3), Event::Ready(FORWARD));
    for now in (10..=70).step_by(10) {
        supervisor.step(seconds(now), Event::Heard(NETD));
        supervisor.step(seconds(now), Event::Heard(FORWARD));
    }
    supervisor.step(seconds(70), Event::Exited(FORWARD));
    assert_eq!(
        supervisor.state(FORWARD).0,
        Phase::Waiting(seconds(70) + FIRST_PAUSE)
    );
    assert_eq!(supervisor.state(FORWARD).1, 2);
}

#[test]
fn the_silent_are_killed() {
    let mut supervisor = running();
    supervisor.step(seconds(50), Event::Heard(NETD));
    assert_eq!(supervisor.deadline(), Some(seconds(61)));
    assert_eq!(supervisor.step(seconds(60), Event::Tick), []);
    assert_eq!(supervisor.step(seconds(61), Event::Tick), [Action::Kill(FORWARD)]);
    assert_eq!(supervisor.step(seconds(62), Event::Tick), []);
    supervisor.step(seconds(62), Event::Exited(FORWARD));
    assert_eq!(supervisor.state(FORWARD).1, 1);
}

#[test]
fn the_slow_starter_is_killed() {
    let mut supervisor = Supervisor::new(&specs());
    supervisor.step(seconds(0), Event::Tick);
    supervisor.step(seconds(100), Event::Heard(NETD));
    assert_eq!(supervisor.deadline(), Some(START));
    assert_eq!(supervisor.step(START, Event::Tick), [Action::Kill(NETD)]);
}

#[test]
fn a_vital_service_that_never_works_ends_the_feeding_and_the_box() {
    let mut supervisor = Supervisor::new(&specs());
    let mut now = seconds(0);
    for failure in 1..=GIVE_UP {
        assert_eq!(supervisor.step(now, Event::Tick), [Action::Start(NETD)]);
        assert!(supervisor.feeds());
        let actions = supervisor.step(now, Event::Exited(NETD));
        assert_eq!(supervisor.loops(NETD), failure >= LOOP);
        if failure == GIVE_UP {
            assert_eq!(actions, [Action::GiveUp(NETD), Action::Finish(Goal::Reboot)]);
        }
        now += LONGEST_PAUSE;
    }
    assert!(!supervisor.feeds());
}

#[test]
fn a_service_that_is_not_vital_may_fail_for_ever() {
    let mut specs = specs();
    specs[FORWARD].vital = false;
    let mut supervisor = Supervisor::new(&specs);
    supervisor.step(seconds(0), Event::Tick);
    supervisor.step(seconds(0), Event::Ready(NETD));
    for now in 1..100 {
        supervisor.step(seconds(now * 30), Event::Heard(NETD));
        supervisor.step(seconds(now * 30), Event::Exited(FORWARD));
    }
    assert!(supervisor.feeds() && supervisor.loops(FORWARD));
}

#[test]
fn replaced_sockets_restart_who_took_them_when_the_storer_is_ready() {
    let mut supervisor = running();
    supervisor.step(seconds(2), Event::Exited(NETD));
    assert_eq!(supervisor.step(seconds(3), Event::Tick), [Action::Start(NETD)]);
    assert_eq!(supervisor.step(seconds(3), Event::Stored(NETD)), []);
    assert_eq!(supervisor.step(seconds(3), Event::Stored(NETD)), []);
    assert_eq!(
        supervisor.step(seconds(4), Event::Ready(NETD)),
        [Action::Terminate(FORWARD)]
    );
    assert_eq!(
        supervisor.step(seconds(5), Event::Exited(FORWARD)),
        [Action::Start(FORWARD)]
    );
    assert_eq!(supervisor.state(FORWARD).1, 0, "that was no failure");
}

#[test]
fn a_reload_restarts_who_comes_after_once_it_is_done() {
    let mut supervisor = running();
    assert_eq!(supervisor.step(seconds(2), Event::Reloading(NETD)), []);
    assert_eq!(supervisor.step(seconds(2), Event::Stored(NETD)), []);
    assert_eq!(
        supervisor.step(seconds(3), Event::Ready(NETD)),
        [Action::Terminate(FORWARD)]
    );
    assert_eq!(
        supervisor.step(seconds(4), Event::Exited(FORWARD)),
        [Action::Start(FORWARD)]
    );
    assert_eq!(supervisor.step(seconds(5), Event::Ready(FORWARD)), []);
    assert_eq!(supervisor.state(FORWARD).1, 0, "that was no failure");
}

#[test]
fn a_reload_reaches_who_comes_after_those_who_come_after() {
    let [netd, forward] = specs();
    let relay = Spec {
        name: "relay",
        takes: None,
        ..forward
    };
    let last = Spec {
        after: Some("relay"),
        ..forward
    };
    let mut supervisor = Supervisor::new(&[netd, relay, last]);
    supervisor.step(seconds(0), Event::Tick);
    for id in 0..3 {
        supervisor.step(seconds(1), Event::Ready(id));
    }
    assert_eq!(supervisor.step(seconds(2), Event::Reloading(0)), []);
    let actions = supervisor.step(seconds(3), Event::Ready(0));
    assert_eq!(actions, [Action::Terminate(1)]);
    // It is restarted once the relay is there again, which it is to go through.
    supervisor.step(seconds(3), Event::Exited(1));
    let actions = supervisor.step(seconds(4), Event::Ready(1));
    assert_eq!(actions, [Action::Terminate(2)]);
    assert_eq!(supervisor.step(seconds(5), Event::Exited(2)), [Action::Start(2)]);
}

#[test]
fn a_service_that_ends_in_a_reload_waits_for_its_end() {
    let mut supervisor = running();
    supervisor.step(seconds(2), Event::Reloading(NETD));
    assert_eq!(supervisor.step(seconds(2), Event::Exited(FORWARD)), []);
    assert_eq!(supervisor.step(seconds(3), Event::Tick), []);
    assert_eq!(
        supervisor.step(seconds(4), Event::Ready(NETD)),
        [Action::Start(FORWARD)]
    );
}

#[test]
fn a_reload_that_never_ends_is_killed() {
    let mut supervisor = running();
    supervisor.step(seconds(2), Event::Reloading(NETD));
    supervisor.step(seconds(60), Event::Heard(FORWARD));
    supervisor.step(seconds(119), Event::Heard(FORWARD));
    assert_eq!(
        supervisor.step(seconds(2) + START, Event::Tick),
        [Action::Kill(NETD)]
    );
}

#[test]
fn shutdown_goes_backwards_and_kills_the_stubborn() {
    let mut supervisor = running();
    let off = Event::Shutdown(Goal::PowerOff);
    assert_eq!(supervisor.step(seconds(2), off), [Action::Terminate(FORWARD)]);
    assert_eq!(supervisor.step(seconds(3), Event::Shutdown(Goal::Reboot)), []);
    assert_eq!(supervisor.deadline(), Some(seconds(12)));
    assert_eq!(supervisor.step(seconds(12), Event::Tick), [Action::Kill(FORWARD)]);
    assert_eq!(
        supervisor.step(seconds(12), Event::Exited(FORWARD)),
        [Action::Terminate(NETD)]
    );
    let finish = Action::Finish(Goal::PowerOff);
    assert_eq!(supervisor.step(seconds(13), Event::Exited(NETD)), [finish]);
    assert_eq!(supervisor.step(seconds(14), Event::Tick), []);
}

#[derive(Debug, Clone, Copy)]
enum Doing {
    Wait(u64),
    Exit(Id),
    Ready(Id),
    Heard(Id),
    Reloading(Id),
    Store,
}

fn doing() -> impl Strategy<Value = Doing> {
    prop_oneof![
        (1_u64..40_000).prop_map(Doing::Wait),
        (0_usize..2).prop_map(Doing::Exit),
        (0_usize..2).prop_map(Doing::Ready),
        (0_usize..2).prop_map(Doing::Heard),
        (0_usize..2).prop_map(Doing::Reloading),
        Just(Doing::Store),
    ]
}

proptest! {
    /// No service is started twice, signalled while it does not run, or forgotten; and shutdown always ends.
    #[test]
    fn what_runs_is_what_was_started(doings in proptest::collection::vec(doing(), 0..200)) {
        let mut supervisor = Supervisor::new(&specs());
        let mut alive = [false; 2];
        let mut now = Duration::ZERO;
        let apply = |alive: &mut [bool; 2], actions: Vec<Action>| {
            for action in actions {
                match action {
                    Action::Start(id) => {
                        assert!(!alive[id], "started twice");
                        alive[id] = true;
                    }
                    Action::Kill(id) | Action::Terminate(id) => assert!(alive[id], "signalled the dead"),
                    Action::Finish(_) => assert_eq!(*alive, [false; 2]),
                    Action::AllReady => assert_eq!(*alive, [true; 2]),
                    Action::GiveUp(_) => {}
                }
            }
        };
        for doing in doings {
            let event = match doing {
                Doing::Wait(millis) => {
                    now += Duration::from_millis(millis);
                    Event::Tick
                }
                Doing::Exit(id) if alive[id] => {
                    alive[id] = false;
                    Event::Exited(id)
                }
                Doing::Ready(id) if alive[id] => Event::Ready(id),
                Doing::Heard(id) if alive[id] => Event::Heard(id),
                Doing::Reloading(id) if alive[id] => Event::Reloading(id),
                Doing::Store if alive[NETD] => Event::Stored(NETD),
                _ => Event::Tick,
            };
            apply(&mut alive, supervisor.step(now, event));
            let idle = alive == [false; 2] && !supervisor.feeds();
            prop_assert!(idle || supervisor.deadline().is_some() || alive.contains(&true), "nothing will ever happen");
        }
        apply(&mut alive, supervisor.step(now, Event::Shutdown(Goal::Reboot)));
        for _ in 0..4 {
            now = supervisor.deadline().unwrap_or(now).max(now);
            apply(&mut alive, supervisor.step(now, Event::Tick));
            if let Some(id) = alive.iter().rposition(|alive| *alive) {
                alive[id] = false;
                apply(&mut alive, supervisor.step(now, Event::Exited(id)));
            }
        }
        prop_assert!(supervisor.finished);
    }
}

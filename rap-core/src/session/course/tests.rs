use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn ticket() -> OpenSession {
    serde_json::from_value(serde_json::json!({
        "session": "s-1", "instrument": "port1", "services": ["tcp/5900"], "engineer": "Ada",
        "purpose": "The pump", "seconds": 600, "idle-seconds": 60, "tunnel": "10.8.0.0/24",
    }))
    .unwrap()
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn by(who: &str) -> Event {
    Event::Consented { by: who.to_owned() }
}

fn asked() -> Course {
    Course::new(ticket(), at(0), at(300)).0
}

fn open() -> Course {
    let mut course = asked();
    course.step(by("Bob"), at(10));
    course.step(Event::Connected(Ipv4Addr::new(10, 8, 0, 6)), at(20));
    course.step(Event::Opened, at(20));
    assert_eq!(course.word(), "open");
    course
}

fn why(course: &Course) -> &str {
    match &course.state {
        State::Ending { why } | State::Ended { why } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_connected_before_yes_and_nothing_open_before_the_tunnel() {
    let mut course = asked();
    assert_eq!(course.step(Event::Connected(Ipv4Addr::LOCALHOST), at(1)), []);
    assert_eq!(course.step(Event::Opened, at(1)), []);
    let actions = course.step(by("Bob"), at(10));
    assert!(actions.contains(&Action::Connect(at(600))), "{actions:?}");
    let address = Ipv4Addr::new(10, 8, 0, 6);
    // The time began with the yes.
    assert_eq!(
        course.step(Event::Connected(address), at(20)),
        [Action::Open(address, at(590))]
    );
}

#[test]
fn silence_is_a_no_and_a_late_yes_is_too_late() {
    let mut course = asked();
    assert_eq!(course.step(Event::Later, at(5)).len(), 1);
    let actions = course.step(by("Bob"), at(300));
    assert_eq!(actions[0], Action::Close);
    assert_eq!(why(&course), "nobody answered, which is a no");
}

#[test]
fn each_clock_ends_it() {
    let mut course = asked();
    course.step(by("Bob"), at(10));
    course.step(Event::Tick, at(70));
    assert_eq!(why(&course), "no tunnel within 60 s");
    let mut course = open();
    course.step(Event::Tick, at(80));
    assert_eq!(why(&course), "nothing passed for 60 s");
    let mut course = open();
    for second in 20..609 {
        course.step(Event::Passed, at(second));
    }
    assert_eq!(course.word(), "open");
    course.step(Event::Passed, at(610));
    assert_eq!(why(&course), "its time is over");
}

#[test]
fn whoever_ends_it_is_named_and_it_is_over_when_all_is_closed() {
    for (event, words) in [
        (Event::Refused { by: "Bob".to_owned() }, "withdrawn by Bob"),
        (
            Event::End {
                by: "the centre".to_owned(),
            },
            "ended by the centre",
        ),
        (Event::Lost("the tunnel broke".to_owned()), "the tunnel broke"),
    ] {
        let mut course = open();
        assert_eq!(course.step(event, at(21))[0], Action::Close);
        assert_eq!(why(&course), words);
        assert_eq!(course.step(by("Bob"), at(22)), []);
        // What could not be closed is closed again.
        assert_eq!(course.step(Event::Tick, at(22)), [Action::Close]);
        assert!(!course.is_over());
        course.step(Event::Closed, at(23));
        assert!(course.is_over());
    }
}

fn events() -> impl Strategy<Value = Vec<(Event, u64)>> {
    let event = prop_oneof![
        Just(by("Bob")),
        Just(Event::Refused { by: "Bob".to_owned() }),
        Just(Event::Later),
        Just(Event::End { by: "c".to_owned() }),
        Just(Event::Connected(Ipv4Addr::LOCALHOST)),
        Just(Event::Opened),
        Just(Event::Lost("x".to_owned())),
        Just(Event::Passed),
        Just(Event::Closed),
        Just(Event::Tick),
    ];
    proptest::collection::vec((event, 0..200_u64), 0..60)
}

proptest! {
    /// Whatever happens in whatever order: what is opened was consented to, and is over at the moment the yes fixed.
    #[test]
    fn what_is_open_ends(events in events()) {
        let mut course = asked();
        let (mut now, mut yes, mut closed) = (at(0), None, false);
        for (event, seconds) in events {
            now += SECOND * u32::try_from(seconds).unwrap();
            let was_asked = course.word() == "asked";
            for action in course.step(event.clone(), now) {
                match action {
                    Action::Connect(time) => {
                        let consented = matches!(event, Event::Consented { .. });
                        prop_assert!(was_asked && yes.is_none() && consented);
                        yes = Some(now + time);
                    }
                    Action::Open(_, time) => prop_assert!(Some(now + time) == yes && !closed),
                    Action::Close => closed = true,
                    Action::Record(..) => {}
                }
            }
            if let Some(until) = yes {
                let open = ["connecting", "open"].contains(&course.word());
                prop_assert!(!open || now < until);
            }
            prop_assert_eq!(closed, ["ending", "ended"].contains(&course.word()));
        }
    }
}

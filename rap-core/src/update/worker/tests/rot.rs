//! What rots is mended, and what is not as it was armed is not kept; a session that goes on is seen, and a person's
//! word counts.

use super::*;

/// A box that has kept the new image.
fn kept() -> Story {
    let mut story = Story::new(true);
    story.run(None);
    story
}

#[test]
fn what_rots_is_brought_from_the_repository_and_looked_for_after_a_confirmation() {
    let mut story = kept();
    let build_id = story.boot();
    let mut worker = Worker::start(story.parts(&build_id)).unwrap();
    story.world.lock().unwrap().slots[1].content = b"something else".to_vec();
    worker.scrub().unwrap();
    assert_eq!(story.world.lock().unwrap().slots[1].content, CONTENT);
    assert_eq!(worker.problems, Vec::<String>::new());
    // Nobody has it: that is said.
    story.world.lock().unwrap().slots[1].content = b"something else".to_vec();
    (worker.parts.repository, worker.offer) = (None, None);
    worker.scrub().unwrap();
    assert_eq!(worker.problems, ["slot B had rotted"]);
}

#[test]
fn a_box_that_came_up_from_the_other_slot_mends_the_first_one_at_once() {
    let mut story = kept();
    assert_eq!(story.boot(), NEW);
    story.world.lock().unwrap().slots[1].content = b"cut off".to_vec();
    // Firmware could not start it, and went on to the old one.
    let mut worker = Worker::start(story.parts(OLD)).unwrap();
    assert_eq!(worker.state.scrubbed, scrub::OVERDUE);
    worker.check_at = Duration::MAX;
    worker.turn().unwrap();
    assert_eq!(story.world.lock().unwrap().slots[1].content, CONTENT);
    assert!(worker.state.scrubbed > scrub::OVERDUE);
}

#[test]
fn an_image_that_is_not_the_one_that_was_armed_is_not_kept() {
    let mut story = Story::new(true);
    assert!(!story.live().unwrap());
    story.world.lock().unwrap().slots[1].content = b"a bit was flipped".to_vec();
    let state = story.run(None);
    let why = state.given_up.unwrap().why;
    assert_eq!(why, "the image in slot B is not the one that was armed");
    assert_eq!(story.running(), OLD);
}

#[test]
fn a_session_that_goes_on_is_seen_as_the_session_service_writes_it() {
    use crate::session::{SessionStatus, Stage, Status};
    let story = Story::new(true);
    let worker = Worker::start(story.parts(OLD)).unwrap();
    assert!(!worker.session());
    for (state, goes_on) in [
        (Stage::Asked, false),
        (Stage::Connecting, true),
        (Stage::Open, true),
        (Stage::Ending, true),
        (Stage::Ended, false),
    ] {
        let session = SessionStatus {
            session: "s-1".to_owned(),
            state,
            port: "port1".to_owned(),
            engineer: "Ada".to_owned(),
            services: "tcp/5900".to_owned(),
            seconds_left: None,
            why: None,
        };
        let status = Status {
            session: Some(session),
            ..Status::default()
        };
        crate::status::write(&worker.parts.setup.status, "session", &status).unwrap();
        assert_eq!(worker.session(), goes_on, "{state:?}");
    }
}

#[test]
fn a_person_confirms_and_goes_back() {
    let mut story = Story::new(true);
    assert!(!story.live().unwrap());
    let build_id = story.boot();
    let mut worker = Worker::start(story.parts(&build_id)).unwrap();
    assert_eq!(worker.confirm_by("a person"), Answer::Done(serde_json::json!({})));
    assert!(matches!(worker.confirm_by("a person"), Answer::Refused(why) if why == "no update is on trial"));
    assert_eq!(worker.roll_back("a person"), Answer::Done(serde_json::json!({})));
    assert!(worker.restarting && worker.state.given_up.is_some());
    assert_eq!(story.running(), OLD);
}

use super::*;
use crate::web::language::Words;
use crate::web::seal::tests::shown;

const NASTY: &str = "<script>alert(1)</script>\" onload='x' &";

fn frame(language: &str) -> Frame<'static> {
    Frame {
        words: Words::accepted(Some(language)),
        name: "rap-ward-3",
        port: "port1",
        here: Some(Route::Remote),
    }
}

fn page(shown: &[Shown], history: &History, said: Option<&str>) -> String {
    let seal = Seal::new().unwrap();
    let remote_page = Remote {
        shown: Some(shown),
        history: Some(history),
        seal: &seal,
        said,
    };
    let page = remote(&frame("en"), &remote_page).into_string();
    // Whoever asks, and in whatever language: sealed.
    assert_eq!(
        page.matches("<form").count(),
        page.matches("name=\"token\"").count()
    );
    page
}

fn past() -> Past {
    Past {
        session: "s-0".parse().unwrap(),
        port: "port1".to_owned(),
        engineer: NASTY.parse().unwrap(),
        purpose: NASTY.parse().unwrap(),
        services: "tcp/5900".to_owned(),
        asked: Some("2026-11-28T10:00:00Z".to_owned()),
        consented: Some(NASTY.to_owned()),
        opened: None,
        ended: Some("2026-11-28T10:01:00Z".to_owned()),
        why: Some(NASTY.to_owned()),
    }
}

#[test]
fn four_answers_where_somebody_asks_and_the_harmless_one_first() {
    let page = page(&[shown()], &History::default(), None);
    let buttons: Vec<_> = page.split("name=\"answer\" value=\"").skip(1).collect();
    let answers: Vec<_> = buttons
        .iter()
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert_eq!(answers, ["later", "refuse", "once", "for-a-time"]);
    for told in ["Ada", "The pump", "tcp/5900", "10:00", "1:00", "8:20"] {
        assert!(page.contains(told), "no {told}: {page}");
    }
    assert!(!page.contains("name=\"pin\""));
    let mut with_pin = shown();
    (with_pin.pin, with_pin.locked_seconds) = (true, Some(899));
    let page = self::page(&[with_pin], &History::default(), None);
    assert!(page.contains("name=\"pin\"") && page.contains("14:59"), "{page}");
}

#[test]
fn one_button_ends_what_goes_on_and_a_yes_for_a_time() {
    for (state, forms) in [("connecting", 1), ("open", 1), ("ending", 0)] {
        let mut on = shown();
        on.state = state.to_owned();
        let page = page(&[on], &History::default(), None);
        assert_eq!(page.matches("value=\"refuse\"").count(), forms, "{state}");
        assert!(!page.contains("value=\"once\""), "{state}");
    }
    let standing = crate::session::people::Standing {
        by: "Bob".parse().unwrap(),
        seconds_left: 61,
    };
    let history = History {
        standing: Some(standing),
        sessions: vec![past()],
    };
    let page = page(&[], &history, None);
    assert!(page.contains("value=\"refuse\"") && page.contains("Bob") && page.contains("1:01"));
    assert!(page.contains("value=\"s-0\""));
}

#[test]
fn what_comes_from_elsewhere_is_text() {
    let mut nasty = shown();
    (nasty.engineer, nasty.purpose) = (NASTY.parse().unwrap(), NASTY.parse().unwrap());
    let history = History {
        standing: None,
        sessions: vec![past()],
    };
    let page = page(&[nasty], &history, Some(NASTY));
    assert!(!page.contains("<script") && !page.contains("\" onload"), "{page}");
    assert!(page.matches("&lt;script&gt;").count() >= 6);
}

#[test]
fn it_is_shown_anew_soon_but_not_under_somebodys_hands() {
    let state = |state: &str| Shown {
        state: state.to_owned(),
        ..shown()
    };
    assert_eq!(again(Some(&[state("asked")])), 501);
    assert_eq!(again(Some(&[state("connecting")])), 3);
    assert_eq!(again(Some(&[state("open")])), 15);
    assert_eq!((again(Some(&[])), again(None)), (15, 15));
}

#[test]
fn the_box_not_knowing_is_said() {
    let seal = Seal::new().unwrap();
    let nothing = Remote {
        shown: None,
        history: None,
        seal: &seal,
        said: None,
    };
    let page = remote(&frame("de"), &nothing).into_string();
    assert!(page.contains("Das Gerät kann es in diesem Augenblick nicht sagen."));
}

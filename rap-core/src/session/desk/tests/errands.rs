//! Orders for agents, sites on trial, updates: what the desk does that is no session.

use super::*;
use crate::forward::inbox::OrderId;
use crate::netd::trial::{Ending, Outcome as Became, Record as Trial};
use crate::site::fingerprint;

const SITE: &str = "version = 1\n";

fn free() -> Rig {
    Rig::with(|house| house.sessions.as_mut().unwrap().forbid.clear())
}

fn put(change: impl Fn(&mut Value)) -> Value {
    let mut command = json!({
        "do": "put-file", "instrument": "port1", "name": "assay.cfg", "purpose": "settings", "bytes": 3,
        "sha256": Sha256::of(b"abc"), "seconds": 60,
    });
    change(&mut command);
    command
}

fn orders(rig: &mut Rig, taken: &[String]) -> Vec<Value> {
    let request = Request::Exchange {
        envelopes: Vec::new(),
        there: None,
        taken: taken.to_vec(),
    };
    let Answer::Done(done) = rig.desk.answer(request, Rig::now(9)) else {
        panic!("refused")
    };
    done["orders"].as_array().unwrap().clone()
}

fn changed(rig: &Rig) -> Vec<Value> {
    let reports = rig.desk.memory.kept().reports(99).into_iter();
    let changed = reports.filter(|report| report.r#type == "rap.settings.changed");
    changed.map(|report| report.data).collect()
}

fn trial(since: u64, ended: Option<(Became, &str)>) -> Trial {
    let ended = ended.map(|(outcome, why)| Ending {
        outcome,
        why: why.to_owned(),
        at: String::new(),
    });
    Trial {
        site: fingerprint(SITE.as_bytes()),
        began: String::new(),
        boot: "b".to_owned(),
        since,
        deadline: since + 120_000,
        ended,
    }
}

#[test]
fn an_order_waits_on_the_disk_until_the_forwarder_has_it() {
    let mut rig = free();
    let envelope = rig.envelope(1, &put(|_| {}));
    let (_, digest) = Envelope::open(envelope.as_bytes(), rig.desk.key.as_ref().unwrap()).unwrap();
    let answer = rig.bring(envelope, 0).pop().unwrap()["answer"].clone();
    let id = OrderId::of(&digest).to_string();
    assert_eq!(
        answer,
        json!({ "outcome": "done", "detail": { "order": id, "seconds": 60 } })
    );
    rig.desk = desk(&rig.folder, &rig.signer, house());
    let waiting = orders(&mut rig, &[]);
    assert_eq!((waiting.len(), &waiting[0]["id"]), (1, &json!(id)));
    assert_eq!(waiting[0]["what"]["put"]["name"], "assay.cfg");
    assert_eq!(orders(&mut rig, &[id]), [Value::Null; 0]);
}

#[test]
fn what_is_no_order_is_refused_in_its_own_words() {
    let mut rig = free();
    let mut words = |command: Value| {
        let told = rig.direct(&command, 0).pop().unwrap();
        let answered = told["answer"]["detail"].as_str().map(str::to_owned);
        rig.desk.refused.1 = None;
        answered.unwrap_or_else(|| told["words"].as_str().unwrap().to_owned())
    };
    let mut says = |change: &dyn Fn(&mut Value), expected: &str| {
        let words = words(put(change));
        assert!(words.contains(expected), "{words}");
    };
    says(
        &|c| c["instrument"] = json!("port9"),
        "this box has no port port9",
    );
    for name in ["../x", "a/b", "..", "a\\b", "\u{202e}gpj.exe", ""] {
        says(&|c| c["name"] = json!(name), "expected 1 to 255 bytes of UTF-8");
    }
    says(&|c| c["bytes"] = json!(1_u64 << 31), "expected 1 to 1073741824");
    says(&|c| c["bytes"] = json!(0), "bytes is 0");
    says(
        &|c| c["seconds"] = json!(0),
        "seconds is 0, expected 1 to 2592000",
    );
    says(&|c| c["sha256"] = json!("abc"), "expected a SHA-256");
    says(
        &|c| c["do"] = json!("run-program"),
        "unknown command \"run-program\"",
    );
    says(&|c| c["path"] = json!("/etc/passwd"), "unknown field `path`");
    assert_eq!(orders(&mut rig, &[]), [Value::Null; 0]);
}

#[test]
fn too_many_orders_are_refused() {
    let mut rig = free();
    let get = json!({ "do": "get-file", "instrument": "port1", "name": "trace.log", "seconds": 60 });
    for _ in 0..super::super::super::memory::MOST_ORDERS {
        assert_eq!(rig.direct(&get, 0).pop().unwrap()["answer"]["outcome"], "done");
    }
    let answer = rig.direct(&get, 0).pop().unwrap()["answer"].clone();
    assert_eq!(answer["outcome"], "refused");
    assert_eq!(orders(&mut rig, &[]).len(), AT_ONCE);
}

#[test]
fn a_new_site_is_told_of_when_its_trial_has_ended() {
    let mut rig = free();
    // The same text was tried before.
    rig.desk.hands.trials = vec![trial(1, Some((Became::Kept, "old")))];
    let put = json!({ "do": "put-settings", "site": SITE });
    assert_eq!(rig.direct(&put, 0).pop().unwrap()["answer"]["outcome"], "done");
    let answer = rig.direct(&put, 1).pop().unwrap()["answer"].clone();
    assert!(
        answer["detail"].as_str().unwrap().contains("on trial"),
        "{answer}"
    );
    rig.desk.tick(Duration::from_secs(2));
    assert_eq!(changed(&rig), [Value::Null; 0]);
    rig.desk.hands.trials.push(trial(2, None));
    rig.desk.tick(Duration::from_secs(3));
    assert_eq!(changed(&rig), [Value::Null; 0]);
    // Its services restart meanwhile, this one too.
    rig.desk = desk(&rig.folder, &rig.signer, house());
    rig.desk.hands.trials = vec![trial(2, Some((Became::Undone, "not confirmed within 120 s")))];
    rig.desk.tick(Duration::from_secs(9));
    let told = changed(&rig).pop().unwrap();
    let words = "not confirmed within 120 s";
    let site = fingerprint(SITE.as_bytes());
    assert_eq!(
        told,
        json!({ "number": 1, "site": site, "state": "undone", "words": words })
    );
    rig.desk.tick(Duration::from_secs(10));
    assert_eq!(changed(&rig).len(), 1);
}

#[test]
fn a_site_that_is_refused_or_was_never_tried_is_not_waited_for() {
    let mut rig = free();
    let put = json!({ "do": "put-settings", "site": SITE });
    rig.desk.hands.refuse = Some("try");
    assert_eq!(rig.direct(&put, 0).pop().unwrap()["answer"]["outcome"], "failed");
    assert!(rig.desk.memory.kept().tried.is_none());
    rig.desk.hands.refuse = None;
    rig.direct(&put, 1);
    rig.desk.tick(Duration::from_secs(2));
    rig.desk.tick(Duration::from_secs(2 + 15 * 60));
    assert_eq!(changed(&rig).pop().unwrap()["state"], "unknown");
}

#[test]
fn the_restart_that_a_new_site_brings_is_no_failure() {
    let mut rig = free();
    let envelope = rig.envelope(1, &json!({ "do": "put-settings", "site": SITE }));
    let (_, digest) = Envelope::open(envelope.as_bytes(), rig.desk.key.as_ref().unwrap()).unwrap();
    rig.bring(envelope, 0);
    // It ended before netd's answer came.
    rig.desk
        .memory
        .change(|kept| kept.docket.settle(1, digest, Outcome::Taken))
        .unwrap();
    rig.desk = desk(&rig.folder, &rig.signer, house());
    let told = rig.desk.memory.kept().reports(9).pop().unwrap().data;
    assert_eq!(
        (&told["do"], &told["answer"]["outcome"]),
        (&json!("interrupted"), &json!("done"))
    );
    assert!(rig.desk.memory.kept().tried.is_some());
}

#[test]
fn the_updater_is_told_to_look() {
    let mut rig = free();
    let check = json!({ "do": "check-update" });
    assert_eq!(rig.direct(&check, 0).pop().unwrap()["answer"]["outcome"], "done");
    assert_eq!(rig.done(), ["check"]);
    rig.desk.hands.refuse = Some("check");
    let answer = rig.direct(&check, 0).pop().unwrap()["answer"].clone();
    assert_eq!(
        answer,
        json!({ "outcome": "failed", "detail": "check does not work" })
    );
}

#[test]
fn a_look_is_told_of_when_it_was_taken_and_holds_up_nothing() {
    let mut rig = free();
    rig.desk.hands.later = true;
    let look = json!({ "do": "diagnose", "look": "ping", "instrument": "port1", "count": 3 });
    let envelope = rig.envelope(1, &look);
    let (_, digest) = Envelope::open(envelope.as_bytes(), rig.desk.key.as_ref().unwrap()).unwrap();
    assert_eq!(rig.bring(envelope.clone(), 0), [Value::Null; 0]);
    // It comes again meanwhile: it is not taken twice.
    let again = rig.bring(envelope, 1).pop().unwrap();
    assert_eq!(
        (&again["do"], &again["answer"]["outcome"]),
        (&json!("again"), &json!("taken"))
    );
    rig.desk.looked(1, digest, Outcome::Done(json!({ "sent": 3 })));
    let told = rig.desk.memory.kept().reports(9).pop().unwrap().data;
    assert_eq!(
        told["answer"],
        json!({ "outcome": "done", "detail": { "sent": 3 } })
    );
    assert_eq!(rig.done(), ["look"]);
}

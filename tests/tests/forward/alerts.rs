//! Rules of site.toml against reports on their way: the alerts arrive at the service centre, once and in order.

use std::path::Path;

use rap_core::site::{EXAMPLE, Site, Trigger};
use rap_tests::centre::Fault;
use serde_json::{Value, json};

use super::rig::*;

const HOT: &str =
    "[[trigger]]\nname = \"hot\"\ntype = \"t\"\nfield = \"/celsius\"\nabove = 30\nhysteresis = 2\n";

fn rules() -> Vec<Trigger> {
    let (site, _) = EXAMPLE.split_once("[[trigger]]").unwrap();
    Site::parse(&format!("{site}{HOT}"), Path::new("s"))
        .unwrap()
        .triggers
}

fn report(id: &str, celsius: f64) -> Value {
    json!({"specversion": "1.0", "id": id, "type": "t", "data": {"celsius": celsius}})
}

fn watched() -> Rig {
    let mut rig = Rig::new();
    start(&mut rig);
    rig
}

fn start(rig: &mut Rig) {
    rig.start(|config| config.listeners[0].triggers = rules());
}

/// Type, cause and alert (for one that is over: of what) of the box's own events, in the order of their arrival.
fn alerts(rig: &Rig) -> Vec<(String, String, Value)> {
    let events = rig.centre.store().unwrap().events().unwrap();
    let ours = events.into_iter().filter(|event| event.source == "/lab");
    ours.map(|event| {
        assert_eq!(
            (event.lane.as_str(), event.event["subject"].as_str()),
            ("alert", Some("port1/hot"))
        );
        let kind = event.event["type"]
            .as_str()
            .unwrap()
            .trim_start_matches("rap.trigger.")
            .to_owned();
        let data = &event.event["data"];
        let of = if kind == "raised" {
            event.event["id"].clone()
        } else {
            data["alert"].clone()
        };
        (kind, data["cause"].as_str().unwrap().to_owned(), of)
    })
    .collect()
}

fn kinds(rig: &Rig) -> Vec<(String, String)> {
    alerts(rig)
        .into_iter()
        .map(|(kind, cause, _)| (kind, cause))
        .collect()
}

fn edge(kind: &str, cause: &str) -> (String, String) {
    (kind.to_owned(), cause.to_owned())
}

#[test]
fn an_excursion_is_one_alert_and_its_end_another_also_when_posted_again() {
    let rig = watched();
    let agent = rig.agent();
    let batch = json!([
        report("a", 20.0),
        report("b", 30.5),
        report("c", 40.0),
        report("d", 28.5)
    ]);
    for event in [
        &batch,
        &report("e", 27.9),
        &batch,
        &report("b", 30.5),
        &report("f", 31.0),
    ] {
        assert_eq!(agent.post(event).unwrap().status, 202);
    }
    rig.delivered(6 + 3);
    assert_eq!(
        kinds(&rig),
        [edge("raised", "b"), edge("cleared", "e"), edge("raised", "f")]
    );
    let alerts = alerts(&rig);
    assert_eq!(alerts[0].2, alerts[1].2);
    assert_ne!(alerts[0].2, alerts[2].2);
    // The other port has no rules.
    let plain = super::ingest::raw(
        rig.address(1),
        "POST /v1/status",
        "Content-Type: application/cloudevents+json\r\n",
        &report("x", 99.0).to_string(),
    );
    assert!(plain.starts_with("HTTP/1.1 202"));
    rig.delivered(10);
    assert_eq!(kinds(&rig).len(), 3);
}

#[test]
fn an_alert_is_as_durable_as_its_report_and_rules_begin_anew() {
    let mut rig = Rig::new();
    rig.centre.fault(Some(Fault::Busy));
    start(&mut rig);
    assert_eq!(rig.agent().post(&report("a", 31.0)).unwrap().status, 202);
    rig.forwarder = None;
    rig.centre.fault(None);
    start(&mut rig);
    rig.delivered(2);
    assert_eq!(kinds(&rig), [edge("raised", "a")]);
    assert_eq!(rig.agent().post(&report("b", 29.0)).unwrap().status, 202);
    assert_eq!(rig.agent().post(&report("c", 32.0)).unwrap().status, 202);
    rig.delivered(5);
    assert_eq!(kinds(&rig), [edge("raised", "a"), edge("raised", "c")]);
}

#[test]
fn a_full_log_refuses_the_report_but_not_its_alert() {
    let mut rig = Rig::new();
    rig.centre.fault(Some(Fault::Busy));
    start(&mut rig);
    let agent = rig.agent();
    let large = |k: usize| json!({"specversion": "1.0", "id": format!("r{k}"), "type": "large", "data": "x".repeat(20_000)});
    let taken = (0..1000)
        .take_while(|k| agent.post(&large(*k)).unwrap().status == 202)
        .count();
    assert!(taken < 1000);
    // Small ones still fit behind the large ones for a while.
    let small = |k: usize| json!({"specversion": "1.0", "id": format!("s{k}"), "type": "small"});
    let more = (0..1000)
        .take_while(|k| agent.post(&small(*k)).unwrap().status == 202)
        .count();
    assert!(more < 1000);
    for _ in 0..3 {
        assert_eq!(agent.post(&report("a", 31.0)).unwrap().status, 503);
    }
    rig.centre.fault(None);
    rig.delivered(taken + more + 1);
    assert_eq!(kinds(&rig), [edge("raised", "a")]);
    wait_until("the report is taken", || {
        agent.post(&report("a", 31.0)).unwrap().status == 202
    });
    rig.delivered(taken + more + 2);
    assert_eq!(
        kinds(&rig).len(),
        1,
        "the report that came again raised nothing new"
    );
}

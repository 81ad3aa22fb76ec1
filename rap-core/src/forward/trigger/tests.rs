//! Rules against sequences of reports; and against any sequence, what must hold of all.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::forward::event::{Format, Limits, parse};
use crate::site::{EXAMPLE, Site};

fn rule(text: &str) -> Trigger {
    let (site, _) = EXAMPLE.split_once("[[trigger]]").unwrap();
    let text = format!("{site}[[trigger]]\nname = \"r\"\ntype = \"t\"\nfield = \"/v\"\n{text}");
    Site::parse(&text, std::path::Path::new("s"))
        .unwrap()
        .triggers
        .remove(0)
}

/// One port under watch, its clock, and the reports posted to it.
struct Port {
    watch: Watch,
    now: Moment,
    posted: u64,
    alerts: u64,
}

impl Port {
    fn new(rules: Vec<Trigger>) -> Self {
        let now = Moment {
            monotonic: Duration::from_secs(5),
            wall: 1_700_000_000_000,
        };
        let watch = Watch::new("/lab/port1".to_owned(), rules, now);
        Self {
            watch,
            now,
            posted: 0,
            alerts: 0,
        }
    }

    fn event(&self, id: &str, data: &str) -> Event {
        let body = format!(r#"{{"specversion":"1.0","id":"{id}","type":"t","data":{data}}}"#);
        parse(body.as_bytes(), Format::Single, "/lab/port1", &Limits::default())
            .unwrap()
            .remove(0)
    }

    fn judge(&mut self, event: &Event) -> Judgement {
        let alerts = &mut self.alerts;
        self.watch.judge(std::slice::from_ref(event), self.now, || {
            *alerts += 1;
            format!("alert-{alerts}")
        })
    }

    /// Posts a report with `v` after `seconds`; the types and data of the alerts.
    fn post(&mut self, seconds: u64, v: &str) -> Vec<(String, Json)> {
        self.now.monotonic += Duration::from_secs(seconds);
        self.now.wall += seconds * 1000;
        self.posted += 1;
        let event = self.event(&format!("id-{}", self.posted), &format!("{{\"v\":{v}}}"));
        let judgement = self.judge(&event);
        let alerts = judgement.alerts.iter().map(|record| {
            let event: Json = serde_json::from_slice(&record.event).unwrap();
            (event["type"].as_str().unwrap().to_owned(), event)
        });
        let alerts = alerts.collect();
        self.watch.settle(judgement);
        alerts
    }

    /// `+` for each alert raised, `-` for each cleared, `.` for a report with neither.
    fn edges(&mut self, step: u64, values: &[&str]) -> String {
        values.iter().map(|v| sign(&self.post(step, v))).collect()
    }
}

fn sign(alerts: &[(String, Json)]) -> char {
    match alerts {
        [] => '.',
        [(kind, _)] if kind == "rap.trigger.raised" => '+',
        [(kind, _)] if kind == "rap.trigger.cleared" => '-',
        more => panic!("{more:?}"),
    }
}

#[test]
fn an_excursion_is_one_alert_and_hysteresis_keeps_it_from_flapping() {
    let mut port = Port::new(vec![rule("above = 10\nhysteresis = 2")]);
    let values = ["9", "10", "10.1", "11", "8.5", "10.5", "8.1", "8", "9.9", "10.5"];
    assert_eq!(port.edges(1, &values), "..+....-.+");
    let mut port = Port::new(vec![rule("below = -10\nhysteresis = 2")]);
    assert_eq!(
        port.edges(1, &["0", "-10", "-10.1", "-8.1", "-8", "-9"]),
        "..+.-."
    );
}

#[test]
fn texts_truths_and_numbers_are_compared_with_their_own_kind() {
    let mut port = Port::new(vec![rule("equals = \"error\"")]);
    let values = [
        "\"idle\"",
        "\"error\"",
        "null",
        "7",
        "[]",
        "\"err\\u006fr\"",
        "\"idle\"",
    ];
    assert_eq!(port.edges(1, &values), ".+....-");
    let mut port = Port::new(vec![rule("differs = true")]);
    assert_eq!(port.edges(1, &["true", "false", "\"false\"", "true"]), ".+.-");
    let mut port = Port::new(vec![rule("equals = 3")]);
    assert_eq!(port.edges(1, &["3.0", "30e-1", "3.1"]), "+.-");
}

#[test]
fn for_is_by_the_monotonic_clock_and_starts_again_after_a_value_that_does_not_match() {
    let mut port = Port::new(vec![rule("above = 10\nfor = \"1m\"")]);
    assert_eq!(
        port.edges(20, &["11", "11", "11", "9", "11", "11", "11", "11", "11", "9"]),
        ".......".to_owned() + "+.-"
    );
}

#[test]
fn clock_jumps_change_nothing_but_what_people_read() {
    let mut port = Port::new(vec![rule("above = 10\nfor = \"1m\"")]);
    assert_eq!(port.edges(20, &["11"]), ".");
    port.now.wall = 0;
    assert_eq!(port.edges(20, &["11"]), ".");
    port.now.wall = 4_000_000_000_000;
    assert_eq!(port.edges(10, &["11"]), ".");
    let raised = port.post(30, "11");
    assert_eq!(sign(&raised), '+');
    assert_eq!(raised[0].1["data"]["seconds"], 60);
}

#[test]
fn a_change_is_within_its_time_and_in_proportion_when_reports_are_rare() {
    let mut port = Port::new(vec![rule("above = 5\nper = \"1m\"")]);
    // Slowly up by four a minute, then a jump by six, level again for a minute.
    assert_eq!(port.edges(30, &["0", "2", "4", "6", "12", "12", "12"]), "....+.-");
    let mut port = Port::new(vec![rule("above = 5\nper = \"1m\"")]);
    assert_eq!(port.edges(600, &["0", "40", "100"]), "..+");
    // Two reports at the same instant.
    let mut port = Port::new(vec![rule("above = 5\nper = \"1m\"")]);
    assert_eq!(port.edges(0, &["0", "5", "6"]), "..+");
}

#[test]
fn the_alert_says_why() {
    let mut port = Port::new(vec![rule("above = 10\nfor = \"20s\"")]);
    let mut raised = Vec::new();
    for v in ["10.50", "11", "12"] {
        raised.extend(port.post(10, v));
    }
    let alert = &raised[0].1;
    let expected = serde_json::json!({
        "specversion": "1.0", "id": "alert-1", "source": "/lab", "type": "rap.trigger.raised",
        "subject": "port1/r", "priority": "alert", "datacontenttype": "application/json",
        "data": {
            "rule": "r", "instrument": "/lab/port1", "report-type": "t", "field": "/v",
            "condition": "above 10, for 20 s", "cause": "id-3", "watching-since": "2023-11-14T22:13:20Z",
            "seconds": 20, "reports": 3,
            "matched": [
                {"value": 10.5, "received": "2023-11-14T22:13:30Z"},
                {"value": 11, "received": "2023-11-14T22:13:40Z"},
                {"value": 12, "received": "2023-11-14T22:13:50Z"},
            ],
        },
    });
    assert_eq!(*alert, expected);
    let cleared = port.post(10, "1").remove(0).1;
    assert_eq!(cleared["id"], "alert-2");
    assert_eq!(cleared["data"]["alert"], "alert-1");
    assert_eq!(cleared["data"]["ended"]["value"], 1);
    assert_eq!(cleared["data"]["seconds"], 30);
    assert_eq!(cleared["data"]["cause"], "id-4");
}

#[test]
fn evidence_is_bounded() {
    let mut port = Port::new(vec![rule("differs = \"\"")]);
    let long = format!("\"{}\"", "ä".repeat(1000));
    assert_eq!(sign(&port.post(1, &long)), '+');
    for _ in 0..100 {
        port.post(1, &long);
    }
    let cleared = &port.post(1, "\"\"")[0].1["data"];
    assert_eq!(cleared["reports"], 101);
    let matched = cleared["matched"].as_array().unwrap();
    assert_eq!(matched.len(), excursion::KEPT);
    assert!(matched.iter().all(|m| m["value"].as_str().unwrap().len() < 300));
}

#[test]
fn a_report_that_was_not_stored_is_judged_again_and_one_that_was_is_not() {
    let mut port = Port::new(vec![rule("above = 10")]);
    let high = port.event("a", r#"{"v":11}"#);
    assert_eq!(port.judge(&high).alerts.len(), 1);
    let judgement = port.judge(&high);
    assert_eq!(judgement.alerts.len(), 1, "the first judgement was not settled");
    port.watch.settle(judgement);
    assert_eq!(sign(&port.post(1, "1")), '-');
    assert!(port.judge(&high).alerts.is_empty(), "an old report posted again");
    // The alert was stored, the report was not: judged again, it raises no second one.
    let higher = port.event("b", r#"{"v":12}"#);
    let judgement = port.judge(&higher);
    assert_eq!(judgement.alerts.len(), 1);
    port.watch.settle_without_reports(judgement);
    let judgement = port.judge(&higher);
    assert!(judgement.alerts.is_empty());
    assert_eq!(judgement.judged, ["b"]);
    for k in 0..2 * REMEMBERED {
        port.watch.judged.remember(k.to_string());
    }
    assert_eq!(
        (port.watch.judged.ids.len(), port.watch.judged.order.len()),
        (REMEMBERED, REMEMBERED)
    );
}

#[test]
fn other_types_and_reports_without_the_field_say_nothing() {
    let mut port = Port::new(vec![rule("above = 10")]);
    assert_eq!(sign(&port.post(1, "11")), '+');
    let mut other = port.event("x", r#"{"v":1}"#);
    other.kind = "other".to_owned();
    for event in [other, port.event("y", r#"{"w":1}"#), port.event("z", "7")] {
        assert!(port.judge(&event).alerts.is_empty());
    }
    assert_eq!(sign(&port.post(1, "1")), '-');
}

#[derive(Debug, Clone)]
struct Report {
    seconds: u64,
    value: f64,
    wall: u64,
}

fn reports() -> impl Strategy<Value = Vec<Report>> {
    let report = (0_u64..40, -15_i32..15, any::<u32>()).prop_map(|(seconds, value, wall)| Report {
        seconds,
        value: f64::from(value),
        wall: u64::from(wall) * 1000,
    });
    proptest::collection::vec(report, 1..60)
}

proptest! {
    /// Against the definition, computed from the whole history: above 5 with hysteresis 3, for 30 s.
    #[test]
    fn edges_are_what_the_definition_says(reports in reports()) {
        let mut port = Port::new(vec![rule("above = 5\nhysteresis = 3\nfor = \"30s\"")]);
        let (mut time, mut since, mut raised) = (0_u64, None, false);
        for report in &reports {
            time += report.seconds;
            port.now.wall = report.wall;
            let found = sign(&port.post(report.seconds, &report.value.to_string()));
            let expected = if raised {
                raised = report.value > 2.0;
                if raised { '.' } else { since = None; '-' }
            } else if report.value > 5.0 {
                let begin = *since.get_or_insert(time);
                raised = time - begin >= 30;
                if raised { '+' } else { '.' }
            } else {
                since = None;
                '.'
            };
            prop_assert_eq!(found, expected, "at {} s of {:?}", time, reports);
        }
    }

    #[test]
    fn edges_alternate_and_memory_is_bounded_whatever_comes(reports in reports(), per in 1_u64..100) {
        let rules = vec![
            rule(&format!("above = 5\nper = \"{per}s\"")),
            rule(&format!("below = -3\nhysteresis = 1\nper = \"{per}s\"\nfor = \"10s\"")),
        ];
        let mut port = Port::new(rules);
        let mut last = ["rap.trigger.cleared".to_owned(), "rap.trigger.cleared".to_owned()];
        for report in &reports {
            for (kind, event) in port.post(report.seconds, &report.value.to_string()) {
                let which = usize::from(event["data"]["condition"].as_str().unwrap().contains("below"));
                prop_assert_ne!(&kind, &last[which]);
                last[which] = kind;
            }
            for state in &port.watch.states {
                prop_assert!(state.change.len() <= change::SPACES as usize + 2);
            }
        }
    }
}

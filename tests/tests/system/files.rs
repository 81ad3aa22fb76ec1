//! What the service centre asks of the booted box that is no session: a file for an instrument, one of it, looks.

use std::time::Duration;

use rap_core::digest::Sha256;
use rap_tests::centre::put;
use rap_tests::directing::{Director, told};
use rap_tests::system::{KEYS, Setup};
use serde_json::{Value, json};

use crate::{agent, booted_with, workspace};

const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn a_file_comes_to_one_instrument_one_goes_back_and_the_centre_looks_at_it() {
    let mut director = Director::new(&workspace().join(KEYS), "rap-demo").unwrap();
    let directed = |setup: &mut Setup| {
        setup.identity = director.keys().identity();
        setup.site += "\n[sessions]\nprefix = \"100.64.7.0/24\"\ntunnel = \"10.9.0.10:1194\"\n";
    };
    let Some(system) = booted_with(directed) else {
        return;
    };
    let mut ask = |command: Value| {
        let answer = director.ask(&system, &command, PATIENCE);
        let answer = answer.unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(answer["outcome"], "done", "{command}: {answer}");
        answer["detail"].clone()
    };
    let file: Vec<u8> = (0..300_000_u32)
        .map(|place| u8::try_from(place % 251).unwrap())
        .collect();
    let digest = Sha256::of(&file);
    put(&system.centre.asks().join("outbox"), "assay", &file).unwrap();
    let order = ask(json!({
        "do": "put-file", "instrument": "port1", "name": "assay.cfg", "purpose": "settings", "bytes": file.len(),
        "sha256": digest, "seconds": 600,
    }));
    let state = |order: &Value, state: &str| {
        let is_it = |kind: &str, data: &Value| {
            kind == "rap.inbox.changed" && data["order"] == order["order"] && data["state"] == state
        };
        told(&system, PATIENCE, is_it).unwrap_or_else(|error| panic!("{state}: {error:#}"))
    };
    state(&order, "ready");
    let inbox = |instrument| {
        let list = system
            .lab
            .instrument(instrument)
            .run(|| agent().get("/v1/inbox"))
            .unwrap()
            .unwrap();
        serde_json::from_str::<Value>(&list).unwrap()
    };
    assert_eq!(inbox(2), json!([]));
    assert_eq!(
        (&inbox(1)[0]["id"], &inbox(1)[0]["sha256"]),
        (&order["order"], &json!(digest))
    );
    let id = order["order"].as_str().unwrap();
    let read = || agent().inbox_file(id);
    assert_eq!(system.lab.instrument(1).run(read).unwrap().unwrap(), file);
    let take = || agent().post_to(&format!("/v1/inbox/{id}/taken"));
    assert_eq!(system.lab.instrument(1).run(take).unwrap().unwrap(), 200);
    state(&order, "taken");

    let wish = ask(json!({ "do": "get-file", "instrument": "port1", "name": "trace.log", "seconds": 600 }));
    let refuse = format!("/v1/inbox/{}/refused", wish["order"].as_str().unwrap());
    let refuse = || agent().post_json(&refuse, &json!({ "why": "no such trace" }));
    assert_eq!(system.lab.instrument(1).run(refuse).unwrap().unwrap(), 200);
    state(&wish, "refused");

    let ping = ask(json!({ "do": "diagnose", "look": "ping", "instrument": "port1", "count": 3 }));
    assert_eq!(ping["said"]["received"], 3, "{ping}");
    let tcp = ask(json!({ "do": "diagnose", "look": "tcp", "instrument": "port1", "port": 9 }));
    assert_eq!(tcp["said"]["answer"], "closed", "{tcp}");
    ask(json!({ "do": "diagnose", "look": "counters", "instrument": "port2" }));
}

//! Remote sessions with the real OpenVPN, netd, relay and session service in namespaces: an engineer, a box, two
//! instruments.
//!
//! Needs root, `ip` (iproute2), `nft` (nftables) and `openvpn`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the message; clippy sees tests only inside #[test] functions"
)]

mod netd_lab;
mod session_lab;

use std::time::{Duration, Instant};

use serde_json::json;
use session_lab::{SERVICE, Story, dies};

/// How long what was ended may still get through.
const AT_ONCE: Duration = Duration::from_secs(1);

#[test]
fn netd_process() {
    netd_lab::be_netd();
}

#[test]
fn session_process() {
    session_lab::be_one();
}

#[test]
fn nothing_before_yes_then_exactly_the_ticket_and_nothing_a_second_after_no() {
    let Some(mut story) = Story::new("y") else { return };
    story.ask(600, 300);
    let asked = story.session(&json!({ "do": "requests", "port": "port1" }));
    assert_eq!(asked["done"][0]["engineer"], "Ada", "{asked}");
    let elsewhere = story.session(&json!({ "do": "requests", "port": "port2" }));
    assert_eq!(elsewhere["done"], json!([]));
    assert!(!story.has_tunnel() && story.connect(SERVICE[0], 5900).is_err());
    // Somebody at another port cannot say yes.
    let other = story.say("port2", "once");
    assert!(
        other["refused"].as_str().unwrap().contains("at this port"),
        "{other}"
    );
    assert!(!story.has_tunnel());

    story.say("port1", "once");
    story.until("open");
    let (engineer, instrument) = story.connected();
    story.openvpn_has_no_right_and_took_no_route();
    // Another port of it, another instrument, the box itself, the hospital's side of it.
    assert!(story.connect(SERVICE[0], 22).is_err());
    assert!(story.connect(SERVICE[1], 5900).is_err());
    for place in [[10, 200, 0, 0], [10, 8, 0, 6], [192, 168, 1, 1]] {
        for port in [22, 3128, 8443] {
            assert!(story.connect(place.into(), port).is_err(), "{place:?}:{port}");
        }
    }
    let dead = dies(engineer, instrument);
    let said = Instant::now();
    story.say("port1", "refuse");
    let took = dead.join().unwrap().saturating_duration_since(said);
    assert!(took < AT_ONCE, "alive for {took:?} after the no");
    assert_eq!(story.why(), "withdrawn by Bob at port1");
    story.closed();
}

#[test]
fn the_kernels_clock_and_openvpns_end_it_while_the_service_is_stopped() {
    let Some(mut story) = Story::new("k") else { return };
    story.ask(12, 300);
    story.say("port1", "once");
    let consented = Instant::now();
    story.until("open");
    let (engineer, instrument) = story.connected();
    story.stop_service();
    let dead = dies(engineer, instrument)
        .join()
        .unwrap()
        .duration_since(consented);
    assert!(dead > Duration::from_secs(9), "it ended early: {dead:?}");
    assert!(dead < Duration::from_secs(12) + AT_ONCE, "{dead:?}");
    // OpenVPN's own began when it was connected.
    story.wait("OpenVPN has ended", Story::has_no_openvpn);
}

#[test]
fn silence_between_the_two_ends_it() {
    let Some(mut story) = Story::new("i") else { return };
    story.ask(600, 3);
    story.say("port1", "once");
    story.until("open");
    story.until("ended");
    assert_eq!(story.why(), "nothing passed for 3 s");
    story.closed();
}

#[test]
fn openvpn_or_relay_gone_ends_it() {
    for (test, who) in [("o", "openvpn"), ("r", "relay")] {
        let Some(mut story) = Story::new(test) else { return };
        story.ask(600, 300);
        story.say("port1", "once");
        story.until("open");
        let (engineer, instrument) = story.connected();
        let dead = dies(engineer, instrument);
        let killed = Instant::now();
        story.kill(who);
        let took = dead.join().unwrap().saturating_duration_since(killed);
        assert!(took < AT_ONCE, "{who}: alive for {took:?}");
        story.until("ended");
        story.closed();
    }
}

#[test]
fn the_centre_ends_it_and_after_a_restart_nothing_is_open() {
    let Some(mut story) = Story::new("e") else { return };
    story.ask(600, 300);
    story.say("port1", "once");
    story.until("open");
    story.direct(&json!({ "do": "end-session", "session": "s-1" }));
    assert_eq!(story.why(), "ended by the service centre");
    story.closed();

    story.ask(600, 300);
    story.say("port1", "once");
    story.until("open");
    story.restart_service();
    story.closed();
    assert_eq!(
        story.session(&json!({ "do": "status" }))["done"]["session"],
        json!(null)
    );
}

#[test]
fn the_centre_looks_at_an_instrument_past_a_firewall_that_stays_shut() {
    let Some(mut story) = Story::new("l") else { return };
    let listener = story.instrument_listens();
    let port = listener.local_addr().unwrap().port();
    let mut look = |look: serde_json::Value| story.look(&look);
    let ping = look(json!({ "look": "ping", "instrument": "port1", "count": 3 }));
    assert_eq!(ping["outcome"], "done", "{ping}");
    let told = &ping["detail"];
    assert_eq!(
        (&told["said"]["sent"], &told["said"]["received"]),
        (&json!(3), &json!(3)),
        "{told}"
    );
    assert_eq!(
        (&told["address"], &told["also"]),
        (&json!("192.168.1.50"), &json!([])),
        "{told}"
    );
    let tcp = |port| json!({ "look": "tcp", "instrument": "port1", "port": port });
    assert_eq!(look(tcp(port))["detail"]["said"]["answer"], "open");
    assert_eq!(look(tcp(1))["detail"]["said"]["answer"], "closed");
    // Nobody has opened anything: the same from a program of the box does not get through.
    assert!(story.box_connects(port).is_err());
    let mut look = |look: serde_json::Value| story.look(&look);
    let counters = look(json!({ "look": "counters", "instrument": "port1" }));
    assert!(counters["detail"]["drops"].is_array(), "{counters}");
    let name = look(json!({ "look": "dns", "name": "no/name" }));
    assert!(
        name["detail"].as_str().unwrap().contains("is no host name"),
        "{name}"
    );
    let name = look(json!({ "look": "dns", "name": "localhost" }));
    assert!(
        name["detail"]["addresses"]
            .as_array()
            .unwrap()
            .contains(&json!("127.0.0.1")),
        "{name}"
    );
    story.unplug_instrument();
    let nobody = story.look(&json!({ "look": "ping", "instrument": "port1", "count": 1 }));
    assert!(
        nobody["detail"]
            .as_str()
            .unwrap()
            .contains("answers to ARP for 192.168.1.50"),
        "{nobody}"
    );
}

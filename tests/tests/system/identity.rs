//! A box that was given no identity makes its keys itself, gets its certificate, and later the next one: over the real
//! firmware, firewall, relay and service centre. People are at its debug shell, the authority is on the desk.

use std::time::{Duration, Instant};

use rap_core::enrol::certificate::{Certificate, Facts};
use rap_image::keys::Passphrase;
use rap_image::provision::{Authority, Subject, Term, answer};
use rap_tests::system::{DELIVERY, System};
use serde_json::Value;

use crate::{booted_with, debug_image, workspace};

/// Where the answer lies on the box.
const ANSWER: &str = "/run/answer.pem";

#[test]
fn a_box_makes_its_keys_gets_its_certificate_and_renews_it() {
    let Some(mut system) = booted_with(|setup| {
        setup.image = debug_image();
        setup.own_keys = true;
    }) else {
        return;
    };
    // It waits, and whoever is asked says for what.
    for service in ["identity", "forward"] {
        let status = status(&system, service, |status| status["trouble"].is_string());
        let trouble = status["trouble"].as_str().unwrap();
        assert!(
            trouble.contains("waits for its certificate"),
            "{service}: {trouble}"
        );
    }
    let request = pem(&system.shell("rapctl identity csr").unwrap());
    let first = sign(&system, &request);
    bring(&system, &first.0);
    let said = run(&system, "install", 0);
    assert!(
        said.contains("is in use") && said.contains("authority came with it"),
        "{said}"
    );
    assert!(run(&system, "csr", 1).contains("rapctl identity renew"));
    reports_come_by(&mut system, &first.1);

    // The next one, which the service centre does not take: the first stays in use.
    let request = pem(&system.shell("rapctl identity renew").unwrap());
    let second = sign(&system, &request);
    assert_ne!(second.1.key, first.1.key);
    system.centre.refuse(&second.1.sha256.to_string()).unwrap();
    bring(&system, &second.0);
    let said = run(&system, "install --wait", 1);
    assert!(
        said.contains("not taken") && said.contains("403") && said.contains("before stays in use"),
        "{said}"
    );
    reports_come_by(&mut system, &first.1);

    // The same keys, certified once more, are taken.
    let third = sign(&system, &request);
    bring(&system, &third.0);
    let said = run(&system, "install --wait", 0);
    assert!(said.contains("took the new certificate"), "{said}");
    reports_come_by(&mut system, &third.1);
    let said = run(&system, "show", 0);
    assert!(said.contains(&third.1.sha256.to_string()), "{said}");

    // The page and the rest of the box are as tight as before.
    is_hardened(&system);
}

/// `rapctl identity VERB`, with the answer where it installs one; what it said, with that exit code.
fn run(system: &System, verb: &str, code: u8) -> String {
    let file = if verb.starts_with("install") { ANSWER } else { "" };
    let said = system.shell(&format!("rapctl identity {verb} {file} 2>&1; echo status=$?"));
    let said = said.unwrap();
    assert!(said.contains(&format!("status={code}")), "{said}");
    said
}

/// What is between the first BEGIN and the last END, without the shell's own words.
fn pem(text: &str) -> String {
    let from = text.find("-----BEGIN").expect("a request");
    let end = "-----END CERTIFICATE REQUEST-----";
    let until = text.rfind(end).expect("its end") + end.len();
    format!("{}\n", &text[from..until])
}

/// Answers a request as the desk does; the text, and what the certificate says.
fn sign(system: &System, request: &str) -> (String, Facts) {
    let asked = status(system, "identity", |status| status["request"].is_object());
    let text = |name: &str| asked["request"][name].as_str().unwrap().to_owned();
    let authority = Authority::load(&workspace().join("keys/dev"), &Passphrase::known("")).unwrap();
    let subject = Subject::new(&text("name"), &text("serial")).unwrap();
    let term = Term::new(jiff::Timestamp::now(), 5).unwrap();
    let answer = answer(&authority, &subject, request, &[], term).unwrap();
    assert_eq!(answer.keys[0].to_string(), text("key"));
    let facts = Certificate::read_all(answer.pem.as_bytes())
        .unwrap()
        .remove(0)
        .facts;
    (answer.pem, facts)
}

/// Types a file into the box.
fn bring(system: &System, text: &str) {
    system.shell(&format!("rm -f {ANSWER}")).unwrap();
    let lines: Vec<_> = text.lines().collect();
    // A line of the terminal has room for so many.
    for few in lines.chunks(12) {
        let typed: Vec<_> = few.iter().map(|line| format!("echo {line} >>{ANSWER}")).collect();
        system.shell(&typed.join("; ")).unwrap();
    }
}

/// Waits until a service says what `is_it` wants.
fn status(system: &System, service: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let status = system.status(service).unwrap();
        if is_it(&status) {
            return status;
        }
        assert!(
            begun.elapsed() < DELIVERY,
            "{status}\n{}",
            system.machine.console().tail(40)
        );
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Reports are delivered, and the service centre sees them come by that certificate. The forwarder that was there before a
/// certificate came may still send the first ones by the one it had.
fn reports_come_by(system: &mut System, facts: &Facts) {
    let begun = Instant::now();
    loop {
        status(system, "forward", |status| {
            status["trouble"].is_null() && status["delivered"].is_u64()
        });
        system.agents.post(&system.lab, 1, 1).unwrap();
        system.expect_delivered().unwrap();
        let arrivals = system.centre.book().unwrap().events().unwrap();
        let last = arrivals.last().expect("arrivals");
        if last.device == facts.sha256.to_string() {
            return;
        }
        assert!(
            begun.elapsed() < DELIVERY,
            "the last report came by {}, expected {}\n{}",
            last.device,
            facts.sha256,
            system.machine.console().tail(40)
        );
    }
}

/// Waits until `rapctl hardening` says yes: a service that restarts for its certificate is not there for a moment.
fn is_hardened(system: &System) {
    let begun = Instant::now();
    loop {
        let said = system.shell("rapctl hardening --brief; echo status=$?").unwrap();
        if said.contains("status=0") {
            return;
        }
        assert!(begun.elapsed() < DELIVERY, "{said}");
    }
}

//! What a person says on the page: by a real browser, and what nobody else can say for them.

use std::time::{Duration, Instant};

use rap_tests::browser::{self, Browser};

use super::Rig;
use super::seen::lacks;
use super::sessions::{PIN, Sessions};

/// Everything a form of ours is sent with.
const HEADERS: [&str; 3] = [
    "Host: rap.local",
    "Origin: https://rap.local",
    "Content-Type: application/x-www-form-urlencoded",
];

impl Rig {
    /// Posts a form; returns the status and the page.
    fn post(&self, headers: &[&str], body: &str) -> (u16, String) {
        let head = format!("POST /remote HTTP/1.1\r\n{}\r\n", headers.join("\r\n"));
        let length = body.len();
        let answer = self
            .send(format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}").as_bytes());
        let text = String::from_utf8(answer).unwrap();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("{text}")), text)
    }

    /// The form that is shown, as it is sent with this answer.
    fn form(&self, answer: &str) -> String {
        let (_, page) = self.get("/remote");
        let value = |name: &str| {
            let (_, rest) = page
                .split_once(&format!("name=\"{name}\" value=\""))
                .unwrap_or_else(|| panic!("no {name}: {page}"));
            rest.split('"').next().unwrap().to_owned()
        };
        let shown = if page.contains("name=\"shown\"") {
            value("shown")
        } else {
            String::new()
        };
        format!(
            "token={}&session={}&shown={shown}&answer={answer}&by=Bob",
            value("token"),
            value("session")
        )
    }
}

#[test]
fn a_person_says_yes_in_a_browser_with_the_pin_and_ends_it() {
    if !browser::is_there() {
        return lacks("chromium and chromium-driver");
    }
    let rig = Rig::start();
    let Some(mut sessions) = Sessions::start(&rig, "require-pin = true") else {
        return;
    };
    let browser = Browser::start().unwrap();
    browser
        .open(&format!("https://{}/remote", rig.address()))
        .unwrap();
    until(&browser, "Nobody asks to see this instrument");
    sessions.ask();
    // The page is shown anew by itself.
    until(&browser, "Ada, Vendor Service asks to see this instrument");
    let fill = |name: &str, pin: &str| {
        browser.type_into("#by", name).unwrap();
        browser.type_into("#pin", pin).unwrap();
    };
    fill("Bob", "4711");
    browser.click("button[value=once]").unwrap();
    until(&browser, "the PIN is wrong; after 4 more the port is locked");
    assert_eq!(sessions.state(), "asked");
    fill("Bob", PIN);
    browser.click("button[value=once]").unwrap();
    until(&browser, "Ada, Vendor Service is being connected");
    assert_eq!(sessions.state(), "connecting");
    browser.click("button[value=refuse]").unwrap();
    until(&browser, "Nobody asks to see this instrument");
    let last = sessions.last();
    assert_eq!(last["consented"], "Bob at port1 says yes to 1800 s", "{last}");
    assert_eq!(last["why"], "withdrawn by somebody at port1", "{last}");
    let complaints = browser.complaints().unwrap();
    // That a form was answered with 403 is what it was asked for.
    assert!(
        complaints.iter().all(|text| text.contains("403")),
        "{complaints:?}"
    );
}

fn until(browser: &Browser, words: &str) {
    let begun = Instant::now();
    loop {
        // It may be shown anew in the very moment it is read.
        let text = browser.text("body").unwrap_or_default();
        if text.contains(words) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "no `{words}`: {text}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn nobody_elses_form_counts() {
    let rig = Rig::start();
    let Some(mut sessions) = Sessions::start(&rig, "") else {
        return;
    };
    sessions.ask();
    let form = rig.form("once");
    let with = |changed: &str| {
        let name = changed.split(':').next().unwrap();
        let others = HEADERS.into_iter().filter(|header| !header.starts_with(name));
        let mut headers: Vec<&str> = others.collect();
        headers.extend([changed].iter().filter(|header| !header.ends_with(": -")));
        rig.post(&headers, &form).0
    };
    for (header, status) in [
        ("Origin: https://evil.example", 403),
        ("Origin: null", 403),
        ("Origin: -", 403),
        ("Origin: http://rap.local", 403),
        ("Host: evil.example", 403),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Sec-Fetch-Site: none", 403),
        ("Content-Type: text/plain", 415),
        ("Content-Type: application/json", 415),
        ("Content-Type: -", 415),
        ("Content-Encoding: gzip", 415),
    ] {
        assert_eq!(with(header), status, "{header}");
    }
    // A name that leads here and is its own origin is none of ours (DNS rebinding).
    let rebound = ["Host: evil.example", "Origin: https://evil.example", HEADERS[2]];
    assert_eq!(rig.post(&rebound, &form).0, 403);
    let changed = |from: &str, to: &str| rig.post(&HEADERS, &form.replace(from, to)).0;
    assert_eq!(changed("token=", "token=0"), 403);
    assert_eq!(changed("shown=", "shown=0"), 409);
    assert_eq!(changed("session=s-1", "session=s-2"), 409);
    assert_eq!(changed("&by=Bob", ""), 400);
    assert_eq!(changed("answer=once", "answer=always"), 400);
    assert_eq!(changed("&by=Bob", "&by=Bob&port=port2"), 400);
    assert_eq!(rig.post(&HEADERS, "").0, 400);
    assert_eq!(rig.post(&HEADERS, &"x".repeat(4097)).0, 413);
    assert_eq!(sessions.state(), "asked");

    // What it is asked for has changed since the person read it.
    sessions.ask_for("Something else");
    let (status, page) = rig.post(&HEADERS, &form);
    assert_eq!(status, 409);
    assert!(
        page.contains("read it again") && page.contains("Something else"),
        "{page}"
    );
    assert_eq!(sessions.state(), "asked");
    let (status, answer) = rig.post(&HEADERS, &rig.form("once"));
    assert!(status == 303 && answer.contains("location: /remote"), "{answer}");
    assert_eq!(sessions.state(), "connecting");
}

#[test]
fn wrong_pins_lock_the_port_and_a_no_is_heard_all_the_same() {
    let rig = Rig::start();
    let Some(mut sessions) = Sessions::start(&rig, "require-pin = true") else {
        return;
    };
    sessions.ask();
    let say = |pin: &str| rig.post(&HEADERS, &format!("{}&pin={pin}", rig.form("once")));
    for _ in 0..4 {
        assert!(say("0000").1.contains("the PIN is wrong"));
    }
    assert!(say("0000").1.contains("no yes is heard from this port"));
    let (status, page) = say(PIN);
    assert_eq!(status, 403);
    assert!(page.contains("for 14:5"), "{page}");
    assert_eq!(sessions.state(), "asked");
    let (status, _) = rig.post(&HEADERS, &rig.form("refuse").replace("by=Bob", "by="));
    assert_eq!((status, sessions.state().as_str()), (303, "ended"));
    assert_eq!(sessions.last()["why"], "refused by somebody at port1");
}

#[test]
fn a_yes_for_a_time_is_shown_and_taken_back() {
    let rig = Rig::start();
    let Some(mut sessions) = Sessions::start(&rig, "") else {
        return;
    };
    sessions.ask();
    let (status, _) = rig.post(&HEADERS, &format!("{}&hours=4", rig.form("for-a-time")));
    assert_eq!(status, 303);
    sessions.end();
    let (_, page) = rig.get("/remote");
    assert!(
        page.contains("Bob has said yes to whoever asks, for 239:"),
        "{page}"
    );
    assert_eq!(rig.post(&HEADERS, &rig.form("refuse")).0, 303);
    assert!(!rig.get("/remote").1.contains("has said yes"));
    sessions.ask();
    assert_eq!(sessions.state(), "asked", "it stands no more");
}

#[test]
fn without_the_session_service_the_page_says_so_and_nothing_counts() {
    let rig = Rig::start();
    let (head, page) = rig.get("/remote");
    assert!(head.starts_with("HTTP/1.1 200") && page.contains("cannot tell at this moment"));
    assert!(!page.contains("<form"), "{page}");
    let (status, _) = rig.post(&HEADERS, "token=0&session=s-1&answer=once&by=Bob");
    assert_eq!(status, 403);
}

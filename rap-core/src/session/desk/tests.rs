mod errands;
mod refusals;

use std::net::Ipv4Addr;

use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};

use super::super::house::tests::house;
use super::super::openvpn::line;
use super::*;
use crate::directive::{Diagnostic, DocketId, Envelope, signed_bytes};
use crate::folder::Directory;

/// What was done, in words; and what is not to work.
#[derive(Default)]
struct Fake {
    done: Vec<String>,
    refuse: Option<&'static str>,
    passed: bool,
    /// Looks take time.
    later: bool,
    trials: Vec<crate::netd::trial::Record>,
}

impl Fake {
    fn note(&mut self, what: String) -> Result<(), String> {
        let refused = self.refuse.filter(|refused| what.starts_with(refused));
        self.done.push(what);
        refused.map_or(Ok(()), |refused| Err(format!("{refused} does not work")))
    }
}

impl Hands for Fake {
    fn connect(&mut self, _: &OpenSession, time: Duration) -> Result<(), String> {
        self.note(format!("connect {}", time.as_secs()))
    }
    fn open(&mut self, ticket: &OpenSession, address: Ipv4Addr, time: Duration) -> Result<(), String> {
        self.note(format!(
            "open {} {} {address} {}",
            ticket.instrument,
            services(ticket),
            time.as_secs()
        ))
    }
    fn close(&mut self, ticket: &OpenSession) -> Result<(), String> {
        self.note(format!("close {}", ticket.instrument))
    }
    fn passed(&mut self) -> bool {
        self.passed
    }
    fn try_site(&mut self, _: &str) -> Result<Value, String> {
        self.note("try".to_owned()).map(|()| json!({}))
    }
    fn identity(&mut self, answer: Option<&str>) -> Result<Value, String> {
        let what = answer.map_or("renew".to_owned(), |answer| format!("install {answer}"));
        self.note(what).map(|()| json!({ "request": "PEM" }))
    }
    fn look(&mut self, _: &Diagnostic, _: u64, _: Sha256) -> Option<Outcome> {
        let looked = self.note("look".to_owned());
        (!self.later).then(|| looked.map_or_else(Outcome::Failed, |()| Outcome::Done(json!({}))))
    }
    fn trials(&mut self) -> Vec<crate::netd::trial::Record> {
        self.trials.clone()
    }
    fn check_update(&mut self) -> Result<(), String> {
        self.note("check".to_owned())
    }
}

#[derive(Default)]
struct Records(Vec<String>);

impl Record for Records {
    fn record(&mut self, what: Kind, facts: &[(&str, &str)]) {
        self.0.push(format!("{} {facts:?}", what.id()));
    }
}

struct Rig {
    folder: tempfile::TempDir,
    signer: KeyPair,
    desk: Desk<Directory, Fake, Records>,
    number: u64,
}

const DOCKET: [u8; 16] = [7; 16];

impl Rig {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut House)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let signer = KeyPair::generate().unwrap();
        let mut house = house();
        change(&mut house);
        let desk = desk(&folder, &signer, house);
        Self {
            folder,
            signer,
            desk,
            number: 0,
        }
    }

    fn now(seconds: u64) -> Now {
        Now {
            boot: Duration::from_secs(seconds),
            wall: Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap(),
        }
    }

    fn envelope(&self, number: u64, command: &Value) -> String {
        let issued = Self::now(0).wall;
        let payload = json!({
            "version": 1, "box": self.desk.house.name, "docket": DocketId::new(DOCKET), "number": number,
            "issued": issued.to_string(), "expires": (issued + Duration::from_secs(3600)).to_string(),
            "command": command,
        })
        .to_string();
        let signature = self.signer.sign(&signed_bytes(payload.as_bytes())).unwrap();
        serde_json::to_string(&Envelope::new(payload.as_bytes(), Some(&signature))).unwrap()
    }

    /// The centre asks this, and the box has these new reports.
    fn direct(&mut self, command: &Value, at: u64) -> Vec<Value> {
        self.number += 1;
        let envelope = self.envelope(self.number, command);
        self.bring(envelope, at)
    }

    fn bring(&mut self, envelope: String, at: u64) -> Vec<Value> {
        self.exchange(vec![envelope], at)
    }

    fn exchange(&mut self, envelopes: Vec<String>, at: u64) -> Vec<Value> {
        let taken = self.desk.memory.kept().reports(99);
        let taken = taken.into_iter().map(|report| report.id).collect();
        let there = None;
        let request = Request::Exchange {
            envelopes,
            there,
            taken,
        };
        let Answer::Done(done) = self.desk.answer(request, Self::now(at)) else {
            panic!("refused")
        };
        let exchanged: Exchanged = serde_json::from_value(done).unwrap();
        exchanged.reports.into_iter().map(|report| report.data).collect()
    }

    fn say(&mut self, port: &str, answer: &str, at: u64) -> Answer {
        self.say_with(
            port,
            &json!({ "session": "s-1", "answer": answer, "by": "Bob" }),
            at,
        )
    }

    fn say_with(&mut self, port: &str, consent: &Value, at: u64) -> Answer {
        let consent = serde_json::from_value(consent.clone()).unwrap();
        let port = port.to_owned();
        self.desk
            .answer(Request::Consent { port, consent }, Self::now(at))
    }

    fn tunnel(&mut self, line: &str, at: u64) {
        let event = match line::parse(line) {
            line::Line::Connected(address) => Event::Connected(address),
            line::Line::Ending(why) => Event::Lost(why),
            other => panic!("{other:?}"),
        };
        self.desk.tunnel("s-1", event, Self::now(at).boot);
    }

    fn done(&self) -> Vec<&str> {
        self.desk.hands.done.iter().map(String::as_str).collect()
    }

    fn state(&self) -> String {
        json!(self.desk.status(Duration::ZERO))["session"]["state"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

fn desk(folder: &tempfile::TempDir, signer: &KeyPair, house: House) -> Desk<Directory, Fake, Records> {
    let key = ServiceKey::from_der(&signer.subject_public_key_info()).unwrap();
    let (memory, _) = Memory::open(Directory(folder.path().to_owned()), DocketId::new(DOCKET)).unwrap();
    let pin = folder.path().join("consent.pin");
    Desk::new(
        memory,
        Ok(key),
        house,
        pin,
        Fake::default(),
        Records::default(),
        Duration::ZERO,
    )
}

fn ask_to_open() -> Value {
    json!({
        "do": "open-session", "session": "s-1", "instrument": "port1", "services": ["tcp/5900"], "engineer": "Ada",
        "purpose": "The pump", "seconds": 600, "idle-seconds": 60, "tunnel": "10.8.0.0/24",
    })
}

const CONNECTED: &str = ">STATE:1,CONNECTED,SUCCESS,10.8.0.6,10.9.0.10,443,,";

#[test]
fn asked_consented_connected_opened_withdrawn() {
    let mut rig = Rig::new();
    let reports = rig.direct(&ask_to_open(), 0);
    let states: Vec<_> = reports.iter().map(|report| &report["state"]).collect();
    assert_eq!(states, [&json!("asked"), &Value::Null]);
    assert_eq!(reports[1]["answer"]["outcome"], "done");
    assert_eq!(rig.done(), [""; 0]);
    assert!(matches!(rig.say("port1", "once", 10), Answer::Done(_)));
    assert_eq!(rig.done(), ["connect 600"]);
    rig.tunnel(CONNECTED, 15);
    assert_eq!(rig.done()[1..], ["open port1 tcp/5900 10.8.0.6 595"]);
    assert_eq!(rig.state(), "open");
    rig.say("port1", "refuse", 20);
    assert_eq!(
        (rig.done().last(), rig.state().as_str()),
        (Some(&"close port1"), "ended")
    );
    let states: Vec<_> = rig
        .exchange(vec![], 21)
        .iter()
        .map(|report| report["state"].clone())
        .collect();
    assert_eq!(states, [""; 0], "they were taken");
    // Every step was written down.
    let steps = ["asked", "consented", "open", "ending", "ended"];
    let records = rig
        .desk
        .records
        .0
        .iter()
        .filter(|record| record.starts_with("SESSION-CHANGED"));
    for (record, step) in records.zip(steps) {
        assert!(record.contains(&format!("(\"state\", \"{step}\")")), "{record}");
    }
}

#[test]
fn only_the_instruments_own_port_is_heard() {
    let mut rig = Rig::new();
    rig.direct(&ask_to_open(), 0);
    for port in ["port2", "port9", ""] {
        let Answer::Refused(why) = rig.say(port, "once", 1) else {
            panic!("{port}")
        };
        assert!(
            why.contains("no session \"s-1\" is asked for at this port"),
            "{why}"
        );
    }
    assert_eq!((rig.done(), rig.state().as_str()), (vec![], "asked"));
    let refused = |record: &&String| record.starts_with("CONSENT-REFUSED");
    assert_eq!(rig.desk.records.0.iter().filter(refused).count(), 3);
    let at = |rig: &Rig, port: &str| rig.desk.requests(port, Duration::ZERO).len();
    assert_eq!((at(&rig, "port1"), at(&rig, "port2")), (1, 0));
}

#[test]
fn a_pin_where_the_house_wants_one() {
    let mut rig = Rig::with(|house| house.sessions.as_mut().unwrap().require_pin = true);
    rig.direct(&ask_to_open(), 0);
    let say = |rig: &mut Rig, pin: &str| {
        rig.say_with(
            "port1",
            &json!({ "session": "s-1", "answer": "once", "by": "Bob", "pin": pin }),
            1,
        )
    };
    let Answer::Refused(why) = say(&mut rig, "passwd") else {
        panic!()
    };
    assert!(why.contains("this box has none"), "{why}");
    let hash = "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc";
    std::fs::write(
        rig.folder.path().join("consent.pin"),
        format!("pbkdf2-sha256:1:73616c74:{hash}\n"),
    )
    .unwrap();
    let Answer::Refused(why) = say(&mut rig, "4711") else {
        panic!()
    };
    assert!(why.contains("the PIN is wrong; after 4 more"), "{why}");
    // A restart gives no more tries, and a right PIN all of them.
    rig.desk = desk(&rig.folder, &rig.signer, house());
    rig.desk.house.sessions.as_mut().unwrap().require_pin = true;
    rig.direct(&ask_to_open(), 0);
    let Answer::Refused(why) = say(&mut rig, "4711") else {
        panic!()
    };
    assert!(why.contains("after 3 more"), "{why}");
    assert!(matches!(say(&mut rig, "passwd"), Answer::Done(_)));
    assert!(rig.desk.memory.kept().guesses().is_empty());
    assert_eq!(rig.state(), "connecting");
}

#[test]
fn a_yes_for_a_time_answers_the_next_request_and_later_hides_this_one() {
    let mut rig = Rig::new();
    rig.direct(&ask_to_open(), 0);
    rig.say("port1", "later", 1);
    let shown = |rig: &Rig, at| rig.desk.requests("port1", Duration::from_secs(at)).len();
    assert_eq!((shown(&rig, 2), shown(&rig, 601)), (0, 1));
    let consent = json!({ "session": "s-1", "answer": "for-a-time", "seconds": 3000, "by": "Bob" });
    rig.say_with("port1", &consent, 3);
    assert_eq!(rig.state(), "connecting");
    rig.direct(&json!({ "do": "end-session", "session": "s-1" }), 4);
    assert_eq!(rig.state(), "ended");
    rig.direct(&ask_to_open(), 5);
    assert_eq!(rig.state(), "connecting");
    rig.direct(&json!({ "do": "end-session", "session": "s-1" }), 6);
    // A no also when nothing is asked for.
    assert!(matches!(rig.say("port1", "refuse", 7), Answer::Done(_)));
    rig.direct(&ask_to_open(), 8);
    assert_eq!(rig.state(), "asked");
}

#[test]
fn what_was_is_told_at_its_port_after_a_restart_too() {
    let mut rig = Rig::new();
    rig.direct(&ask_to_open(), 5);
    rig.say("port1", "once", 10);
    rig.tunnel(CONNECTED, 15);
    let history = rig.desk.history("port1", Duration::from_secs(16));
    let [past] = &history.sessions[..] else {
        panic!("{history:?}")
    };
    assert_eq!(past.consented.as_deref(), Some("Bob at port1 says yes to 600 s"));
    let at = |text: &Option<String>| text.as_ref().unwrap().parse::<Timestamp>().unwrap().as_second();
    assert_eq!(
        (at(&past.asked), at(&past.opened)),
        (1_800_000_005, 1_800_000_015)
    );
    assert_eq!((&past.ended, &past.why, &history.standing), (&None, &None, &None));
    assert!(rig.desk.history("port2", Duration::ZERO).sessions.is_empty());
    rig.desk = desk(&rig.folder, &rig.signer, house());
    let past = rig.desk.history("port1", Duration::ZERO).sessions.remove(0);
    assert!(past.ended.is_none() && past.why.unwrap().contains("restarted"));
    // So it is to the trail and to the service centre, once.
    let told = rig.desk.memory.kept().reports(99).pop().unwrap().data;
    assert_eq!(
        (&told["session"], &told["state"]),
        (&json!("s-1"), &json!("ended"))
    );
    assert!(rig.desk.records.0[0].starts_with("SESSION-CHANGED"));
    rig.desk = desk(&rig.folder, &rig.signer, house());
    assert!(rig.desk.records.0.is_empty());
    let consent = json!({ "session": "s-1", "answer": "for-a-time", "seconds": 60, "by": "Bob" });
    rig.direct(&ask_to_open(), 20);
    rig.say_with("port1", &consent, 21);
    let standing = rig
        .desk
        .history("port1", Duration::from_secs(22))
        .standing
        .unwrap();
    assert_eq!((standing.by.as_str(), standing.seconds_left), ("Bob", 59));
}

#[test]
fn what_fails_on_the_way_closes_everything() {
    for (refuse, words) in [
        ("connect", "connect does not work"),
        ("open", "open does not work"),
    ] {
        let mut rig = Rig::new();
        rig.desk.hands.refuse = Some(refuse);
        rig.direct(&ask_to_open(), 0);
        rig.say("port1", "once", 1);
        rig.tunnel(CONNECTED, 2);
        assert_eq!(rig.state(), "ended");
        assert_eq!(rig.done().last(), Some(&"close port1"));
        assert_eq!(json!(rig.desk.status(Duration::ZERO))["session"]["why"], words);
    }
    let mut rig = Rig::new();
    rig.direct(&ask_to_open(), 0);
    rig.say("port1", "once", 1);
    rig.tunnel(CONNECTED, 2);
    rig.desk.hands.refuse = Some("close");
    rig.tunnel(">STATE:1,RECONNECTING,ping-exit,,", 3);
    assert_eq!(rig.state(), "ending");
    // Nobody else gets in meanwhile, and it goes on until it is closed.
    let reports = rig.direct(&ask_to_open(), 4);
    assert_eq!(reports.last().unwrap()["answer"]["outcome"], "refused");
    rig.desk.hands.refuse = None;
    rig.desk.tick(Duration::from_secs(5));
    assert_eq!(rig.state(), "ended");
}

#[test]
fn idle_and_time_end_it_and_what_passes_keeps_it() {
    let mut rig = Rig::new();
    rig.direct(&ask_to_open(), 0);
    rig.say("port1", "once", 0);
    rig.tunnel(CONNECTED, 0);
    rig.desk.hands.passed = true;
    for second in 0..599 {
        rig.desk.tick(Duration::from_secs(second));
    }
    assert_eq!(rig.state(), "open");
    rig.desk.tick(Duration::from_secs(600));
    assert_eq!(
        json!(rig.desk.status(Duration::ZERO))["session"]["why"],
        "its time is over"
    );
}

#[test]
fn a_directive_again_is_answered_again_and_not_done_again() {
    let mut rig = Rig::new();
    let look = json!({ "do": "diagnose", "look": "counters", "instrument": "port1" });
    let envelope = rig.envelope(1, &look);
    rig.bring(envelope.clone(), 0);
    let again = rig.bring(envelope.clone(), 1);
    assert_eq!((again[0]["do"].as_str(), rig.done().len()), (Some("again"), 1));
    // A restart remembers.
    rig.desk = desk(&rig.folder, &rig.signer, house());
    rig.bring(envelope, 2);
    assert_eq!(rig.done().len(), 0);
}

#[test]
fn what_was_interrupted_is_told_and_never_done() {
    let mut rig = Rig::new();
    let envelope = rig.envelope(1, &ask_to_open());
    let (_, digest) = Envelope::open(envelope.as_bytes(), rig.desk.key.as_ref().unwrap()).unwrap();
    rig.desk
        .memory
        .change(|kept| kept.docket.settle(1, digest, Outcome::Taken))
        .unwrap();
    rig.desk = desk(&rig.folder, &rig.signer, house());
    let told = rig.desk.memory.kept().reports(9).pop().unwrap().data;
    assert!(
        told["answer"]["detail"]
            .as_str()
            .unwrap()
            .contains("restarted in between")
    );
    rig.bring(envelope, 0);
    assert_eq!(rig.state(), "");
}

#[test]
fn the_centres_clock_goes_before_the_boxs() {
    let mut rig = Rig::new();
    let look = json!({ "do": "diagnose", "look": "counters", "instrument": "port1" });
    let late = Rig::now(7200).wall.as_second();
    let request = Request::Exchange {
        envelopes: vec![],
        there: Some(late),
        taken: vec![],
    };
    rig.desk.answer(request, Rig::now(0));
    let answer = rig.direct(&look, 1).pop().unwrap();
    assert_eq!(answer["do"], "expired");
    // Expired is settled: it is not asked for again.
    assert_eq!(rig.desk.memory.kept().docket.last(), 1);
}

#[test]
fn another_certificate_is_asked_for_and_taken_by_directives() {
    let mut rig = Rig::new();
    let told = rig.direct(&json!({ "do": "refresh-certificate" }), 1);
    assert_eq!(told[0]["answer"]["detail"]["request"], "PEM", "{told:?}");
    let install = json!({ "do": "install-certificate", "certificates": "C" });
    rig.direct(&install, 2);
    assert_eq!(rig.done(), ["renew", "install C"]);
    rig.desk.hands.refuse = Some("install");
    let told = rig.direct(&install, 3);
    assert_eq!(told[0]["answer"]["outcome"], "failed", "{told:?}");
    let long = json!({ "do": "install-certificate", "certificates": "C".repeat(24 << 10 | 1) });
    let told = rig.direct(&long, 4);
    assert_eq!(told[0]["kind"], "no-directive", "{told:?}");
}

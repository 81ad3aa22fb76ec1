use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};

use super::envelope::read;
use super::*;
use crate::digest::Sha256;

const DOCKET: &str = "00112233445566778899aabbccddeeff";

/// The service key's owner.
struct Signer(KeyPair);

impl Signer {
    fn new() -> Self {
        Self(KeyPair::generate().unwrap())
    }

    fn public(&self) -> ServiceKey {
        ServiceKey::from_der(&self.0.subject_public_key_info()).unwrap()
    }

    fn sign(&self, payload: &[u8]) -> Vec<u8> {
        let signature = self.0.sign(&signed_bytes(payload)).unwrap();
        serde_json::to_vec(&Envelope::new(payload, Some(&signature))).unwrap()
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn payload(number: u64, command: Value) -> Value {
    json!({
        "version": 1, "box": "ward-3", "docket": DOCKET, "number": number,
        "issued": "2026-11-28T18:00:00Z", "expires": "2026-11-28T19:00:00Z", "command": command,
    })
}

fn open_session() -> Value {
    json!({
        "do": "open-session", "session": "s-1", "instrument": "port1", "services": ["tcp/5900", "udp/69"],
        "engineer": "Ada", "purpose": "The pump", "seconds": 1800, "idle-seconds": 300, "tunnel": "10.8.0.0/24",
    })
}

fn docket() -> Docket {
    Docket::new(DOCKET.parse().unwrap())
}

fn judge(docket: &Docket, signer: &Signer, payload: &Value) -> Verdict {
    let envelope = signer.sign(payload.to_string().as_bytes());
    docket.judge(&envelope, &signer.public(), "ward-3", at("2026-11-28T18:30:00Z"))
}

fn refusal(verdict: Verdict) -> Refusal {
    match verdict {
        Verdict::Refuse(refusal, _) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_directive_is_to_be_done_and_the_same_again_has_its_answer() {
    let (signer, mut docket) = (Signer::new(), docket());
    let Verdict::Do(directive, digest) = judge(&docket, &signer, &payload(7, open_session())) else {
        panic!("not to be done")
    };
    let Command::OpenSession(open) = &directive.command else {
        panic!("{directive:?}")
    };
    assert_eq!((open.services.len(), open.time().as_secs()), (2, 1800));
    docket.settle(7, digest, Outcome::Taken);
    assert_eq!(docket.interrupted(), [(7, digest)]);
    docket.settle(7, digest, Outcome::Done(json!({"x": 1})));
    let again = judge(&docket, &signer, &payload(7, open_session()));
    let outcome = Outcome::Done(json!({"x": 1}));
    assert_eq!(again, Verdict::Again { number: 7, outcome });
    assert_eq!((docket.last(), docket.interrupted()), (7, vec![]));
}

#[test]
fn each_refusal_has_its_own_words() {
    let (signer, mut docket) = (Signer::new(), docket());
    for number in 100..200 {
        docket.settle(number, Sha256::of(b"x"), Outcome::Taken);
    }
    docket.settle(300, Sha256::of(b"x"), Outcome::Taken);
    let of = |change: &dyn Fn(&mut Value)| {
        let mut payload = payload(400, json!({"do": "check-update"}));
        change(&mut payload);
        refusal(judge(&docket, &signer, &payload)).to_string()
    };
    let starts = |change: &dyn Fn(&mut Value), words: &str| {
        let found = of(change);
        assert!(found.starts_with(words), "{found}");
    };
    starts(&|p| p["box"] = "ward-4".into(), "wrong box: it is for \"ward-4\"");
    starts(&|p| p["docket"] = "00".repeat(16).into(), "wrong docket: ");
    starts(&|p| p["expires"] = "2026-11-28T18:30:00Z".into(), "expired: ");
    starts(
        &|p| p["issued"] = "2026-11-20T18:00:00Z".into(),
        "it is valid from ",
    );
    starts(
        &|p| p["issued"] = "2026-11-28T19:00:01Z".into(),
        "it is valid from ",
    );
    starts(&|p| p["number"] = 300.into(), "replayed number: 300 was another");
    starts(
        &|p| p["number"] = 250.into(),
        "out of order: number 250 comes after 300",
    );
    starts(&|p| p["number"] = 5.into(), "replayed: number 5 is older");
    starts(
        &|p| p["command"] = json!({"do": "run", "line": "sh"}),
        "unknown command \"run\"; ",
    );
    starts(
        &|p| p["version"] = 2.into(),
        "no directive: version is 2, expected 1",
    );
    starts(&|p| p["more"] = 1.into(), "no directive: unknown field `more`");
    starts(
        &|p| p["command"]["more"] = 1.into(),
        "no directive: command check-update: ",
    );
    starts(
        &|p| p["issued"] = "yesterday".into(),
        "no directive: issued is not a time",
    );
}

#[test]
fn what_the_service_key_did_not_sign_is_refused_before_it_is_read() {
    let (signer, other, docket) = (Signer::new(), Signer::new(), docket());
    let payload = payload(1, open_session()).to_string();
    let judge = |envelope: &[u8]| {
        let verdict = docket.judge(envelope, &signer.public(), "ward-3", at("2026-11-28T18:30:00Z"));
        refusal(verdict)
    };
    let unsigned = serde_json::to_vec(&Envelope::new(payload.as_bytes(), None)).unwrap();
    assert_eq!(judge(&unsigned), Refusal::Unsigned);
    assert_eq!(judge(&other.sign(payload.as_bytes())), Refusal::WrongKey);
    // A signature of the right key over the bare payload, such as one for another purpose.
    let bare = signer.0.sign(payload.as_bytes()).unwrap();
    let bare = serde_json::to_vec(&Envelope::new(payload.as_bytes(), Some(&bare))).unwrap();
    assert_eq!(judge(&bare), Refusal::WrongKey);
    assert_eq!(judge(&signer.sign(b"{")).kind(), "no-directive");
    let long = vec![b' '; ENVELOPE_LIMIT + 1];
    assert_eq!(judge(&long), Refusal::TooLarge { bytes: long.len() });
    let long = vec![b' '; PAYLOAD_LIMIT + 1];
    assert_eq!(
        judge(&signer.sign(&long)),
        Refusal::TooLarge { bytes: long.len() }
    );
    for garbage in [
        &b""[..],
        b"{}",
        b"[]",
        b"{\"payload\":\"!\",\"signature\":\"\"}",
        b"\xff",
    ] {
        let kind = judge(garbage).kind();
        assert!(["no-envelope", "unsigned"].contains(&kind), "{kind}");
    }
}

#[test]
fn what_is_out_of_bounds_is_said() {
    let of = |change: &dyn Fn(&mut Value)| {
        let mut command = open_session();
        change(&mut command);
        let error = read(payload(1, command).to_string().as_bytes()).unwrap_err();
        error.to_string()
    };
    let says = |change: &dyn Fn(&mut Value), words: &str| {
        let found = of(change);
        assert!(found.contains(words), "{found}");
    };
    says(&|c| c["seconds"] = 0.into(), "seconds is 0, expected 1 to 28800");
    says(&|c| c["idle-seconds"] = 99_999.into(), "idle-seconds is 99999");
    says(
        &|c| c["services"] = json!([]),
        "found 0 services, expected 1 to 8",
    );
    says(
        &|c| c["services"] = json!(["tcp/0"]),
        "expected each service once",
    );
    says(
        &|c| c["services"] = json!(["tcp/1", "tcp/1"]),
        "expected each service once",
    );
    says(
        &|c| c["services"] = json!(["tcp/+1"]),
        "expected each service once",
    );
    says(
        &|c| c["session"] = "../x".into(),
        "expected the name of a session",
    );
    says(&|c| c["engineer"] = "\u{202e}x".into(), "expected one line");
    says(
        &|c| c["tunnel"] = "0.0.0.0/0".into(),
        "expected a private network",
    );
    says(
        &|c| c["tunnel"] = "192.0.0.0/16".into(),
        "expected a private network",
    );
    says(
        &|c| c["tunnel"] = "10.8.0.1/24".into(),
        "written by its first address",
    );
    says(&|c| c["instrument"] = "a/b".into(), "command open-session");
    let twice = payload(1, json!(0)).to_string();
    let twice = twice.replace(
        "\"command\":0",
        "\"command\":{\"do\":\"check-update\",\"do\":\"open-session\"}",
    );
    assert!(
        read(twice.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("duplicate field")
    );
}

#[test]
fn only_a_key_of_p256_is_a_service_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service.pub");
    let signer = Signer::new();
    std::fs::write(&path, signer.0.public_key_pem()).unwrap();
    assert_eq!(ServiceKey::load(&path).unwrap(), signer.public());
    let other = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    std::fs::write(&path, other.public_key_pem()).unwrap();
    assert!(
        ServiceKey::load(&path)
            .unwrap_err()
            .to_string()
            .contains("curve P-256")
    );
    std::fs::write(&path, "x").unwrap();
    assert!(
        ServiceKey::load(&path)
            .unwrap_err()
            .to_string()
            .contains("service.pub")
    );
}

proptest! {
    /// Whatever comes in whatever order, however often: nothing is done twice, and numbers only rise.
    #[test]
    fn nothing_is_done_twice(order in proptest::collection::vec((1_u64..40, 0_u8..3), 0..200)) {
        let mut docket = docket();
        let mut done: BTreeMap<u64, u8> = BTreeMap::new();
        for (number, content) in order {
            let directive = read(payload(number, json!({"do": "check-update"})).to_string().as_bytes()).unwrap();
            let digest = Sha256::of(&[content]);
            let before = docket.last();
            match docket.judge_opened(directive, digest, "ward-3", at("2026-11-28T18:30:00Z")) {
                Verdict::Do(directive, digest) => {
                    prop_assert!(directive.number > before);
                    prop_assert_eq!(done.insert(number, content), None);
                    docket.settle(number, digest, Outcome::Done(json!(number)));
                }
                Verdict::Again { number, outcome } => {
                    prop_assert_eq!(done.get(&number), Some(&content));
                    prop_assert_eq!(outcome, Outcome::Done(json!(number)));
                }
                Verdict::Refuse(..) => prop_assert!(number <= before && done.get(&number) != Some(&content)),
            }
            prop_assert!(docket.is_sound() && docket.last() >= before);
            let text = serde_json::to_string(&docket).unwrap();
            prop_assert_eq!(serde_json::from_str::<Docket>(&text).unwrap(), docket.clone());
        }
    }

    #[test]
    fn no_payload_is_a_panic(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&payload);
    }

    /// One changed bit anywhere, and it is nobody's.
    #[test]
    fn a_changed_bit_is_found(nth in any::<proptest::sample::Index>(), bit in 0_u8..8) {
        let signer = Signer::new();
        let payload = payload(1, open_session()).to_string().into_bytes();
        let signature = signer.0.sign(&signed_bytes(&payload)).unwrap();
        let mut changed = payload.clone();
        changed[nth.index(payload.len())] ^= 1 << bit;
        let envelope = serde_json::to_vec(&Envelope::new(&changed, Some(&signature))).unwrap();
        let opened = Envelope::open(&envelope, &signer.public());
        prop_assert_eq!(opened.unwrap_err(), Refusal::WrongKey);
    }
}

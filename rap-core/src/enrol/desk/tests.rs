use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair,
};

use super::*;
use crate::enrol::shelf::Folders;
use crate::identity::{Identity, MADE};

/// Seconds since 1970 of 2026-01-01.
const NOW: u64 = 1_767_225_600;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// Answers both requests, valid until that year, with the authority behind them.
    fn sign(&self, requests: &str, year: i32, change: impl Fn(&mut CertificateParams)) -> String {
        let mut answer = String::new();
        let usages = [
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        for (one, usage) in requests
            .split_inclusive("-----END CERTIFICATE REQUEST-----")
            .zip(usages)
        {
            let mut one = CertificateSigningRequestParams::from_pem(one).unwrap();
            one.params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            one.params.not_after = rcgen::date_time_ymd(year, 1, 1);
            one.params.extended_key_usages = vec![usage];
            change(&mut one.params);
            answer += &one.signed_by(&self.issuer).unwrap().pem();
        }
        answer + &self.pem
    }
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["own", "forward", "web"] {
            std::fs::create_dir_all(directory.path().join(MADE).join(name)).unwrap();
        }
        Self { directory }
    }

    /// The service starts.
    fn start(&self) -> Desk {
        let made = self.directory.path().join(MADE);
        let folder = |name: &str| Directory(made.join(name));
        let shelf = Shelf::open(Folders {
            own: folder("own"),
            forward: folder("forward"),
            web: folder("web"),
        });
        let mut desk = Desk {
            shelf: shelf.unwrap(),
            directory: self.directory.path().to_owned(),
            name: "ward-3".to_owned(),
            firmware: Some("RAP-0042".to_owned()),
            centre: "centre.test:443".to_owned(),
            tries: (0, None),
            changes: 0,
        };
        desk.begin().unwrap();
        desk
    }

    fn load(&self) -> Result<Identity, IdentityError> {
        Identity::load(self.directory.path())
    }

    /// A box with its first identity, by that authority.
    fn with_identity(authority: &Authority) -> (Self, Desk) {
        let place = Self::new();
        let mut desk = place.start();
        let answer = authority.sign(&csr(&mut desk), 2030, |_| {});
        assert_eq!(done(install(&mut desk, &answer))["state"], "in-use");
        (place, desk)
    }
}

fn done(answer: Answer) -> serde_json::Value {
    match answer {
        Answer::Done(value) => value,
        Answer::Refused(why) => panic!("{why}"),
    }
}

fn why(answer: Answer) -> String {
    match answer {
        Answer::Done(value) => panic!("{value}"),
        Answer::Refused(why) => why,
    }
}

fn csr(desk: &mut Desk) -> String {
    let answer = done(desk.answer(&Request::Csr {}, NOW));
    answer["request"].as_str().unwrap().to_owned()
}

fn renew(desk: &mut Desk) -> String {
    let answer = done(desk.answer(&Request::Renew {}, NOW));
    answer["request"].as_str().unwrap().to_owned()
}

fn install(desk: &mut Desk, answer: &str) -> Answer {
    let certificates = answer.to_owned();
    desk.answer(&Request::Install { certificates }, NOW)
}

/// The service centre is shown what waits, and says that.
fn say(desk: &mut Desk, verdict: Verdict) {
    let shown = desk.show().unwrap().expect("something to show").device;
    desk.verdict(&shown, verdict).unwrap();
}

#[test]
fn a_box_without_an_identity_makes_keys_and_waits() {
    let place = Place::new();
    let mut desk = place.start();
    let status = desk.status(NOW);
    assert_eq!(status.trouble.as_deref(), Some(WAITS));
    let asked = status.request.clone().unwrap();
    assert_eq!((&*asked.name, &*asked.serial), ("ward-3", "RAP-0042"));
    assert!(matches!(place.load(), Err(IdentityError::Waits)));
    // The local page can be reached and says so.
    identity::ingest_tls(place.directory.path()).unwrap();
    assert_eq!(desk.changes, 1);
    // The same keys after a restart.
    let before = csr(&mut desk);
    let mut again = place.start();
    assert_eq!((csr(&mut again), again.changes), (before, 0));
    assert!(!serde_json::to_string(&status).unwrap().contains("PRIVATE"));
}

#[test]
fn the_answer_is_in_use_and_the_box_has_its_identity() {
    let authority = Authority::new("Vendor");
    let (place, mut desk) = Place::with_identity(&authority);
    place.load().unwrap();
    let status = desk.status(NOW);
    assert_eq!((status.trouble, status.problems.len()), (None, 0));
    let (device, ingest) = (status.device.unwrap(), status.ingest.unwrap());
    assert_eq!((&*device.name, &*device.issuer), ("ward-3", "Vendor"));
    assert!(status.made_here && !ingest.self_issued && status.request.is_none());
    assert!(why(desk.answer(&Request::Csr {}, NOW)).contains("rapctl identity renew"));
    let key = std::fs::read_to_string(place.directory.path().join("made/own/kept.json")).unwrap();
    assert!(!key.contains("PRIVATE"), "a key that is in use waits no more");
}

#[test]
fn the_old_identity_stays_until_the_centre_takes_the_new_one() {
    let authority = Authority::new("Vendor");
    let (place, mut desk) = Place::with_identity(&authority);
    let old = desk.status(NOW).device.unwrap();
    let request = renew(&mut desk);
    assert_eq!(renew(&mut desk), request, "the one that waits");
    let answer = authority.sign(&request, 2035, |_| {});
    assert_eq!(done(install(&mut desk, &answer))["state"], "on-trial");
    say(&mut desk, Verdict::Unknown("no route".to_owned()));
    let status = desk.status(NOW);
    assert_eq!(status.device.as_ref(), Some(&old));
    assert_eq!(status.trial.unwrap().trouble.as_deref(), Some("no route"));
    // A restart loses nothing of it.
    let mut desk = place.start();
    say(&mut desk, Verdict::Refused("device.crt is revoked".to_owned()));
    let status = desk.status(NOW);
    assert_eq!((status.device.as_ref(), desk.changes), (Some(&old), 0));
    assert!(status.problems[0].contains("device.crt is revoked; the certificate before stays"));
    assert!(desk.show().unwrap().is_none());
    place.load().unwrap();
    // The same keys, signed again, are taken.
    let answer = authority.sign(&request, 2036, |_| {});
    done(install(&mut desk, &answer));
    say(&mut desk, Verdict::Taken);
    let status = desk.status(NOW);
    let new = status.device.unwrap();
    assert!(new.key != old.key && new.serial == old.serial && status.problems.is_empty());
    assert_eq!((status.request, status.trial, desk.changes), (None, None, 1));
    assert_eq!(status.last.map(|last| last.taken), Some(true));
    place.load().unwrap();
}

#[test]
fn the_first_answer_is_in_use_though_the_power_failed_before_it_was() {
    let authority = Authority::new("Vendor");
    let place = Place::new();
    let mut desk = place.start();
    let file = authority.sign(&csr(&mut desk), 2030, |_| {});
    let wanted = desk.shelf.wanted().unwrap();
    let answer = judge::judge(file.as_bytes(), &wanted, &[], NOW).unwrap();
    desk.shelf.hold(answer).unwrap();
    let mut desk = place.start();
    assert!(desk.show().unwrap().is_none(), "no centre is believed yet");
    place.load().unwrap();
    assert_eq!(desk.changes, 1);
}

#[test]
fn a_verdict_on_what_was_withdrawn_is_not_heard() {
    let authority = Authority::new("Vendor");
    let (_place, mut desk) = Place::with_identity(&authority);
    let answer = authority.sign(&renew(&mut desk), 2035, |_| {});
    done(install(&mut desk, &answer));
    let shown = desk.show().unwrap().unwrap().device;
    done(desk.answer(&Request::Withdraw {}, NOW));
    desk.verdict(&shown, Verdict::Taken).unwrap();
    assert_eq!(desk.status(NOW).request, None);
    assert!(desk.status(NOW).last.unwrap().words.contains("it is the first"));
}

#[test]
fn what_is_no_answer_changes_nothing_and_says_why() {
    let authority = Authority::new("Vendor");
    let (_place, mut desk) = Place::with_identity(&authority);
    let request = renew(&mut desk);
    let (_elsewhere, mut elsewhere) = Place::with_identity(&authority);
    let other_key = authority.sign(&renew(&mut elsewhere), 2035, |_| {});
    let other_box = authority.sign(&request, 2035, |params| {
        params.distinguished_name.push(DnType::CommonName, "ward-4");
    });
    let server = authority.sign(&request, 2035, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let stranger = Authority::new("Vendor").sign(&request, 2035, |_| {});
    let over = authority.sign(&request, 2025, |_| {});
    let many = authority.pem.repeat(17);
    let long = format!("{}{}", authority.pem, " ".repeat(64 << 10));
    for (answer, expected) in [
        (&*other_key, "is for this box's key"),
        (
            &other_box,
            "is for \"ward-4 RAP-0042\", and this box is \"ward-3 RAP-0042\"",
        ),
        (&server, "the service centre would not accept"),
        (&stranger, "the service centre would not accept"),
        (
            &over,
            "expired on 2025-01-01, and this box's clock, which is never ahead, says 2026-01-01",
        ),
        (&request, "holds no certificate"),
        ("hello", "holds no certificate"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "certificate 1 of the file cannot be read",
        ),
        (&many, "more than 16 certificates"),
        (&long, "more than 65536 bytes"),
    ] {
        let words = why(install(&mut desk, answer));
        assert!(words.contains(expected), "{expected}: {words}");
        assert!(desk.show().unwrap().is_none());
    }
    // Not yet valid by a clock that may be behind.
    let young = authority.sign(&request, 2040, |params| {
        params.not_before = rcgen::date_time_ymd(2029, 1, 1);
    });
    assert_eq!(done(install(&mut desk, &young))["state"], "on-trial");
}

#[test]
fn the_first_answer_brings_its_authority_or_is_refused() {
    let authority = Authority::new("Vendor");
    let place = Place::new();
    let mut desk = place.start();
    let answer = authority.sign(&csr(&mut desk), 2030, |_| {});
    let alone = answer.replace(&authority.pem, "");
    assert!(why(install(&mut desk, &alone)).contains("knows no authority yet"));
    assert!(matches!(place.load(), Err(IdentityError::Waits)));
    // One that was given on the desk is the only one.
    let path = place.directory.path().join("centre-ca.crt");
    std::fs::write(&path, Authority::new("Other").pem).unwrap();
    assert!(why(install(&mut desk, &answer)).contains("would not accept"));
    std::fs::write(&path, &authority.pem).unwrap();
    done(install(&mut desk, &alone));
    place.load().unwrap();
}

#[test]
fn an_identity_made_on_the_desk_is_renewed_under_its_serial_number() {
    let authority = Authority::new("Vendor");
    let (given, _) = Place::with_identity(&authority);
    let pem = std::fs::read(given.directory.path().join("made/forward/device.pem")).unwrap();
    let place = Place::new();
    for name in ["device.crt", "device.key", "ingest.crt", "ingest.key"] {
        std::fs::write(place.directory.path().join(name), &pem).unwrap();
    }
    std::fs::write(place.directory.path().join("centre-ca.crt"), &authority.pem).unwrap();
    let mut desk = place.start();
    assert!(desk.status(NOW).trouble.is_none() && !desk.status(NOW).made_here);
    desk.firmware = Some("OTHER-1".to_owned());
    let answer = authority.sign(&renew(&mut desk), 2035, |_| {});
    assert_eq!(desk.status(NOW).request.unwrap().serial, "RAP-0042");
    done(install(&mut desk, &answer));
    say(&mut desk, Verdict::Taken);
    assert!(desk.status(NOW).made_here);
    place.load().unwrap();
}

#[test]
fn the_end_of_a_certificate_is_said_in_time() {
    let authority = Authority::new("Vendor");
    let (_place, desk) = Place::with_identity(&authority);
    let end = desk.status(NOW).device.unwrap().until;
    assert!(desk.status(end - REMINDER - 1).warnings.is_empty());
    assert!(desk.status(end - REMINDER + 1).warnings[0].contains("ends on 2030-01-01"));
    assert!(desk.status(end + 1).problems[0].contains("rapctl identity renew"));
}

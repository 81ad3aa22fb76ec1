use super::*;
use crate::keys::{Passphrase, write_development};
use crate::parcel::Parcel;

/// The development authority.
fn authority(place: &Path) -> Authority {
    let keys = place.join("keys");
    write_development(&keys, false, &[]).unwrap();
    Authority::load(&keys, &Passphrase::known("")).unwrap()
}

fn term() -> Term {
    Term::new("2026-02-28T00:00:00Z".parse().unwrap(), 5).unwrap()
}

fn ward3() -> Subject {
    Subject::new("ward-3", "RAP-0042").unwrap()
}

/// A request as a box makes it, and its key.
fn request(subject: &Subject, algorithm: &'static rcgen::SignatureAlgorithm) -> (String, KeyPair) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished(subject);
    // What a request asks for beyond its key is not given.
    params.subject_alt_names = vec![SanType::DnsName("centre.test".try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (params.serialize_request(&key).unwrap().pem().unwrap(), key)
}

#[test]
fn an_identity_made_on_the_desk_is_what_flash_takes() {
    let place = tempfile::tempdir().unwrap();
    let authority = authority(place.path());
    let files = identity(&authority, &ward3(), &["10.0.0.1".parse().unwrap()], term()).unwrap();
    let out = place.path().join("ward-3");
    write(&out, files.clone()).unwrap();
    Parcel::new(rap_core::site::EXAMPLE, &out).unwrap();
    rap_core::identity::Identity::load(&out).unwrap();
    let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(
        (mode(&out) & 0o777, mode(&out.join("device.key")) & 0o777),
        (0o700, 0o600)
    );
    let again = write(&out, files).unwrap_err();
    assert!(
        matches!(again, ProvisionError::Write(KeysError::Exists { .. })),
        "{again}"
    );
}

#[test]
fn a_request_is_answered_for_its_key_alone() {
    let place = tempfile::tempdir().unwrap();
    let authority = authority(place.path());
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let (request, key) = request(&ward3(), algorithm);
        let answer = answer(&authority, &ward3(), &request, &[], term()).unwrap();
        assert_eq!(answer.keys, [Sha256::of(&key.subject_public_key_info())]);
        let path = place.path().join("device.crt");
        std::fs::write(&path, &answer.pem).unwrap();
        let certificate = rap_core::identity::certificates(&path).unwrap().remove(0);
        let now = term().now;
        authority.accepts(&certificate, Usage::Client, now).unwrap();
        let as_server = authority.accepts(&certificate, Usage::Server, now).unwrap_err();
        assert!(
            matches!(as_server, ProvisionError::Refused(_)),
            "the request asked to be a server"
        );
        let after = "2031-03-01T00:00:00Z".parse().unwrap();
        assert!(
            authority.accepts(&certificate, Usage::Client, after).is_err(),
            "five years"
        );
        let image = "2025-03-01T00:00:00Z".parse().unwrap();
        authority.accepts(&certificate, Usage::Client, image).unwrap();
    }
}

#[test]
fn what_is_not_this_boxs_request_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let authority = authority(place.path());
    let refused =
        |subject: &Subject, request: &str| answer(&authority, subject, request, &[], term()).unwrap_err();
    let (good, _) = request(&ward3(), &rcgen::PKCS_ECDSA_P256_SHA256);
    let other = Subject::new("ward-4", "RAP-0042").unwrap();
    let error = refused(&other, &good).to_string();
    assert!(
        error.contains(r#"is for "ward-3 RAP-0042", not for "ward-4 RAP-0042""#),
        "{error}"
    );
    // A byte of the signature, which is at the end, is another.
    let mut lines: Vec<String> = good.lines().map(str::to_owned).collect();
    let line = lines.len() - 2;
    let first = if lines[line].starts_with('A') { "B" } else { "A" };
    lines[line].replace_range(..1, first);
    assert!(matches!(
        refused(&ward3(), &lines.join("\n")),
        ProvisionError::Request(_)
    ));
    assert!(matches!(refused(&ward3(), "x"), ProvisionError::Request(_)));
    let long = format!("{good}{}", " ".repeat(REQUEST_LIMIT));
    assert!(matches!(refused(&ward3(), &long), ProvisionError::TooLarge));
    let (ed25519, _) = request(&ward3(), &rcgen::PKCS_ED25519);
    assert!(matches!(refused(&ward3(), &ed25519), ProvisionError::Kind));
}

/// A key that is not the certificate's makes certificates that nobody would accept: it is found out on the desk.
#[test]
fn an_authority_with_another_key_gives_nothing_out() {
    let place = tempfile::tempdir().unwrap();
    drop(authority(place.path()));
    let keys = place.path().join("keys");
    std::fs::copy(keys.join("device.key"), keys.join("centre-ca.key")).unwrap();
    let wrong = Authority::load(&keys, &Passphrase::known("")).unwrap();
    let error = identity(&wrong, &ward3(), &[], term()).unwrap_err();
    assert!(matches!(error, ProvisionError::Refused(_)), "{error}");
    std::fs::remove_file(keys.join("centre-ca.key")).unwrap();
    let error = Authority::load(&keys, &Passphrase::known("")).unwrap_err();
    assert!(matches!(error, ProvisionError::Key(_)), "{error}");
}

/// The whole circle, by the box's own code: keys and requests, the answer, and what the box makes of it.
#[test]
fn what_a_box_asks_for_is_what_it_takes() {
    let place = tempfile::tempdir().unwrap();
    let authority = authority(place.path());
    let asked = rap_core::enrol::request::Request::make("ward-3", Some("RAP-0042")).unwrap();
    let ingest = ["10.0.0.1".parse().unwrap()];
    let answer = answer(&authority, &ward3(), &asked.pem, &ingest, term()).unwrap();
    assert_eq!(answer.keys, [asked.device.sha256, asked.ingest.sha256]);
    let wanted = rap_core::enrol::judge::Wanted {
        subject: ward3(),
        device: asked.device.sha256,
        ingest: asked.ingest.sha256,
    };
    let now = term().now.as_second().unsigned_abs();
    let taken = rap_core::enrol::judge::judge(answer.pem.as_bytes(), &wanted, &[], now).unwrap();
    assert!(taken.ingest.is_some() && taken.authority.is_some());
    for (name, key, chain) in [
        ("device", &asked.device, &taken.device),
        ("ingest", &asked.ingest, taken.ingest.as_ref().unwrap()),
    ] {
        std::fs::write(place.path().join(format!("{name}.key")), &key.pem).unwrap();
        std::fs::write(place.path().join(format!("{name}.crt")), chain).unwrap();
    }
    std::fs::write(place.path().join("centre-ca.crt"), taken.authority.unwrap()).unwrap();
    rap_core::identity::Identity::load(place.path()).unwrap();
}

#[test]
fn three_requests_are_one_too_many() {
    let place = tempfile::tempdir().unwrap();
    let authority = authority(place.path());
    let (request, _) = request(&ward3(), &rcgen::PKCS_ECDSA_P256_SHA256);
    let error = answer(&authority, &ward3(), &request.repeat(3), &[], term()).unwrap_err();
    assert!(matches!(error, ProvisionError::TooMany(3)), "{error}");
}

#[test]
fn years_have_bounds() {
    for years in [0, 31] {
        assert!(Term::new(Timestamp::UNIX_EPOCH, years).is_err(), "{years}");
    }
}

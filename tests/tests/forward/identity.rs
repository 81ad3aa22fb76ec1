//! A certificate is shown to the real service centre before it is used: what it says, and how that is understood.

use rap_core::digest::Sha256;
use rap_core::enrol::trial::{Centre as _, Real, Verdict};
use rap_core::identity;
use rap_tests::centre::{Centre, refused_file};
use rap_tests::keys::{self, Family, PAST, Role};

/// Shows the centre at `url` the device's pair in `place`; the centre is believed by `roots`.
fn show(url: String, place: &std::path::Path, roots: &std::path::Path) -> Verdict {
    let key = std::fs::read_to_string(place.join("device.key")).unwrap();
    let chain = identity::certificates(&place.join("device.crt")).unwrap();
    let roots = identity::certificates(&roots.join("centre-ca.crt")).unwrap();
    let validity = identity::Validity::of(&chain[0]);
    let tls = identity::shown(&key, &chain, &roots).unwrap();
    Real { url, relay: None }.show(tls, validity)
}

#[test]
fn the_centre_takes_a_certificate_or_says_why_not() {
    let place = tempfile::tempdir().unwrap();
    let ours = place.path();
    let family = Family::new().unwrap();
    family.write(ours).unwrap();
    let database = ours.join("centre.db");
    let centre = Centre::quiet(ours, &database).unwrap();
    assert_eq!(show(centre.url(), ours, ours), Verdict::Taken);

    // Revoked: it says so in HTTP.
    let certificate = identity::certificates(&ours.join("device.crt"))
        .unwrap()
        .remove(0);
    let revoked = format!("{}\n", Sha256::of(&certificate));
    std::fs::write(refused_file(&database), revoked).unwrap();
    let Verdict::Refused(why) = show(centre.url(), ours, ours) else {
        panic!("a revoked certificate is refused");
    };
    assert!(why.contains("403"), "{why}");

    // Another authority's, and one that is over: it says so by an alert of TLS, after the handshake.
    let stranger = tempfile::tempdir().unwrap();
    keys::write(stranger.path()).unwrap();
    let Verdict::Refused(why) = show(centre.url(), stranger.path(), ours) else {
        panic!("a stranger's certificate is refused");
    };
    assert!(why.contains("its CA did not issue device.crt"), "{why}");
    family.issue(ours, Role::Device, Some(PAST)).unwrap();
    let Verdict::Refused(why) = show(centre.url(), ours, ours) else {
        panic!("an expired certificate is refused");
    };
    assert!(why.contains("expired"), "{why}");

    // A centre that is not ours says nothing about our certificate, nor does one that is away.
    family.issue(ours, Role::Device, None).unwrap();
    let url = centre.url();
    let verdict = show(url.clone(), ours, stranger.path());
    assert!(
        matches!(&verdict, Verdict::Unknown(why) if why.contains("not issued by the CA")),
        "{verdict:?}"
    );
    drop(centre);
    assert!(matches!(show(url, ours, ours), Verdict::Unknown(_)));
}

//! Both ways: our client takes what python-tuf makes, python-tuf's client takes what we make; behind the real nginx too.

use std::process::Command;
use std::sync::Arc;

use rap_core::digest::Sha256;
use rap_core::update::source::Https;
use rap_tests::nginx::{self, Limits, Nginx, Setup};

use super::maker;
use super::rig::{PROFILE, Rig, SBOM, manifest, skip};

#[test]
fn ours_takes_what_either_makes() {
    for made in maker::all() {
        let rig = Rig::new(made);
        for (name, number) in [("first", 1), ("second", 2), ("third", 2)] {
            rig.serve(name);
            let trusted = rig.check().unwrap();
            assert_eq!(trusted.manifest.number, number);
            assert_eq!(trusted.file.sha256, Sha256::of(&manifest(number)));
            assert_eq!(trusted.sbom.unwrap().sha256, Sha256::of(SBOM));
            assert_eq!(trusted.lost, None);
            assert!(!rig.scratch().exists());
        }
    }
}

#[test]
fn python_tuf_takes_what_tough_makes() {
    let Some(python) = maker::interpreter() else {
        return skip("python-tuf: scripts/python-tuf makes its environment");
    };
    let made = maker::by_tough();
    for name in ["second", "rotated"] {
        let place = tempfile::tempdir().unwrap();
        let output = Command::new(&python)
            .arg(maker::script("client.py"))
            .args([made.join("root.json"), made.join(name)])
            .arg(PROFILE)
            .arg(place.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            said.trim(),
            Sha256::of(&manifest(2)).to_string(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn it_comes_through_the_real_nginx() {
    if let Some(needed) = nginx::lacks() {
        return skip(&needed);
    }
    let rig = Rig::new(maker::by_tough());
    let nginx = Nginx::start(Setup::Http(Limits::default()), rig.server.address(), &rig.keys()).unwrap();
    let mut way = rig.way();
    way.url = format!("https://{}", nginx.address());
    assert_eq!(
        rig.check_over(Arc::new(Https::new(way))).unwrap().manifest.number,
        2
    );
    assert!(
        nginx.answered(404) == 1,
        "there is no second root: {}",
        nginx.words()
    );
}

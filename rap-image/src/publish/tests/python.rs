//! python-tuf, the reference implementation, in the place of a box: `scripts/python-tuf` makes its environment.

use std::process::Command;

use super::*;

/// The SHA-256 of the manifest that python-tuf's client finds in `repository` from the root in `root` on; what it has seen
/// it remembers in `place`.
fn manifest(python: &Path, root: &Path, repository: &Path, place: &Path) -> String {
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tests/update/python/client.py");
    let output = Command::new(python)
        .arg(client)
        .args([root, repository, Path::new("qemu"), place])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn python_tuf_takes_what_is_published_and_refreshed_also_over_two_new_roots() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python-tuf/bin/python");
    if !python.is_file() {
        assert!(
            std::env::var_os("CI").is_none(),
            "this test needs python-tuf: scripts/python-tuf makes its environment"
        );
        return eprintln!("skipped: needs python-tuf: scripts/python-tuf makes its environment");
    }
    let desk = rotation::desk();
    let first = desk.place.path().join("first.json");
    std::fs::copy(desk.keys.join("root.json"), &first).unwrap();
    let root = std::fs::read(&first).unwrap();
    let finds = |place: &str| {
        let manifest = manifest(
            &python,
            &first,
            &desk.repository(),
            &desk.place.path().join(place),
        );
        let ours = found(&desk.repository(), &root).unwrap();
        let file = format!("targets/{manifest}.release-qemu.json");
        let theirs = std::fs::read(desk.repository().join(file)).unwrap();
        assert_eq!(Manifest::parse(&theirs).unwrap(), ours);
        ours.number
    };
    desk.publish(desk.image("1.0.0"));
    assert_eq!(finds("one"), 1);
    let now = Timestamp::now();
    refresh(
        &desk.repository(),
        &desk.keys,
        now,
        Expiry::default(),
        false,
        &unneeded(),
        &|_| (),
    )
    .unwrap();
    assert_eq!(finds("one"), 1);
    rotation::replace(&desk, &["update-online"]);
    rotation::replace(&desk, &["update-root-2"]);
    desk.publish(desk.image("1.1.0"));
    assert_eq!((finds("one"), finds("other")), (2, 2));
}

use super::*;

fn package(name: &str, version: &str) -> Package {
    Package {
        name: name.to_owned(),
        version: version.to_owned(),
        archive: Archive::Main,
        path: format!("pool/{name}_{version}.deb"),
        sha256: Sha256::of(version.as_bytes()),
        size: 7,
        groups: BTreeSet::from([Group::Image, Group::Toolchain]),
    }
}

fn lock(packages: &[(&str, &str)]) -> Lock {
    let suite = Suite {
        name: "trixie".to_owned(),
        date: "2026-11-21T09:15:44Z".parse().unwrap(),
        sha256: Sha256::of(b"release"),
    };
    Lock::new(
        vec![suite],
        packages
            .iter()
            .map(|(name, version)| package(name, version))
            .collect(),
    )
}

#[test]
fn written_and_read_it_is_the_same_and_sorted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.lock");
    let lock = lock(&[("b", "1:2+deb13u1"), ("a", "1~rc1")]);
    lock.write(&path).unwrap();
    assert_eq!(Lock::read(&path).unwrap(), lock);
    assert_eq!(lock.packages[0].name, "a");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), lock.to_text());
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left beside it"
    );
    assert_eq!(lock.time().to_string(), "2026-11-21T09:15:44Z");
}

#[test]
fn damaged_locks_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.lock");
    assert!(matches!(Lock::read(&path), Err(Error::Absent(_))));
    let text = lock(&[("a", "1")]).to_text();
    for (from, to) in [
        ("version = 1\n", "version = 2\n"),
        ("pool/a_1.deb", "../a_1.deb"),
        ("size = 7", "size = -7"),
        ("\"image\"", "\"imagine\""),
        ("sha256 = \"", "sha256 = \"0"),
    ] {
        let damaged = text.replacen(from, to, 1);
        assert_ne!(damaged, text, "{from}");
        std::fs::write(&path, damaged).unwrap();
        assert!(matches!(Lock::read(&path), Err(Error::Damaged { .. })), "{from}");
    }
}

#[test]
fn what_is_not_locked_says_to_lock() {
    let message = lock(&[("a", "1")]).package("b").unwrap_err().to_string();
    assert_eq!(
        message,
        "the lock does not name package \"b\"; an overlay changed: run `rap-image lock`"
    );
}

#[test]
fn changes_are_named() {
    let found = changes(
        &lock(&[("a", "1"), ("b", "1"), ("c", "1")]),
        &lock(&[("a", "1"), ("b", "2"), ("d", "1")]),
    );
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["b: 1 → 2", "c: 1 → none", "d: none → 1"]);
}

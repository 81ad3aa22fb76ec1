//! Certificates, requests for them, and what a box remembers of both.

use std::sync::OnceLock;

use rap_core::digest::Sha256;
use rap_core::enrol::certificate::{Certificate, pem};
use rap_core::enrol::judge::{Wanted, judge};
use rap_core::enrol::shelf::{Folders, Shelf};
use rap_core::folder::{Directory, Folder as _};
use rap_image::keys::Passphrase;
use rap_image::provision::{Authority, Subject, Term, answer};

fn subject() -> Subject {
    Subject::new("ward-3", "RAP-0042").expect("a subject")
}

/// A file to install: what is read of it is read again, and what is judged an answer is for our keys.
pub(crate) fn certificates(bytes: &[u8]) {
    let Ok(list) = Certificate::read_all(bytes) else {
        return;
    };
    let bytes_of: Vec<_> = list.iter().map(|one| one.der.clone()).collect();
    let again = Certificate::read_all(pem(&bytes_of).as_bytes()).expect("what was read is written");
    assert_eq!(again.len(), list.len());
    for (one, again) in list.iter().zip(again) {
        assert_eq!(one.facts, again.facts);
        assert!(!one.facts.words().contains('\n'));
    }
    // Each key in turn is ours, and each certificate the authority: only then anything behind is reached.
    let key = |index: usize| list.get(index).map_or(Sha256::of(b""), |one| one.facts.key);
    let wanted = Wanted {
        subject: subject(),
        device: key(0),
        ingest: key(1),
    };
    if let Ok(answer) = judge(bytes, &wanted, &[], 1_767_225_600) {
        let chain = Certificate::read_all(answer.device.as_bytes()).expect("a chain");
        assert_eq!(chain[0].facts.key, wanted.device);
    }
}

/// What a box remembers; it is its own, and a disk may have changed it.
pub(crate) fn memory(bytes: &[u8]) {
    let place = tempfile::tempdir().expect("a folder");
    let folder = |name: &str| Directory(place.path().join(name));
    let mut own = folder("own");
    own.replace("kept.json", bytes).expect("room for it");
    let shelf = Shelf::open(Folders {
        own,
        forward: folder("forward"),
        web: folder("web"),
    });
    let shelf = shelf.expect("damage is no error");
    assert!(
        !shelf.is_in_use().expect("a disk that works"),
        "nothing was in use"
    );
    let _ = shelf.wanted();
}

/// A box's requests on the desk: what is answered has the subject that was said there.
pub(crate) fn requests(bytes: &[u8]) {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let authority = AUTHORITY.get_or_init(|| {
        let place = tempfile::tempdir().expect("a folder");
        let keys = place.path().join("keys");
        rap_image::keys::write_development(&keys, false, &[]).expect("keys");
        Authority::load(&keys, &Passphrase::known("")).expect("an authority")
    });
    let now = "2026-01-01T00:00:00Z".parse().expect("a time");
    let term = Term::new(now, 5).expect("a term");
    if let Ok(answer) = answer(authority, &subject(), text, &[], term) {
        let list = Certificate::read_all(answer.pem.as_bytes()).expect("certificates");
        for (one, key) in list.iter().zip(&answer.keys) {
            assert_eq!((&*one.facts.name, one.facts.key), ("ward-3", *key));
        }
    }
}

//! What the desk reads of keys and repositories that others made.

use std::path::Path;

use rap_image::trust::{Chain, Root, public_key};

/// A root of updates: what is taken has as many signatures as it asks for, so it follows itself under no number but the next.
pub(crate) fn update_root(bytes: &[u8]) {
    if let Ok(root) = Root::parse(Path::new("root.json"), bytes) {
        assert!(root.version() > 0);
        assert!(Chain::of(root.clone()).push(root).is_err());
    }
}

/// A public key in PEM: what is taken is read again from metadata as the same key.
pub(crate) fn update_key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(key) = public_key(text) {
        let json = serde_json::to_vec(&key).expect("keys are written");
        let again: tough::schema::key::Key = serde_json::from_slice(&json).expect("and read");
        assert_eq!(again.key_id().expect("an id"), key.key_id().expect("an id"));
    }
}

use pgp::composed::{ArmorOptions, KeyType, SecretKeyParamsBuilder, SignedSecretKey};
use pgp::types::Password;

use super::*;

/// A key like the archive's: an Ed25519 primary key that signs.
fn key(name: &str) -> SignedSecretKey {
    let mut parameters = SecretKeyParamsBuilder::default();
    parameters
        .key_type(KeyType::Ed25519Legacy)
        .can_certify(true)
        .can_sign(true)
        .primary_user_id(name.to_owned());
    parameters.build().unwrap().generate(rand()).unwrap()
}

fn rand() -> rand::rngs::OsRng {
    rand::rngs::OsRng
}

fn keyring_of(keys: &[&SignedSecretKey]) -> (tempfile::TempDir, Keyring) {
    let folder = tempfile::tempdir().unwrap();
    for (number, key) in keys.iter().enumerate() {
        let text = key
            .to_public_key()
            .to_armored_string(ArmorOptions::default())
            .unwrap();
        std::fs::write(folder.path().join(format!("{number}.asc")), text).unwrap();
    }
    let keyring = Keyring::read(folder.path()).unwrap();
    (folder, keyring)
}

fn signed(key: &SignedSecretKey, text: &str) -> String {
    let message = CleartextSignedMessage::sign(rand(), text, &key.primary_key, &Password::empty()).unwrap();
    message.to_armored_string(ArmorOptions::default()).unwrap()
}

#[test]
fn a_believed_signature_gives_the_text() {
    let archive = key("archive");
    let (_folder, keyring) = keyring_of(&[&key("other"), &archive]);
    let text = "Codename: trixie\n- dashed\n";
    assert_eq!(
        keyring.verify(&signed(&archive, text)).unwrap().trim_end(),
        text.trim_end()
    );
}

#[test]
fn a_changed_text_is_refused() {
    let archive = key("archive");
    let (_folder, keyring) = keyring_of(&[&archive]);
    let message = signed(&archive, "Codename: trixie\n").replace("trixie", "trixiE");
    let error = keyring.verify(&message).unwrap_err();
    assert!(matches!(error, Error::NotBelieved { .. }), "{error}");
    assert!(error.to_string().contains(&keyring.fingerprints()[0]), "{error}");
}

#[test]
fn somebody_elses_signature_is_refused() {
    let (_folder, keyring) = keyring_of(&[&key("archive")]);
    let error = keyring
        .verify(&signed(&key("mallory"), "Codename: trixie\n"))
        .unwrap_err();
    assert!(matches!(error, Error::NotBelieved { .. }), "{error}");
}

#[test]
fn no_signature_is_refused() {
    let (_folder, keyring) = keyring_of(&[&key("archive")]);
    for message in [
        "",
        "Codename: trixie\n",
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nx\n",
    ] {
        let error = keyring.verify(message).unwrap_err();
        assert!(matches!(error, Error::Unsigned(_)), "{error}");
    }
}

#[test]
fn text_around_the_signed_part_is_not_returned() {
    let archive = key("archive");
    let (_folder, keyring) = keyring_of(&[&archive]);
    let message = signed(&archive, "Codename: trixie\n");
    assert!(keyring.verify(&format!("{message}Codename: evil\n")).is_err());
    if let Ok(text) = keyring.verify(&format!("Codename: evil\n{message}")) {
        assert!(!text.contains("evil"));
    }
}

#[test]
fn an_empty_keyring_believes_nobody() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Keyring::read(folder.path()), Err(Error::Empty(_))));
    std::fs::write(folder.path().join("a.asc"), "no certificate").unwrap();
    assert!(matches!(
        Keyring::read(folder.path()),
        Err(Error::Certificate(..))
    ));
}

#[test]
fn debians_own_certificates_are_readable() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../overlays/keyring");
    assert_eq!(Keyring::read(&folder).unwrap().fingerprints().len(), 3);
}

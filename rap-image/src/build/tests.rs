//! Who may sign what.

use rcgen::{CertificateParams, DnType, KeyPair, RsaKeySize};

use super::*;

/// A directory with a signing key whose certificate has this name.
fn keys(name: &str) -> tempfile::TempDir {
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let place = tempfile::tempdir().unwrap();
    let write = |kind: &str, text: String| {
        std::fs::write(place.path().join(format!("{PROGRAM_KEY}.{kind}")), text).unwrap();
    };
    write("crt", params.self_signed(&key).unwrap().pem());
    write("key", key.serialize_pem());
    place
}

fn order(keys: &Path, extra: &[&str], host_toolchain: bool) -> Order {
    Order {
        repository: PathBuf::new(),
        overlays: PathBuf::new(),
        profile: "qemu".to_owned(),
        extra: extra.iter().map(|name| (*name).to_owned()).collect(),
        out: PathBuf::new(),
        host_toolchain,
        offline: true,
        refresh_missing: false,
        keys: Some(keys.to_owned()),
    }
}

#[test]
fn release_keys_sign_no_image_for_development() {
    let release = keys("RAP release 7");
    assert!(signer(&order(release.path(), &[], false)).unwrap().is_some());
    for (extra, host_toolchain) in [(&["debug"][..], false), (&[], true)] {
        let error = signer(&order(release.path(), extra, host_toolchain)).unwrap_err();
        assert!(
            matches!(&error, BuildError::Development(name) if name == "RAP release 7"),
            "{error}"
        );
        let development = keys("DEVELOPMENT secure-boot-db");
        assert!(signer(&order(development.path(), extra, host_toolchain)).is_ok());
    }
}

use super::*;

fn write_pair(directory: &Path, name: &str) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    std::fs::write(directory.join(format!("{name}.crt")), certificate.pem()).unwrap();
    std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["device", "ingest", "centre-ca"] {
        write_pair(directory.path(), name);
    }
    directory
}

#[test]
fn a_whole_identity_loads() {
    let directory = directory();
    let identity = Identity::load(directory.path()).unwrap();
    assert!(identity.centre_tls().client_cert().is_some());
}

#[test]
fn each_missing_or_wrong_file_is_named() {
    for name in [
        "device.crt",
        "device.key",
        "centre-ca.crt",
        "ingest.crt",
        "ingest.key",
    ] {
        let directory = directory();
        std::fs::write(directory.path().join(name), "hello").unwrap();
        let error = Identity::load(directory.path()).unwrap_err();
        assert!(matches!(error, IdentityError::Missing { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
        std::fs::remove_file(directory.path().join(name)).unwrap();
        let error = Identity::load(directory.path()).unwrap_err();
        assert!(
            error.to_string().contains(&format!("{name}: cannot be read")),
            "{error}"
        );
    }
}

#[test]
fn a_key_that_does_not_fit_is_found_before_use() {
    for name in ["device.key", "ingest.key"] {
        let directory = directory();
        let other = rcgen::KeyPair::generate().unwrap();
        std::fs::write(directory.path().join(name), other.serialize_pem()).unwrap();
        let error = Identity::load(directory.path()).unwrap_err();
        assert!(matches!(error, IdentityError::Unusable { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

//! What the keys are for, tried; and what the directory looks like.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::*;

type Set = BTreeMap<String, Vec<u8>>;

fn set() -> Set {
    let files = development(&[IpAddr::from([192, 168, 1, 1])]).unwrap();
    files.into_iter().map(|file| (file.name, file.content)).collect()
}

fn certificate(set: &Set, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(&set[&format!("{name}.crt")]).unwrap()
}

fn key(set: &Set, name: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(&set[&format!("{name}.key")]).unwrap()
}

#[test]
fn a_box_takes_the_service_key_for_what_it_is_asked() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("service.pub");
    std::fs::write(&path, &set()["service.pub"]).unwrap();
    rap_core::directive::ServiceKey::load(&path).unwrap();
}

/// Shakes hands in memory: `client` (or nobody) talks to `server` under `name`.
fn handshake(set: &Set, client: Option<&str>, server: &str, name: &str) -> Result<(), rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate(set, "centre-ca")).unwrap();
    let roots = Arc::new(roots);
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::clone(&roots),
        Arc::clone(&provider),
    );
    let verifier = if client.is_some() {
        verifier
    } else {
        verifier.allow_unauthenticated()
    };
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate(set, server)], key(set, server))?;
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let client = match client {
        Some(client) => builder.with_client_auth_cert(vec![certificate(set, client)], key(set, client))?,
        None => builder.with_no_client_auth(),
    };
    let mut client =
        rustls::ClientConnection::new(Arc::new(client), ServerName::try_from(name.to_owned()).unwrap())?;
    let mut server = rustls::ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets()?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn the_box_and_the_centre_trust_each_other_and_no_other_use() {
    let set = set();
    handshake(&set, Some("device"), "centre", &CENTRE.ip().to_string()).unwrap();
    handshake(&set, Some("device"), "centre", CENTRE_NAME).unwrap();
    handshake(&set, None, "ingest", BOX_NAME).unwrap();
    handshake(&set, None, "ingest", "192.168.1.1").unwrap();
    assert!(handshake(&set, Some("device"), "centre", "other.test").is_err());
    assert!(
        handshake(&set, Some("centre"), "centre", CENTRE_NAME).is_err(),
        "a server is no client"
    );
    assert!(
        handshake(&set, None, "device", CENTRE_NAME).is_err(),
        "a client is no server"
    );
}

#[test]
fn every_certificate_says_development_and_every_key_is_of_its_kind() {
    let set = set();
    for (name, content) in set.iter().filter(|(name, _)| name.ends_with(".crt")) {
        let der = CertificateDer::from_pem_slice(content).unwrap();
        assert!(der.windows(11).any(|window| window == b"DEVELOPMENT"), "{name}");
    }
    for name in ["PK", "KEK", "db"] {
        let pair = KeyPair::from_pem(std::str::from_utf8(&set[&format!("secure-boot-{name}.key")]).unwrap());
        assert!(pair.unwrap().is_compatible(&rcgen::PKCS_RSA_SHA256));
    }
    let root = KeyPair::from_pem(std::str::from_utf8(&set["update-root-1.key"]).unwrap()).unwrap();
    assert!(root.is_compatible(&rcgen::PKCS_ED25519));
}

#[test]
fn the_root_is_for_development_and_signed_by_two_of_three() {
    let set = set();
    let root = trust::Root::parse(Path::new(ROOT_FILE), &set[ROOT_FILE]).unwrap();
    assert!(root.is_development());
    assert_eq!(root.version(), 1);
    let keys = &root.content().roles[&RoleType::Root];
    assert_eq!((keys.threshold.get(), keys.keyids.len()), (2, 3));
    let text = std::str::from_utf8(&set[ROOT_FILE]).unwrap();
    assert!(text.contains("\"expires\":\"2054-01-01T00:00:00Z\""), "{text}");
    let online =
        PrivateKey::of(KeyPair::from_pem(std::str::from_utf8(&set["update-online.key"]).unwrap()).unwrap());
    let online = Signatory::new(ONLINE, online).unwrap();
    assert!(online.is_of(root.content(), RoleType::Timestamp));
    assert!(!online.is_of(root.content(), RoleType::Root));
}

#[test]
fn a_set_is_closed_to_others_and_not_replaced_by_accident() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("keys/dev");
    write_development(&out, false, &[]).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&out), 0o700);
    let names: Vec<_> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(names.len(), 1 + 2 * 7 + 2 * 5 + 1);
    assert!(names.iter().all(|path| mode(path) == 0o600));
    let before = std::fs::read(out.join("device.key")).unwrap();
    let error = write_development(&out, false, &[]).unwrap_err();
    assert!(matches!(error, KeysError::Exists { .. }));
    assert!(error.to_string().contains("--force"));
    assert_eq!(std::fs::read(out.join("device.key")).unwrap(), before);
    write_development(&out, true, &[]).unwrap();
    assert_ne!(std::fs::read(out.join("device.key")).unwrap(), before);
    assert_eq!(std::fs::read_dir(out.parent().unwrap()).unwrap().count(), 1);
    std::fs::remove_file(out.join("README")).unwrap();
    assert!(matches!(
        write_development(&out, true, &[]),
        Err(KeysError::Foreign { .. })
    ));
}

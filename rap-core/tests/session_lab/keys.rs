//! The keys of both ends: a CA for tunnels, a certificate each, tls-crypt-v2, and the service key.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384,
};

use super::openvpn;

/// Writes what the box has into `identity`, what the server has into `server`; returns the service key.
pub(crate) fn write(identity: &Path, server: &Path) -> KeyPair {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "tunnels");
    let ca = CertifiedIssuer::self_signed(params, key()).unwrap();
    for path in [identity.join("tunnel-ca.crt"), server.join("ca.crt")] {
        std::fs::write(path, ca.pem()).unwrap();
    }
    let issue = |name: &str, usage, folder: &Path, file: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyAgreement];
        params.extended_key_usages = vec![usage];
        let key = key();
        let certificate = params.signed_by(&key, &ca).unwrap();
        std::fs::write(folder.join(format!("{file}.crt")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    };
    issue("box", ExtendedKeyUsagePurpose::ClientAuth, identity, "tunnel");
    issue("server", ExtendedKeyUsagePurpose::ServerAuth, server, "server");
    let crypt = server.join("crypt.key");
    openvpn(&["--genkey", "tls-crypt-v2-server"], &crypt);
    let of_client = [
        "--tls-crypt-v2",
        crypt.to_str().unwrap(),
        "--genkey",
        "tls-crypt-v2-client",
    ];
    openvpn(&of_client, &identity.join("tunnel-crypt.key"));
    let signer = KeyPair::generate().unwrap();
    std::fs::write(identity.join("service.pub"), signer.public_key_pem()).unwrap();
    signer
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap()
}

//! Throw-away keys for tests that run in one process: a CA, and what it issues.
//!
//! The files have the names of the identity directory (`rap_core::identity`), and `centre.crt`, `centre.key`.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};

/// The name in `ingest.crt`.
pub const INGEST_NAME: &str = "rap.local";

/// Writes a whole new family of keys into `directory`: device, ingest and centre, all from one CA.
///
/// # Errors
/// When a key cannot be made or a file not be written.
pub fn write(directory: &Path) -> anyhow::Result<()> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "test CA");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    std::fs::write(directory.join("centre-ca.crt"), ca.pem())?;
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    let server = ExtendedKeyUsagePurpose::ServerAuth;
    for (name, names, usage) in [
        ("device", vec![], client),
        ("ingest", vec![INGEST_NAME, "127.0.0.1"], server.clone()),
        ("centre", vec!["127.0.0.1", "centre.test"], server),
    ] {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &ca)?;
        std::fs::write(directory.join(format!("{name}.crt")), certificate.pem())?;
        std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem())?;
    }
    Ok(())
}

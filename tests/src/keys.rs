//! Throw-away keys for tests that run in one process: a CA, and what it issues.
//!
//! The files have the names of the identity directory (`rap_core::identity`), and `centre.crt`, `centre.key`.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};

/// The name in `ingest.crt`.
pub const INGEST_NAME: &str = "rap.local";
/// A name in `centre.crt`, beside 127.0.0.1.
pub const CENTRE_NAME: &str = "centre.test";

/// For which of its services a family issues a pair of certificate and key; the name of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The box towards the service centre.
    Device,
    /// The box towards the instruments.
    Ingest,
    /// The service centre.
    Centre,
}

/// When a certificate is valid, by whole years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// At any time a test may run.
    Now,
    /// Until the year 2001 began.
    Expired,
    /// Once the year 2200 begins.
    NotYet,
}

/// A CA that can go on issuing.
#[derive(Debug)]
pub struct Family(CertifiedIssuer<'static, KeyPair>);

/// Writes a whole new family of keys into `directory`: device, ingest and centre, all from one CA.
///
/// # Errors
/// When a key cannot be made or a file not be written.
pub fn write(directory: &Path) -> anyhow::Result<()> {
    Family::new()?.write(directory)
}

impl Family {
    /// A new CA.
    ///
    /// # Errors
    /// When its key cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test CA");
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Writes the CA's certificate, and a pair for each role that is valid now.
    ///
    /// # Errors
    /// When a key cannot be made or a file not be written.
    pub fn write(&self, directory: &Path) -> anyhow::Result<()> {
        std::fs::write(directory.join("centre-ca.crt"), self.0.pem())?;
        for role in [Role::Device, Role::Ingest, Role::Centre] {
            self.issue(directory, role, Validity::Now)?;
        }
        Ok(())
    }

    /// Writes a new pair for `role` over the one that was there.
    ///
    /// # Errors
    /// When a key cannot be made or a file not be written.
    pub fn issue(&self, directory: &Path, role: Role, validity: Validity) -> anyhow::Result<()> {
        let (name, names, usage) = match role {
            Role::Device => ("device", vec![], ExtendedKeyUsagePurpose::ClientAuth),
            Role::Ingest => (
                "ingest",
                vec![INGEST_NAME, "127.0.0.1"],
                ExtendedKeyUsagePurpose::ServerAuth,
            ),
            Role::Centre => (
                "centre",
                vec!["127.0.0.1", CENTRE_NAME],
                ExtendedKeyUsagePurpose::ServerAuth,
            ),
        };
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        match validity {
            Validity::Now => {}
            Validity::Expired => params.not_after = date_time_ymd(2001, 1, 1),
            Validity::NotYet => params.not_before = date_time_ymd(2200, 1, 1),
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        std::fs::write(directory.join(format!("{name}.crt")), certificate.pem())?;
        std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem())?;
        Ok(())
    }
}

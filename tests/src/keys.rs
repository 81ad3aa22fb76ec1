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
    Family::new()?.write(directory)
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `device.crt`: the box, towards the centre.
    Device,
    /// `ingest.crt`: the box, towards the instruments.
    Ingest,
    /// `centre.crt`: the centre.
    Centre,
}

/// First and last day of validity: year, month, day.
pub type Days = [(i32, u8, u8); 2];
/// Over for long, by any clock that is right.
pub const PAST: Days = [(2019, 1, 1), (2020, 1, 1)];
/// Not begun for long, by any clock that is right.
pub const FUTURE: Days = [(2090, 1, 1), (2091, 1, 1)];

/// A CA that can issue more.
#[derive(Debug)]
pub struct Family {
    ca: CertifiedIssuer<'static, KeyPair>,
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
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { ca })
    }

    /// Writes the CA's certificate and one of each role, valid for ever, into `directory`.
    ///
    /// # Errors
    /// When a key cannot be made or a file not be written.
    pub fn write(&self, directory: &Path) -> anyhow::Result<()> {
        std::fs::write(directory.join("centre-ca.crt"), self.ca.pem())?;
        for role in [Role::Device, Role::Ingest, Role::Centre] {
            self.issue(directory, role, None)?;
        }
        Ok(())
    }

    /// Writes a new certificate and key of `role` into `directory`, valid on these days or for ever.
    ///
    /// # Errors
    /// When the key cannot be made or a file not be written.
    pub fn issue(&self, directory: &Path, role: Role, days: Option<Days>) -> anyhow::Result<()> {
        let (name, names, usage) = match role {
            Role::Device => ("device", &[][..], ExtendedKeyUsagePurpose::ClientAuth),
            Role::Ingest => (
                "ingest",
                &[INGEST_NAME, "127.0.0.1"][..],
                ExtendedKeyUsagePurpose::ServerAuth,
            ),
            Role::Centre => (
                "centre",
                &["127.0.0.1", "centre.test"][..],
                ExtendedKeyUsagePurpose::ServerAuth,
            ),
        };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        if let Some([from, until]) = days {
            params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
            params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.ca)?;
        std::fs::write(directory.join(format!("{name}.crt")), certificate.pem())?;
        std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem())?;
        Ok(())
    }
}

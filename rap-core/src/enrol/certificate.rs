//! Certificates as people are told of them: whom, by whom, until when. Whether one is to be believed is the verifier's
//! question ([`super::judge`]), never this module's.
//!
//! Invariant: what others wrote is at most [`FILE_LIMIT`] bytes and [`MOST`] certificates, and texts taken from it have no
//! control characters.

use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::OID_X509_SERIALNUMBER;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use crate::client::words;
use crate::digest::Sha256;
use crate::identity;

/// Bytes of a file with certificates, at most.
pub const FILE_LIMIT: usize = 64 << 10;
/// Certificates in it, at most.
pub const MOST: usize = 16;
/// Characters of a name that are shown.
const NAME: usize = 200;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Facts {
    /// The common name of whom it is for.
    pub name: String,
    /// The box's serial number, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Who issued it.
    pub issuer: String,
    /// Its own number, in hexadecimal.
    pub number: String,
    /// From when it is valid, in seconds since 1970.
    pub from: u64,
    /// Until when, likewise.
    pub until: u64,
    /// Whether nobody but itself vouches for it.
    pub self_issued: bool,
    /// SHA-256 of the certificate.
    pub sha256: Sha256,
    /// SHA-256 of its key's `SubjectPublicKeyInfo`.
    pub key: Sha256,
}

/// What is no file with certificates.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Too much.
    #[error("the file has more than {FILE_LIMIT} bytes, or more than {MOST} certificates")]
    TooMuch,
    /// No PEM.
    #[error("the file is not valid PEM (BEGIN CERTIFICATE … END CERTIFICATE)")]
    Pem(#[source] std::io::Error),
    /// Nothing in it.
    #[error("the file holds no certificate in PEM form")]
    Nothing,
    /// One that is none.
    #[error("certificate {0} of the file cannot be read")]
    Certificate(usize),
}

/// A certificate and what it says.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Its bytes.
    pub der: CertificateDer<'static>,
    /// What it says.
    pub facts: Facts,
}

impl Certificate {
    /// Reads one; `None` when it is none.
    #[must_use]
    pub fn read(der: CertificateDer<'static>) -> Option<Self> {
        let (rest, read) = X509Certificate::from_der(&der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let validity = read.validity();
        let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
        let facts = Facts {
            name: common_name(read.subject()),
            serial: serial(read.subject()),
            issuer: match common_name(read.issuer()) {
                none if none.is_empty() => clean(&read.issuer().to_string()),
                name => name,
            },
            number: read.raw_serial_as_string(),
            from: seconds(validity.not_before.timestamp()),
            until: seconds(validity.not_after.timestamp()),
            self_issued: read.subject().as_raw() == read.issuer().as_raw(),
            sha256: Sha256::of(&der),
            key: Sha256::of(read.public_key().raw),
        };
        Some(Self { der, facts })
    }

    /// Reads a file's certificates, in their order.
    ///
    /// # Errors
    /// When there is none, one that cannot be read, or too much.
    pub fn read_all(pem: &[u8]) -> Result<Vec<Self>, Unreadable> {
        if pem.len() > FILE_LIMIT {
            return Err(Unreadable::TooMuch);
        }
        let list = identity::certificates_in(pem).map_err(Unreadable::Pem)?;
        if list.len() > MOST {
            return Err(Unreadable::TooMuch);
        }
        if list.is_empty() {
            return Err(Unreadable::Nothing);
        }
        let numbered = (1..).zip(list);
        numbered
            .map(|(number, der)| Self::read(der).ok_or(Unreadable::Certificate(number)))
            .collect()
    }
}

impl Facts {
    /// In a line, for logs and records.
    #[must_use]
    pub fn words(&self) -> String {
        let (number, until) = (&self.number, words::day(self.until));
        format!("number {number} of {}, valid until {until}", self.issuer)
    }
}

/// These certificates in PEM (RFC 7468).
#[must_use]
pub fn pem(certificates: &[CertificateDer<'_>]) -> String {
    use base64::Engine as _;
    let one = |certificate: &CertificateDer<'_>| {
        let text = base64::engine::general_purpose::STANDARD.encode(certificate);
        let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
    };
    certificates.iter().map(one).collect()
}

fn common_name(name: &X509Name<'_>) -> String {
    let mut names = name.iter_common_name();
    let text = names.next().and_then(|name| name.as_str().ok());
    text.map(clean).unwrap_or_default()
}

fn serial(name: &X509Name<'_>) -> Option<String> {
    let mut serials = name.iter_by_oid(&OID_X509_SERIALNUMBER);
    Some(clean(serials.next()?.as_str().ok()?))
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(NAME).collect()
}

//! Certificates for one box, from the authority that box and service centre trust: an identity made on the desk
//! ([`identity`]), or a certificate for a key that never left the box ([`answer`]).
//!
//! The authority is a directory with `centre-ca.crt` and its key, in clear, encrypted, or with a program that signs
//! ([`crate::keys::PrivateKey`]).
//!
//! Invariants: a certificate says what the person at the desk said, never what a request asks for; nothing is given out
//! before it was held against the authority's certificate as the service centre or an agent would hold it.

mod authority;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rap_core::digest::Sha256;
pub use rap_core::enrol::{NoSubject, Subject};
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};

use crate::keys::{BOX_NAME, KeysError, PrivateKeyError, write_new};

pub use authority::Authority;
use authority::Usage;

/// Bytes of a request, at most; one has 500.
pub const REQUEST_LIMIT: usize = 64 << 10;
/// The end of a request in PEM (RFC 7468 §7).
const END_OF_REQUEST: &str = "-----END CERTIFICATE REQUEST-----";
/// X.520's serialNumber, which says which box it is where names change.
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];
/// Years that a certificate is valid before it is made: a box's clock is as old as its image until somebody tells it
/// the time.
const YEARS_BEFORE: i16 = 1;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The box's name or serial number.
    #[error(transparent)]
    NoSubject(#[from] NoSubject),
    /// Years of validity.
    #[error("a certificate of {0} years; expected 1 to 30")]
    Years(u8),
    /// The authority's certificate.
    #[error("{0} cannot be read; --ca is a directory with centre-ca.crt and centre-ca.key")]
    Authority(PathBuf, #[source] Box<rap_core::identity::IdentityError>),
    /// The authority's certificate is none.
    #[error("{0} is not an authority's certificate")]
    NoAuthority(PathBuf, #[source] rcgen::Error),
    /// The authority's key.
    #[error("the authority's key cannot be used")]
    Key(#[from] PrivateKeyError),
    /// The authority's public key.
    #[error("the authority's public key is not known: put centre-ca.pub beside centre-ca.signer")]
    NoPublic(#[source] rcgen::Error),
    /// A request that is none.
    #[error("that is no certificate request in PEM, or its signature is not by its own key")]
    Request(#[source] rcgen::Error),
    /// A request that is too large.
    #[error("the request has more than {REQUEST_LIMIT} bytes")]
    TooLarge,
    /// More requests than a box makes.
    #[error(
        "the file holds {0} requests; a box makes one for the service centre and one for the instruments, in that order"
    )]
    TooMany(usize),
    /// A request for another box.
    #[error(
        "the request is for {found:?}, not for {expected:?}: it is another box's, or was mixed up on its way"
    )]
    Subject {
        /// What it says.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// A key of a kind that box and centre do not use.
    #[error("the request's key is of another kind than ECDSA on P-256 or P-384")]
    Kind,
    /// Making it failed.
    #[error("the certificate cannot be made")]
    Make(#[source] rcgen::Error),
    /// What was made would not be accepted.
    #[error(
        "what was issued would not be accepted: is centre-ca.key the key of centre-ca.crt, and is that still valid?"
    )]
    Refused(#[source] rustls::Error),
    /// Writing.
    #[error("the identity was not written")]
    Write(#[from] KeysError),
}

/// Until when certificates are valid.
#[derive(Debug, Clone, Copy)]
pub struct Term {
    now: Timestamp,
    years: u8,
}

impl Term {
    /// From a year before `now` until `years` after it.
    ///
    /// # Errors
    /// When that is not 1 to 30.
    pub fn new(now: Timestamp, years: u8) -> Result<Self, ProvisionError> {
        if !(1..=30).contains(&years) {
            return Err(ProvisionError::Years(years));
        }
        Ok(Self { now, years })
    }
}

/// Everything that `flash --identity` takes, for one box; `ingest` are the addresses its instruments' agents reach it at.
///
/// # Errors
/// When a key or certificate cannot be made, or would not be accepted.
pub fn identity(
    authority: &Authority,
    subject: &Subject,
    ingest: &[IpAddr],
    term: Term,
) -> Result<BTreeMap<String, Vec<u8>>, ProvisionError> {
    let mut files = BTreeMap::new();
    let mut put = |name: &str, content: String| {
        files.insert(name.to_owned(), content.into_bytes());
    };
    let make = ProvisionError::Make;
    for (name, usage, names) in [
        ("device", Usage::Client, Vec::new()),
        ("ingest", Usage::Server, names(ingest)?),
    ] {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(make)?;
        let certificate = params(subject, usage, names, term);
        let certificate = certificate.signed_by(&key, authority.issuer()).map_err(make)?;
        authority.accepts(certificate.der(), usage, term.now)?;
        put(&format!("{name}.crt"), certificate.pem());
        put(&format!("{name}.key"), key.serialize_pem());
    }
    put("centre-ca.crt", authority.pem().to_owned());
    Ok(files)
}

/// Writes an identity into the directory `out`, which must not be there yet, for its owner alone; whole or not at all.
///
/// # Errors
/// When there is something, or it cannot be written.
pub fn write(out: &Path, files: BTreeMap<String, Vec<u8>>) -> Result<(), ProvisionError> {
    Ok(write_new(out, files)?)
}

/// What a box installs: certificates for the keys of its requests, and the authority's.
#[derive(Debug)]
pub struct Answer {
    /// The certificates, in PEM.
    pub pem: String,
    /// SHA-256 of each key's `SubjectPublicKeyInfo`, as the box shows them: the one towards the service centre first.
    pub keys: Vec<Sha256>,
}

/// Answers a box's certificate requests, in PEM: the first is for the service centre, the second, if there is one, for
/// the instruments, whose agents reach the box at the addresses `ingest`. Of a request only the key counts; its subject
/// must be `subject`.
///
/// # Errors
/// When it is no request, not signed by its own key, for another box, or of another kind of key.
pub fn answer(
    authority: &Authority,
    subject: &Subject,
    requests: &str,
    ingest: &[IpAddr],
    term: Term,
) -> Result<Answer, ProvisionError> {
    if requests.len() > REQUEST_LIMIT {
        return Err(ProvisionError::TooLarge);
    }
    // A text without a request is left to the parser, which says so.
    let count = requests.matches(END_OF_REQUEST).count().max(1);
    let uses = [(Usage::Client, Vec::new()), (Usage::Server, names(ingest)?)];
    if count > uses.len() {
        return Err(ProvisionError::TooMany(count));
    }
    let (mut pem, mut keys) = (String::new(), Vec::new());
    let each = requests.split_inclusive(END_OF_REQUEST).take(count);
    for (request, (usage, names)) in each.zip(uses) {
        let request = CertificateSigningRequestParams::from_pem(request).map_err(ProvisionError::Request)?;
        let found = text_of(&request.params.distinguished_name);
        if found != subject.to_string() {
            let expected = subject.to_string();
            return Err(ProvisionError::Subject { found, expected });
        }
        let kinds = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384];
        if !kinds.contains(&request.public_key.algorithm()) {
            return Err(ProvisionError::Kind);
        }
        keys.push(Sha256::of(&request.public_key.subject_public_key_info()));
        let certificate = params(subject, usage, names, term)
            .signed_by(&request.public_key, authority.issuer())
            .map_err(ProvisionError::Make)?;
        authority.accepts(certificate.der(), usage, term.now)?;
        pem += &certificate.pem();
    }
    pem += authority.pem();
    Ok(Answer { pem, keys })
}

/// What agents may call a box.
fn names(ingest: &[IpAddr]) -> Result<Vec<SanType>, ProvisionError> {
    let mut names: Vec<SanType> = ingest.iter().copied().map(SanType::IpAddress).collect();
    names.push(SanType::DnsName(
        BOX_NAME.try_into().map_err(ProvisionError::Make)?,
    ));
    Ok(names)
}

fn distinguished(subject: &Subject) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, subject.name());
    name.push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), subject.serial());
    name
}

fn params(subject: &Subject, usage: Usage, names: Vec<SanType>, term: Term) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished(subject);
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![match usage {
        Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
        Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
    }];
    let today = term.now.to_zoned(jiff::tz::TimeZone::UTC);
    let day = |years: i16| {
        // Every month has 28 days.
        let (month, day) = (today.month().unsigned_abs(), today.day().min(28).unsigned_abs());
        rcgen::date_time_ymd((today.year() + years).into(), month, day)
    };
    params.not_before = day(-YEARS_BEFORE);
    params.not_after = day(term.years.into());
    // Positive and at most 20 bytes (RFC 5280 §4.1.2.2).
    let mut serial = uuid::Uuid::new_v4().into_bytes();
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

/// Name and serial number of a request; empty texts where it has none.
fn text_of(name: &DistinguishedName) -> String {
    let text = |kind: &DnType| match name.get(kind) {
        Some(DnValue::Utf8String(text)) => text.clone(),
        Some(DnValue::PrintableString(text)) => text.as_str().to_owned(),
        _ => String::new(),
    };
    let serial = DnType::CustomDnType(SERIAL_NUMBER.to_vec());
    format!("{} {}", text(&DnType::CommonName), text(&serial))
}

#[cfg(test)]
mod tests;

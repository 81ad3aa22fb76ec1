//! From when until when a certificate is valid.
//!
//! Read by asking the library that verifies certificates at both ends of time: there is no second parser of ours that
//! could read another date than it does.

use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use super::provider;

/// Both ends count in seconds since 1970-01-01 UTC and belong to the time of validity (RFC 5280 §4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// `notBefore`.
    pub from: u64,
    /// `notAfter`.
    pub until: u64,
}

impl Validity {
    /// Of a certificate; `None` where it cannot be told.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let beginning = ask(certificate, 0)?;
        // Far beyond the year 9999, the last a certificate can name.
        let end = ask(certificate, u64::MAX / 4)?;
        match (beginning, end) {
            (
                CertificateError::NotValidYetContext { not_before, .. },
                CertificateError::ExpiredContext { not_after, .. },
            ) => Some(Self {
                from: not_before.as_secs(),
                until: not_after.as_secs(),
            }),
            _ => None,
        }
    }
}

/// Why it is refused at that time. The dates are looked at first; no root is needed, and there is none.
fn ask(certificate: &CertificateDer<'_>, seconds: u64) -> Option<CertificateError> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let algorithms = provider().signature_verification_algorithms.all;
    match verify_server_cert_signed_by_trust_anchor(&parsed, &RootCertStore::empty(), &[], at, algorithms) {
        Err(Error::InvalidCertificate(cause)) => Some(cause),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_dates_are_read() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["box".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 2, 29);
        params.not_after = rcgen::date_time_ymd(2051, 1, 2);
        let certificate = params.self_signed(&key).unwrap();
        let validity = Validity::of(certificate.der()).unwrap();
        assert_eq!((validity.from, validity.until), (1_582_934_400, 2_556_230_400));
    }

    #[test]
    fn what_is_no_certificate_has_none() {
        for bytes in [&b""[..], b"\x30\x00", &[0x30; 64]] {
            assert_eq!(Validity::of(&CertificateDer::from(bytes)), None);
        }
    }
}

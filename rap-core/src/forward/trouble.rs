//! What is wrong with the uplink, in words a person can act on, and each thing said once.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use rustls::{AlertDescription, CertificateError};

use crate::relay::client::RelayError;

/// The same trouble is said again after this long.
const REMIND: Duration = Duration::from_secs(3600);

/// Puts the failure of a request into words. The same cause always gives the same words.
pub(super) fn of_request(error: &ureq::Error) -> String {
    if let Some(tls) = tls_cause(error) {
        return of_tls(tls);
    }
    match error {
        // The relay has found the words already.
        ureq::Error::Other(cause) if cause.is::<RelayError>() => cause.to_string(),
        ureq::Error::HostNotFound => "the service centre's name cannot be resolved".to_owned(),
        ureq::Error::Timeout(_) => "the service centre does not answer in time".to_owned(),
        ureq::Error::ConnectionFailed => "the service centre cannot be reached".to_owned(),
        ureq::Error::Io(error) => of_io(error),
        other => format!("the service centre's answer cannot be read: {other}"),
    }
}

fn of_io(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "the service centre refuses the connection: nothing listens there".to_owned()
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "the service centre cannot be reached: no route to it".to_owned()
        }
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            "the service centre does not answer in time".to_owned()
        }
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => "the connection to the service centre broke off".to_owned(),
        _ => format!("the service centre cannot be reached: {error}"),
    }
}

fn of_tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(cause) => of_certificate(cause),
        rustls::Error::AlertReceived(alert) => of_alert(*alert),
        rustls::Error::InvalidMessage(_) => {
            "what answers in the service centre's place does not speak TLS".to_owned()
        }
        other => format!("the TLS connection to the service centre failed: {other}"),
    }
}

fn of_certificate(cause: &CertificateError) -> String {
    let why = match cause {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "it was not issued by the CA in centre-ca.crt"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired by the box's clock"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet by the box's clock: is the clock right?"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name than the one in site.toml"
        }
        CertificateError::Revoked => "it is revoked",
        other => return format!("the service centre's certificate is refused: {other}"),
    };
    format!("the service centre's certificate is refused: {why}")
}

fn of_alert(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::CertificateRequired => "it asks for a client certificate",
        // The second when its CA has the name of ours but another key.
        AlertDescription::UnknownCA | AlertDescription::DecryptError => "its CA did not issue device.crt",
        AlertDescription::CertificateExpired => "device.crt has expired by its clock",
        AlertDescription::CertificateRevoked => "device.crt is revoked",
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => "it does not accept device.crt",
        other => return format!("the service centre ended the TLS handshake: {other:?}"),
    };
    format!("the service centre refuses this box's certificate: {why}")
}

/// The TLS error anywhere below `error`; it hides inside I/O errors.
fn tls_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls);
    }
    if let Some(ureq::Error::Rustls(tls)) = error.downcast_ref::<ureq::Error>() {
        return Some(tls);
    }
    let inner = match error.downcast_ref::<ureq::Error>() {
        Some(ureq::Error::Io(io)) => io.get_ref().map(|e| e as &(dyn Error + 'static)),
        _ => match error.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|e| e as &(dyn Error + 'static)),
            None => error.source(),
        },
    };
    tls_cause(inner?)
}

/// Remembers what was said last, so that a lasting trouble is one line and not one an attempt.
#[derive(Debug, Default)]
pub(super) struct Voice {
    said: Option<(String, Instant)>,
}

impl Voice {
    /// Says that delivery fails because of `text`, when that is news.
    pub(super) fn trouble(&mut self, text: &str) {
        let old = self
            .said
            .as_ref()
            .is_some_and(|(said, at)| said == text && at.elapsed() < REMIND);
        if !old {
            log::warn!("not delivering: {text}; reports are kept and sent when it works again");
            self.said = Some((text.to_owned(), Instant::now()));
        }
    }

    /// Says that delivery works, when it did not before.
    pub(super) fn fine(&mut self) {
        if self.said.take().is_some() {
            log::info!("delivering to the service centre again");
        }
    }
}

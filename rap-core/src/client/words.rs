//! What is wrong with a line to a server, in words a person can act on.
//!
//! Certificates are judged by the box's clock, which may be wrong: what is said of them says which clock says so, and
//! what the server's clock says where it was heard. The same cause has the same words (for a day at least: they may
//! name the date).

use std::error::Error;
use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

use crate::identity::Validity;
use crate::relay::client::RelayError;

/// Whom words are about, and what is known of the time, in seconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    /// Such as `the service centre`.
    pub(crate) peer: &'static str,
    /// The file of the identity with the CA that it has to be issued by.
    pub(crate) authority: &'static str,
    /// By the box's clock.
    pub(crate) here: u64,
    /// By the server's, if it has answered since start.
    pub(crate) there: Option<u64>,
    /// When `device.crt` is valid.
    pub(crate) device: Option<Validity>,
}

/// Puts the failure of a request into words.
pub(crate) fn of_request(error: &ureq::Error, times: &Times) -> String {
    let peer = times.peer;
    if let Some(tls) = tls_cause(error) {
        return of_tls(tls, times);
    }
    match error {
        // The relay has found the words already.
        ureq::Error::Other(cause) if cause.is::<RelayError>() => cause.to_string(),
        ureq::Error::HostNotFound => format!("{peer}'s name cannot be resolved"),
        ureq::Error::Timeout(_) => format!("{peer} does not answer in time"),
        ureq::Error::ConnectionFailed => format!("{peer} cannot be reached"),
        ureq::Error::Io(error) => of_io(error, times),
        other => format!("{peer}'s answer cannot be read: {other}"),
    }
}

/// Whether the server said that it does not take our certificate.
pub(crate) fn refuses_us(error: &ureq::Error) -> bool {
    matches!(
        tls_cause(error),
        Some(rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
                | AlertDescription::UnknownCA
                | AlertDescription::DecryptError
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::AccessDenied
        ))
    )
}

fn of_io(error: &io::Error, times: &Times) -> String {
    let peer = times.peer;
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("{peer} refuses the connection: nothing listens there")
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("{peer} cannot be reached: no route to it")
        }
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            format!("{peer} does not answer in time")
        }
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => format!("the connection to {peer} broke off"),
        _ => format!("{peer} cannot be reached: {error}"),
    }
}

fn of_tls(error: &rustls::Error, times: &Times) -> String {
    let peer = times.peer;
    match error {
        rustls::Error::InvalidCertificate(cause) => {
            let why = of_certificate(cause, times);
            format!("{peer}'s certificate is refused: {why}")
        }
        rustls::Error::AlertReceived(alert) => of_alert(*alert, times),
        rustls::Error::InvalidMessage(_) => {
            format!("what answers in {peer}'s place does not speak TLS")
        }
        other => format!("the TLS connection to {peer} failed: {other}"),
    }
}

fn of_certificate(cause: &CertificateError, times: &Times) -> String {
    match cause {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            format!("it was not issued by the CA in {}", times.authority)
        }
        CertificateError::ExpiredContext { not_after, .. } => expired(*not_after, times),
        CertificateError::NotValidYetContext { not_before, .. } => not_yet(*not_before, times),
        CertificateError::Expired => "it has expired by the box's clock".to_owned(),
        CertificateError::NotValidYet => "it is not valid yet by the box's clock".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name than the one in site.toml".to_owned()
        }
        CertificateError::Revoked => "it is revoked".to_owned(),
        CertificateError::ApplicationVerificationFailure => {
            "its fingerprint is not the one in site.toml".to_owned()
        }
        other => other.to_string(),
    }
}

fn expired(not_after: UnixTime, times: &Times) -> String {
    let peer = times.peer;
    let (end, today) = (text(not_after.as_secs()), day(times.here));
    match times.there {
        Some(there) if there <= not_after.as_secs() => format!(
            "it expired on {end} by the box's clock, which says {today}; by {peer}'s own it did not: \
             the box's clock is wrong"
        ),
        Some(_) => format!("it expired on {end}: {peer} needs a new one"),
        None => format!(
            "it expired on {end} by the box's clock, which says {today}: if that is today's date, {peer} \
             needs a new one, else the box's clock is wrong"
        ),
    }
}

fn not_yet(not_before: UnixTime, times: &Times) -> String {
    let peer = times.peer;
    let (from, today) = (text(not_before.as_secs()), day(times.here));
    match times.there {
        Some(there) if there >= not_before.as_secs() => format!(
            "it is valid only from {from} on, and the box's clock says {today}; by {peer}'s own it is \
             valid: the box's clock is behind"
        ),
        Some(_) => format!("it is valid only from {from} on"),
        None => format!(
            "it is valid only from {from} on, and the box's clock says {today}: probably the box's clock is behind"
        ),
    }
}

fn of_alert(alert: AlertDescription, times: &Times) -> String {
    let peer = times.peer;
    let why = match alert {
        AlertDescription::CertificateRequired => "it asks for a client certificate".to_owned(),
        // The second when its CA has the name of ours but another key.
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "its CA did not issue device.crt".to_owned()
        }
        // Sent for one that is not valid yet, too.
        AlertDescription::CertificateExpired => of_device(times),
        AlertDescription::CertificateRevoked => "device.crt is revoked".to_owned(),
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => "it does not accept device.crt".to_owned(),
        other => return format!("{peer} ended the TLS handshake: {other:?}"),
    };
    let by_us = match times.device {
        Some(device) if alert != AlertDescription::CertificateExpired && times.here > device.until => {
            format!(", which expired on {}", text(device.until))
        }
        _ => String::new(),
    };
    format!("{peer} refuses this box's certificate: {why}{by_us}")
}

/// The centre says that `device.crt` has expired, or is not valid yet; what does our clock say?
fn of_device(times: &Times) -> String {
    let peer = times.peer;
    let Some(device) = times.device else {
        return "device.crt has expired by its clock".to_owned();
    };
    let (from, until, today) = (text(device.from), text(device.until), day(times.here));
    if times.here > device.until {
        format!("device.crt expired on {until}: the box needs a new one")
    } else if times.here < device.from {
        format!("device.crt is valid only from {from} on")
    } else {
        format!(
            "device.crt is valid from {from} until {until}, which is over or to come by {peer}'s clock; \
             the box's says {today}: one of the two clocks is wrong"
        )
    }
}

/// RFC 3339 text of such a time.
pub(crate) fn text(seconds: u64) -> String {
    let time = i64::try_from(seconds)
        .ok()
        .and_then(|s| jiff::Timestamp::from_second(s).ok());
    time.map_or_else(|| "an unknown day".to_owned(), |time| time.to_string())
}

/// Its day alone.
pub(crate) fn day(seconds: u64) -> String {
    text(seconds).chars().take_while(|c| *c != 'T').collect()
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

#[cfg(test)]
mod tests;

//! What is wrong with the uplink, in words a person can act on.
//!
//! Certificates are judged by the box's clock, which may be wrong: what is said of them says which clock says so, and
//! what the centre's clock says where it was heard. The same cause has the same words (for a day at least: they may
//! name the date).

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

use crate::identity::Validity;
use crate::relay::client::RelayError;

/// The two clocks may differ by so much without a word.
const APART: u64 = 5 * 60;
/// The end of `device.crt` is told of so long before.
const AHEAD: u64 = 30 * 24 * 3600;

/// Why delivery as a whole does not work now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::forward) struct Trouble {
    /// In words a person can act on.
    pub(in crate::forward) words: String,
    /// How long the centre asks us to wait.
    pub(in crate::forward) asked: Option<Duration>,
}

impl Trouble {
    pub(in crate::forward) fn new(words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            asked: None,
        }
    }
}

/// What is known of the time, in seconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::forward) struct Times {
    /// By the box's clock.
    pub(super) here: u64,
    /// By the centre's, if it has answered since start.
    pub(in crate::forward) there: Option<u64>,
    /// When `device.crt` is valid.
    pub(super) device: Option<Validity>,
}

impl Times {
    /// What does not keep delivery from working yet, or may be why it does not work: the end of `device.crt`, and
    /// clocks that differ.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(device) = self.device {
            let (from, until, today) = (text(device.from), text(device.until), day(self.here));
            if self.here > device.until {
                warnings.push(format!(
                    "device.crt expired on {until} by the box's clock, which says {today}: the service centre will refuse it"
                ));
            } else if self.here < device.from {
                warnings.push(format!(
                    "device.crt is valid only from {from} on, and the box's clock says {today}: is the clock right?"
                ));
            } else if device.until - self.here < AHEAD {
                warnings.push(format!(
                    "device.crt expires on {until}: the box needs a new one before"
                ));
            }
        }
        if let Some(there) = self.there.filter(|there| there.abs_diff(self.here) > APART) {
            let (way, by) = if self.here > there {
                ("ahead of", self.here - there)
            } else {
                ("behind", there - self.here)
            };
            warnings.push(format!(
                "the box's clock is {} {way} the service centre's",
                rough(by)
            ));
        }
        warnings
    }
}

/// Puts the failure of a request into words.
pub(super) fn of_request(error: &ureq::Error, times: &Times) -> String {
    if let Some(tls) = tls_cause(error) {
        return of_tls(tls, times);
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

fn of_tls(error: &rustls::Error, times: &Times) -> String {
    match error {
        rustls::Error::InvalidCertificate(cause) => {
            let why = of_certificate(cause, times);
            format!("the service centre's certificate is refused: {why}")
        }
        rustls::Error::AlertReceived(alert) => of_alert(*alert, times),
        rustls::Error::InvalidMessage(_) => {
            "what answers in the service centre's place does not speak TLS".to_owned()
        }
        other => format!("the TLS connection to the service centre failed: {other}"),
    }
}

fn of_certificate(cause: &CertificateError, times: &Times) -> String {
    match cause {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "it was not issued by the CA in centre-ca.crt".to_owned()
        }
        CertificateError::ExpiredContext { not_after, .. } => expired(*not_after, times),
        CertificateError::NotValidYetContext { not_before, .. } => not_yet(*not_before, times),
        CertificateError::Expired => "it has expired by the box's clock".to_owned(),
        CertificateError::NotValidYet => "it is not valid yet by the box's clock".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name than the one in site.toml".to_owned()
        }
        CertificateError::Revoked => "it is revoked".to_owned(),
        other => other.to_string(),
    }
}

fn expired(not_after: UnixTime, times: &Times) -> String {
    let (end, today) = (text(not_after.as_secs()), day(times.here));
    match times.there {
        Some(there) if there <= not_after.as_secs() => format!(
            "it expired on {end} by the box's clock, which says {today}; by the service centre's own it did not: \
             the box's clock is wrong"
        ),
        Some(_) => format!("it expired on {end}: the service centre needs a new one"),
        None => format!(
            "it expired on {end} by the box's clock, which says {today}: if that is today's date, the service centre \
             needs a new one, else the box's clock is wrong"
        ),
    }
}

fn not_yet(not_before: UnixTime, times: &Times) -> String {
    let (from, today) = (text(not_before.as_secs()), day(times.here));
    match times.there {
        Some(there) if there >= not_before.as_secs() => format!(
            "it is valid only from {from} on, and the box's clock says {today}; by the service centre's own it is \
             valid: the box's clock is behind"
        ),
        Some(_) => format!("it is valid only from {from} on"),
        None => format!(
            "it is valid only from {from} on, and the box's clock says {today}: probably the box's clock is behind"
        ),
    }
}

fn of_alert(alert: AlertDescription, times: &Times) -> String {
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
        other => return format!("the service centre ended the TLS handshake: {other:?}"),
    };
    let by_us = match times.device {
        Some(device) if alert != AlertDescription::CertificateExpired && times.here > device.until => {
            format!(", which expired on {}", text(device.until))
        }
        _ => String::new(),
    };
    format!("the service centre refuses this box's certificate: {why}{by_us}")
}

/// The centre says that `device.crt` has expired, or is not valid yet; what does our clock say?
fn of_device(times: &Times) -> String {
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
            "device.crt is valid from {from} until {until}, which is over or to come by the centre's clock; \
             the box's says {today}: one of the two clocks is wrong"
        )
    }
}

fn text(seconds: u64) -> String {
    let time = i64::try_from(seconds)
        .ok()
        .and_then(|s| jiff::Timestamp::from_second(s).ok());
    time.map_or_else(|| "an unknown day".to_owned(), |time| time.to_string())
}

fn day(seconds: u64) -> String {
    text(seconds).chars().take_while(|c| *c != 'T').collect()
}

/// A time to within its largest unit, so that its words do not change with each attempt.
fn rough(seconds: u64) -> String {
    match seconds {
        0..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
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

//! Whether the service centre takes a certificate: it is shown to it once, on a connection of its own.
//!
//! In TLS 1.3 a server that refuses a client's certificate says so only after the handshake, and some say it in HTTP. So
//! the question is a whole request, `GET /v1/identity` (docs/protocol.md §2.7), and what counts is the answer to that.

use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Method, Request, StatusCode};
use ureq::tls::TlsConfig;

use crate::client::meter::Meter;
use crate::client::words::{Times, of_request, refuses_us};
use crate::client::{Line, Way};
use crate::identity::Validity;

/// Below the service centre's URL.
const PATH: &str = "/v1/identity";
/// For a connection, its handshake, and each read or write.
const STEP: Duration = Duration::from_secs(20);

/// What the service centre made of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It takes it.
    Taken,
    /// It does not, and why.
    Refused(String),
    /// It was not asked, or did not say: why.
    Unknown(String),
}

/// Shows a certificate to the service centre.
pub trait Centre: Send {
    /// What it says. `tls` has the certificate and the only roots to be believed; `device` is when it is valid.
    fn show(&self, tls: TlsConfig, device: Option<Validity>) -> Verdict;
}

/// The real one.
#[derive(Debug)]
pub struct Real {
    /// Such as `https://centre.example:8443`.
    pub url: String,
    /// The box's relay.
    pub relay: Option<std::net::SocketAddr>,
}

impl Centre for Real {
    fn show(&self, tls: TlsConfig, device: Option<Validity>) -> Verdict {
        let way = Way {
            tls,
            step: STEP,
            body: Way::small_body(STEP),
            relay: self.relay,
            rate_limit: None,
        };
        let line = Line::new(way, Arc::new(Meter::default()));
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("{}{PATH}", self.url))
            .body(&b""[..]);
        let request = match request {
            Ok(request) => request,
            Err(error) => return Verdict::Unknown(error.to_string()),
        };
        match line.run(&request) {
            Ok(answer) => of_answer(answer.status()),
            Err(error) => {
                let here = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .map_or(0, |time| time.as_secs());
                let times = Times {
                    peer: "the service centre",
                    authority: crate::identity::AUTHORITY,
                    here,
                    there: None,
                    device,
                };
                let words = of_request(&error, &times);
                if refuses_us(&error) {
                    Verdict::Refused(words)
                } else {
                    Verdict::Unknown(words)
                }
            }
        }
    }
}

/// What an answer means. Who answers has the service centre's key; that it has no such place it says only to whom it
/// knows.
fn of_answer(status: StatusCode) -> Verdict {
    match status.as_u16() {
        200..=299 | 404 | 405 => Verdict::Taken,
        408 | 429 | 500..=599 => Verdict::Unknown(format!("the service centre answers {status}")),
        _ => Verdict::Refused(format!(
            "the service centre answers {status} to the new certificate"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_yes_a_no_or_nothing() {
        let of = |status: u16| of_answer(StatusCode::from_u16(status).unwrap());
        for yes in [200, 204, 404, 405] {
            assert_eq!(of(yes), Verdict::Taken, "{yes}");
        }
        // nginx says 400 or 495 to a certificate that it does not take.
        for no in [301, 400, 401, 403, 421] {
            assert!(matches!(of(no), Verdict::Refused(_)), "{no}");
        }
        for unknown in [408, 429, 500, 502, 503] {
            assert!(matches!(of(unknown), Verdict::Unknown(_)), "{unknown}");
        }
    }
}

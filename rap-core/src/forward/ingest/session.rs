//! `GET /v1/requests` and `POST /v1/consent`: who asks to see this port's instrument, and what the person there says.
//!
//! The port is the listener's, so an instrument can speak for itself only. What counts is for the session service to say.

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, StatusCode};

use super::answer::{Refusal, respond};
use super::request::{enter, plain};
use super::{Port, body};
use crate::control::Answer as Told;
use crate::door::Answer;
use crate::session::Consent;
use crate::session::people::{Ask, Ear};

/// Where requests are read.
const REQUESTS: &str = "/v1/requests";
/// Where they are answered.
const CONSENT: &str = "/v1/consent";
/// Bytes of an answer, at most.
const LIMIT: usize = 4096;

/// Whether a path is one of these.
pub(super) fn is_here(path: &str) -> bool {
    [REQUESTS, CONSENT].contains(&path)
}

/// Answers `request`; `working` is called when all of it was read.
pub(super) async fn take(
    request: Request<Incoming>,
    port: &Port,
    working: impl FnOnce(),
) -> Result<Answer, Refusal> {
    enter(port)?;
    let (head, body) = request.into_parts();
    let name = port.name().to_owned();
    let asked = match (head.uri.path(), head.method) {
        (REQUESTS, Method::GET) => {
            working();
            Ask::Requests { port: name }
        }
        (CONSENT, Method::POST) => {
            plain(&head.headers)?;
            let media = head
                .headers
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok());
            let media = media
                .unwrap_or("none")
                .split(';')
                .next()
                .unwrap_or_default()
                .trim();
            if !media.eq_ignore_ascii_case("application/json") {
                let detail = format!("found Content-Type {media}, expected application/json");
                return Err(Refusal::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "media-type",
                    detail,
                ));
            }
            let body = body::read(body, LIMIT, port.limits.body, &port.memory).await?;
            working();
            let consent: Consent = serde_json::from_slice(&body.bytes).map_err(|error| {
                Refusal::new(
                    StatusCode::BAD_REQUEST,
                    "consent",
                    format!("this is no answer: {error}"),
                )
            })?;
            Ask::Consent { port: name, consent }
        }
        (path, method) => {
            let right = if path == REQUESTS { "GET" } else { "POST" };
            let detail = format!("found {method}, expected {right}");
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail).allowing(right));
        }
    };
    ask(port.sessions.as_deref(), asked).await
}

async fn ask(ear: Option<&Ear>, request: Ask) -> Result<Answer, Refusal> {
    let told = match ear {
        Some(ear) => ear.ask(request).await,
        None => None,
    };
    match told {
        Some(Told::Done(done)) => Ok(respond(StatusCode::OK, "application/json", done.to_string())),
        Some(Told::Refused(why)) => Err(Refusal::new(StatusCode::FORBIDDEN, "consent", why)),
        None => {
            let detail = "the box's session service does not answer now; ask again";
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail))
        }
    }
}

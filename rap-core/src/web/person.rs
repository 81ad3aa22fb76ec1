//! A port's person: what they are shown of remote access, and what they say to it.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use serde::de::DeserializeOwned;

use super::form::{self, Form, NoForm};
use super::language::Words;
use super::origin::Host;
use super::seal::Seal;
use crate::control::Answer as Told;
use crate::session::consent::Answer;
use crate::session::people::{Ask, Ear, History, Shown};

/// A form has come as a whole after this.
const PATIENCE: Duration = Duration::from_secs(15);

/// What became of a form.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The session service took it.
    Done,
    /// It does not count: a status, and why in words.
    Not(StatusCode, String),
    /// It is no form of ours.
    NoForm(StatusCode),
}

/// One port's person.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) port: Arc<str>,
    pub(super) host: Host,
    pub(super) seal: Arc<Seal>,
    pub(super) ear: Ear,
}

impl Person {
    /// What is asked for at this port; `None` when the session service does not say.
    pub(super) async fn shown(&self) -> Option<Vec<Shown>> {
        let port = self.port.to_string();
        self.ask(Ask::Requests { port }).await
    }

    /// What was said and done at this port; `None` likewise.
    pub(super) async fn history(&self) -> Option<History> {
        let port = self.port.to_string();
        self.ask(Ask::Past { port }).await
    }

    async fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Option<T> {
        match self.ear.ask(ask).await? {
            Told::Done(done) => serde_json::from_value(done).ok(),
            Told::Refused(_) => None,
        }
    }

    /// Takes a form; `working` is called when all of it was read.
    pub(super) async fn say(
        &self,
        headers: &HeaderMap,
        body: Incoming,
        words: &Words,
        working: impl FnOnce(),
    ) -> Heard {
        let media = headers.get(CONTENT_TYPE);
        if media.is_none_or(|media| media != form::MEDIA_TYPE) || headers.contains_key(CONTENT_ENCODING) {
            return Heard::NoForm(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        // Before anything of it is read.
        if !self.host.sent(headers) {
            return Heard::Not(StatusCode::FORBIDDEN, words.old_page.clone());
        }
        let body = match read(body).await {
            Ok(body) => body,
            Err(status) => return Heard::NoForm(status),
        };
        working();
        match form::read(&body) {
            Ok(form) => self.judge(form, words).await,
            Err(NoForm::Wrong) => Heard::NoForm(StatusCode::BAD_REQUEST),
            Err(NoForm::NoName) => Heard::Not(StatusCode::BAD_REQUEST, words.no_name.clone()),
        }
    }

    async fn judge(&self, form: Form, words: &Words) -> Heard {
        if !self.seal.is(&form.token, &self.seal.port(&self.port)) {
            return Heard::Not(StatusCode::FORBIDDEN, words.old_page.clone());
        }
        let busy = || Heard::Not(StatusCode::SERVICE_UNAVAILABLE, words.unavailable.clone());
        // A yes is to what was read. A no needs no reading.
        if matches!(form.consent.answer, Answer::Once | Answer::ForATime) {
            let Some(shown) = self.shown().await else {
                return busy();
            };
            let Some(now) = shown.iter().find(|shown| shown.session == form.consent.session) else {
                return Heard::Not(StatusCode::CONFLICT, words.over.clone());
            };
            if !self.seal.is(&form.shown, &self.seal.shown(&self.port, now)) {
                return Heard::Not(StatusCode::CONFLICT, words.changed.clone());
            }
        }
        let (port, consent) = (self.port.to_string(), form.consent);
        match self.ear.ask(Ask::Consent { port, consent }).await {
            Some(Told::Done(_)) => Heard::Done,
            Some(Told::Refused(why)) => Heard::Not(StatusCode::FORBIDDEN, why),
            None => busy(),
        }
    }
}

/// A whole body, or the status that says why there is none.
async fn read(body: Incoming) -> Result<Vec<u8>, StatusCode> {
    // What Content-Length declares.
    if body.size_hint().lower() > form::LIMIT as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let whole = Limited::new(body, form::LIMIT).collect();
    match tokio::time::timeout(PATIENCE, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(StatusCode::PAYLOAD_TOO_LARGE)
        }
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

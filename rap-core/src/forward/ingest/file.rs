//! `PUT /v1/files/DIGEST`: a range of a data file, or the question how much of it is here.

use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request, StatusCode};

use super::answer::{Refusal, holding};
use super::request::{enter, plain};
use super::{Port, body, inbox};
use crate::digest::Sha256;
use crate::door::Answer;
use crate::forward::files::{self, FileName, Key, MediaType, PutError, Range, State};

/// What one token of the files' rate stands for.
const BLOCK: usize = 4096;

/// Takes what `request` brings; `storing` is called when all of it was read.
pub(super) async fn take(
    request: Request<Incoming>,
    port: &Port,
    storing: impl FnOnce(),
) -> Result<Answer, Refusal> {
    enter(port)?;
    port.file_bucket.enter(Instant::now()).map_err(|wait| {
        let rate = port.limits.files.per_second as usize * BLOCK / 1024;
        let detail = format!("more than {rate} KiB of files a second; nothing was taken, put it again");
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too-many-bytes", detail).retry_after(wait)
    })?;
    let (head, body) = request.into_parts();
    if head.method != Method::PUT {
        let detail = format!("found {}, expected PUT", head.method);
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail).allowing("PUT"));
    }
    let digest = head.uri.path().strip_prefix(files::PATH).unwrap_or_default();
    let digest: Sha256 = digest
        .parse()
        .map_err(|e| wrong("digest", format!("the path: {e}")))?;
    plain(&head.headers)?;
    let range = range(&head.headers)?;
    let name = name(&head.headers)?;
    let media = media(&head.headers)?;
    let wish = inbox::wish(&head.headers, port).await?;
    let body = body::read(body, port.limits.event.body, port.limits.body, &port.memory).await?;
    storing();
    port.file_bucket.charge(body.bytes.len() / BLOCK);
    let range = matching(range, body.bytes.len())?;
    let (bytes, memory) = body.into_parts();
    let answer = port.desk.ask(files::Request {
        key: Key {
            source: port.source.to_string(),
            digest,
        },
        size: range.total(),
        part: match range {
            Range::Part { first, .. } => Some((first, bytes)),
            Range::Ask { .. } => None,
        },
        name,
        media,
    });
    let found = answer.await;
    drop(memory);
    let found = found?;
    // An agent that does not hear of it asks for the file's state once more, with the same header.
    if let (Some(id), State::Kept | State::Delivered) = (wish, &found.state) {
        inbox::answered(port, id, digest).await?;
    }
    Ok(holding(&found))
}

fn range(headers: &HeaderMap) -> Result<Option<Range>, Refusal> {
    let Some(text) = one(headers, CONTENT_RANGE.as_str())? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(text);
    let parsed = text.parse().map(Some);
    parsed.map_err(|e| {
        wrong(
            "range",
            format!("found Content-Range \"{}\", {e}", shortened(&text)),
        )
    })
}

/// What the body is of the file; without a range it is all of it.
fn matching(range: Option<Range>, length: usize) -> Result<Range, Refusal> {
    match range {
        None => Range::part(0, length, length as u64)
            .ok_or_else(|| wrong("empty", "the file has no bytes, expected at least one".to_owned())),
        Some(range) if range.length() == length as u64 => Ok(range),
        Some(range) => {
            let detail = format!(
                "the body has {length} bytes, expected the {} of {range}",
                range.length()
            );
            Err(wrong("range", detail))
        }
    }
}

fn name(headers: &HeaderMap) -> Result<Option<FileName>, Refusal> {
    let Some(value) = one(headers, files::NAME)? else {
        return Ok(None);
    };
    let name = FileName::from_header(value).map(Some);
    name.map_err(|e| {
        let found = String::from_utf8_lossy(value);
        wrong("name", format!("found Rap-Name \"{}\", {e}", shortened(&found)))
    })
}

fn media(headers: &HeaderMap) -> Result<MediaType, Refusal> {
    let Some(value) = one(headers, CONTENT_TYPE.as_str())? else {
        return Ok(MediaType::default());
    };
    let text = String::from_utf8_lossy(value);
    text.parse().map_err(|e| {
        wrong(
            "header",
            format!("found Content-Type \"{}\", {e}", shortened(&text)),
        )
    })
}

/// The value of a field that may be there once.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h [u8]>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(|value| value.as_bytes())),
        _ => Err(wrong(
            "header",
            format!("{name} is there twice, expected it once"),
        )),
    }
}

fn wrong(kind: &'static str, detail: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, kind, detail)
}

fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

impl From<PutError> for Refusal {
    fn from(error: PutError) -> Self {
        let (status, kind) = match error {
            PutError::Gap { .. } => (StatusCode::CONFLICT, "gap"),
            PutError::OtherSize { .. } => (StatusCode::CONFLICT, "other-size"),
            PutError::NoName => (StatusCode::BAD_REQUEST, "name"),
            PutError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            PutError::Full => (StatusCode::SERVICE_UNAVAILABLE, "full"),
            PutError::WrongDigest => (StatusCode::UNPROCESSABLE_ENTITY, "digest"),
            PutError::Storage(_) => (StatusCode::SERVICE_UNAVAILABLE, "disk"),
        };
        let detail = match error {
            PutError::Full => "no room for now; nothing was taken, put it again".to_owned(),
            PutError::Storage(_) => {
                "the file could not be stored; nothing was taken, put it again".to_owned()
            }
            PutError::NoName => "Rap-Name is missing, expected the file's name, percent-encoded".to_owned(),
            _ => error.to_string(),
        };
        let refusal = Self::new(status, kind, detail);
        match error {
            PutError::Gap { have } => refusal.with_have(have),
            _ => refusal,
        }
    }
}

//! `GET /v1/outbox/DIGEST`: files for the boxes, docs/protocol.md §3.7 from the centre's side.

use std::collections::BTreeMap;
use std::sync::Mutex;

use hyper::header::{CONTENT_RANGE, HeaderValue, RANGE};
use hyper::{Request, StatusCode};
use rap_core::digest::Sha256;

use super::server::{Answer, lock, respond};

/// Where boxes ask; then the digest.
pub(super) const PATH: &str = "/v1/outbox/";

/// The files, and how they were asked for.
#[derive(Debug, Default)]
pub struct Outbox {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    asked: Mutex<Vec<String>>,
    /// So many ranges are given, and then the connection breaks.
    left: Mutex<Option<usize>>,
}

impl Outbox {
    /// Has this file from now on, under its digest.
    pub fn add(&self, content: &[u8]) -> Sha256 {
        let digest = Sha256::of(content);
        self.add_as(digest, content);
        digest
    }

    /// Gives this for a digest, whatever its own is.
    pub fn add_as(&self, digest: Sha256, content: &[u8]) {
        lock(&self.files).insert(digest.to_string(), content.to_vec());
    }

    /// Every `Range` so far.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }

    /// Gives so many more ranges, and breaks the connection instead of further ones; or gives all again.
    pub fn give(&self, ranges: Option<usize>) {
        *lock(&self.left) = ranges;
    }

    pub(super) fn answer<B>(&self, request: &Request<B>) -> anyhow::Result<Answer> {
        let digest = request.uri().path().strip_prefix(PATH).unwrap_or_default();
        let range = request.headers().get(RANGE).and_then(|value| value.to_str().ok());
        let range = range.unwrap_or_default();
        lock(&self.asked).push(range.to_owned());
        if let Some(left) = lock(&self.left).as_mut() {
            anyhow::ensure!(*left > 0, "the connection breaks on request");
            *left -= 1;
        }
        let files = lock(&self.files);
        let Some(content) = files.get(digest) else {
            return Ok(respond(StatusCode::NOT_FOUND, "text/plain", "no such file\n"));
        };
        let total = content.len();
        let pair = range
            .strip_prefix("bytes=")
            .and_then(|range| range.split_once('-'));
        let pair =
            pair.and_then(|(first, last)| Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?)));
        let Some((first, last)) = pair.filter(|(first, last)| first <= last && *first < total) else {
            return with_range(
                StatusCode::RANGE_NOT_SATISFIABLE,
                &format!("bytes */{total}"),
                Vec::new(),
            );
        };
        let last = last.min(total - 1);
        let text = format!("bytes {first}-{last}/{total}");
        with_range(StatusCode::PARTIAL_CONTENT, &text, content[first..=last].to_vec())
    }
}

fn with_range(status: StatusCode, range: &str, body: Vec<u8>) -> anyhow::Result<Answer> {
    let mut answer = respond(status, "application/octet-stream", body);
    answer
        .headers_mut()
        .insert(CONTENT_RANGE, HeaderValue::from_str(range)?);
    Ok(answer)
}

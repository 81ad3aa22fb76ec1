//! `POST /v1/batches`: docs/protocol.md §2 step by step, and the faults a test asks for.

use std::io::Read as _;
use std::sync::atomic::Ordering;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::fault::{Fault, Post};
use super::server::{Answer, State, hex, lock, respond};

/// Where boxes post.
pub(super) const PATH: &str = "/v1/batches";
const RECEIPT: &str = "application/vnd.rap.receipt+json";
const PROBLEM: &str = "application/problem+json";
const MOST_JSON: u64 = 8 * 1024 * 1024;

/// Who posts, and on which connection.
#[derive(Debug, Clone)]
pub(super) struct From {
    /// SHA-256 of the box's certificate.
    pub(super) device: String,
    /// Counted from 1.
    pub(super) connection: usize,
    /// Which request of that connection, from 1.
    pub(super) request: usize,
}

/// Answers one post, or breaks the connection.
pub(super) async fn answer(
    request: Request<Incoming>,
    from: &From,
    fault: Option<Fault>,
    state: &State,
) -> anyhow::Result<Answer> {
    let (head, body) = request.into_parts();
    let most = usize::try_from(MOST_JSON)?;
    let body = Limited::new(body, most).collect().await;
    let body = body.map_err(|e| anyhow::anyhow!("the body: {e}"))?.to_bytes();
    let mut post = Post {
        lane: text(&head.headers, "rap-lane").unwrap_or_default(),
        encoding: text(&head.headers, "content-encoding").unwrap_or_default(),
        bytes: body.len(),
        ids: Vec::new(),
        status: None,
        connection: from.connection,
    };
    let batch = read(&head.headers, &body);
    if let Ok(batch) = &batch {
        let ids = batch.events.iter().filter_map(|event| event["id"].as_str());
        post.ids = ids.map(str::to_owned).collect();
    }
    let answer = decide(&post, batch, from, fault, state);
    post.status = answer.as_ref().ok().map(|answer| answer.status().as_u16());
    lock(&state.posts).push(post);
    answer
}

/// What was posted, unpacked.
struct Batch {
    key: String,
    lane: String,
    events: Vec<Value>,
}

/// A batch as the protocol demands it.
fn read(headers: &HeaderMap, body: &Bytes) -> anyhow::Result<Batch> {
    let key = text(headers, "idempotency-key")?;
    if text(headers, "content-type")? != "application/cloudevents-batch+json" {
        bail!("expected application/cloudevents-batch+json");
    }
    let mut json = Vec::new();
    match text(headers, "content-encoding")?.as_str() {
        "zstd" => {
            zstd::Decoder::new(body.as_ref())?
                .take(MOST_JSON)
                .read_to_end(&mut json)?;
        }
        "gzip" => {
            flate2::read::GzDecoder::new(body.as_ref())
                .take(MOST_JSON)
                .read_to_end(&mut json)?;
        }
        "identity" => json.extend_from_slice(body),
        other => bail!("the encoding {other}"),
    }
    if key != hex(&Sha256::digest(&json))[..32] {
        bail!("the Idempotency-Key is not the body's digest");
    }
    Ok(Batch {
        key,
        lane: text(headers, "rap-lane")?,
        events: serde_json::from_slice(&json).context("reading the batch")?,
    })
}

fn decide(
    post: &Post,
    batch: anyhow::Result<Batch>,
    from: &From,
    fault: Option<Fault>,
    state: &State,
) -> anyhow::Result<Answer> {
    match fault {
        Some(Fault::Busy) => return Ok(respond(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "busy\n")),
        Some(Fault::BusyUntil { retry_after, .. }) => {
            let mut answer = respond(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "busy\n");
            let value = HeaderValue::from_static(retry_after);
            answer.headers_mut().insert(RETRY_AFTER, value);
            return Ok(answer);
        }
        Some(Fault::CaptivePortal) => {
            let page = "<html>Accept our terms</html>";
            return Ok(respond(StatusCode::OK, "text/html", page));
        }
        Some(Fault::Status(status)) => {
            return Ok(respond(
                StatusCode::from_u16(status)?,
                "text/plain",
                "as the test wants it\n",
            ));
        }
        Some(Fault::NoZstd(accepts)) if post.encoding == "zstd" => {
            let mut answer = respond(StatusCode::UNSUPPORTED_MEDIA_TYPE, "text/plain", "no zstd\n");
            if let Some(accepts) = accepts {
                let value = HeaderValue::from_static(accepts);
                answer.headers_mut().insert(ACCEPT_ENCODING, value);
            }
            return Ok(answer);
        }
        Some(Fault::Poison(text)) if post.ids.iter().any(|id| id.contains(text)) => {
            let problem =
                json!({"title": "Unprocessable", "status": 422, "detail": format!("{text} is poison")});
            return Ok(respond(
                StatusCode::UNPROCESSABLE_ENTITY,
                PROBLEM,
                problem.to_string(),
            ));
        }
        Some(Fault::LargerThan(most)) if post.bytes > most => {
            return Ok(respond(
                StatusCode::PAYLOAD_TOO_LARGE,
                "text/plain",
                "too large\n",
            ));
        }
        Some(Fault::BreakKept) if from.request > 1 => bail!("the kept connection is broken on request"),
        _ => {}
    }
    let taken = batch.and_then(|batch| {
        let arrivals = lock(&state.store).add(&from.device, &batch.key, &batch.lane, &batch.events)?;
        for arrival in &arrivals {
            (state.on_arrival)(arrival);
        }
        let receipt = json!({ "receipt": batch.key, "events": batch.events.len() });
        Ok(state.directives.carried(receipt).to_string())
    });
    match taken {
        Ok(_) if fault == Some(Fault::DropReply) => bail!("the reply is dropped on request"),
        Ok(receipt) => {
            let answer = respond(StatusCode::OK, RECEIPT, receipt);
            let short = state.short.load(Ordering::Relaxed);
            Ok(if short { answer } else { padded(answer) })
        }
        Err(error) => Ok(respond(
            StatusCode::BAD_REQUEST,
            "text/plain",
            format!("{error:#}\n"),
        )),
    }
}

fn text(headers: &HeaderMap, name: &str) -> anyhow::Result<String> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.map(str::to_owned).with_context(|| format!("no {name}"))
}

/// Longer than a packet, as many a server's answer is: a path that loses long packets shows in this direction too.
fn padded(mut answer: Answer) -> Answer {
    const PADDING: &str = match std::str::from_utf8(&[b'p'; 2000]) {
        Ok(text) => text,
        Err(_) => "",
    };
    let padding = HeaderValue::from_static(PADDING);
    answer.headers_mut().insert("x-padding", padding);
    answer
}

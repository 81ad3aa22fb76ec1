//! A request's body: bounded in bytes, in time, and in what all bodies of a port take together.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A body, and the memory it is allowed to take until it is dropped.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    held: Option<OwnedSemaphorePermit>,
}

impl Body {
    /// The bytes, and the permission to have them in memory, to be held as long.
    pub(super) fn into_parts(self) -> (Vec<u8>, Option<OwnedSemaphorePermit>) {
        (self.bytes, self.held)
    }
}

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// More bytes than allowed, declared or sent.
    #[error("the body is too large")]
    TooLarge,
    /// Not all of it in time.
    #[error("the body took longer than {} s", .0.as_secs())]
    TooSlow(Duration),
    /// The bodies of the port's other requests take all the memory there is for them.
    #[error("too many large requests at once; the report was not taken, post it again")]
    NoMemory,
    /// The connection ended, or what came is no HTTP.
    #[error("the body broke off: {0}")]
    Broken(hyper::Error),
}

/// Reads all of `body`, at most `most` bytes of it, taking what it needs from `memory` as it comes.
pub(super) async fn read(
    body: Incoming,
    most: usize,
    patience: Duration,
    memory: &Arc<Semaphore>,
) -> Result<Body, BodyError> {
    // What Content-Length declares.
    if body.size_hint().lower() > most as u64 {
        return Err(BodyError::TooLarge);
    }
    tokio::time::timeout(patience, collect(body, most, memory))
        .await
        .unwrap_or(Err(BodyError::TooSlow(patience)))
}

async fn collect(mut body: Incoming, most: usize, memory: &Arc<Semaphore>) -> Result<Body, BodyError> {
    let mut bytes = Vec::new();
    let mut held: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > most {
            return Err(BodyError::TooLarge);
        }
        let length = u32::try_from(data.len()).map_err(|_| BodyError::TooLarge)?;
        let more = Arc::clone(memory)
            .try_acquire_many_owned(length)
            .map_err(|_| BodyError::NoMemory)?;
        match &mut held {
            Some(held) => held.merge(more),
            None => held = Some(more),
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Body { bytes, held })
}

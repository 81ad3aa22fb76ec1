//! The ways to come by a UKI: the whole of it in frames, and patches from what boxes run.

use std::io::Read as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rap_core::digest::Sha256;
use rap_core::release::{FRAME, File, Manifest, PIECE_LIMIT};

use super::place::read;
use super::repository::piece_name;
use super::{PublishError, Step};
use crate::patch::Made;

/// A piece's description and its content.
pub(super) type Piece = (File, Vec<u8>);

/// Makes the patches from an old UKI to a new one, the smallest first; several where they ask different things of a box.
pub type Patcher<'a> =
    &'a (dyn Fn(&[u8], &[u8]) -> Result<Vec<Made>, Box<dyn std::error::Error + Send + Sync>> + Sync);

/// The whole UKI, each MiB of it compressed by itself; on all processors.
///
/// # Errors
/// When compressing fails.
pub(super) fn frames(
    uki: &[u8],
    level: i32,
    say: &(dyn Fn(Step) + Sync),
) -> Result<Vec<Piece>, PublishError> {
    let chunks: Vec<&[u8]> = uki.chunks(usize::try_from(FRAME).unwrap_or(usize::MAX)).collect();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let made = Mutex::new(vec![None; chunks.len()]);
    let work = || -> std::io::Result<()> {
        while let Some((index, chunk)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            chunks.get(index).map(|chunk| (index, chunk))
        } {
            let bytes = zstd::bulk::compress(chunk, level)?;
            let mut made = made.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            made[index] = Some(bytes);
            say(Step::Compress {
                done: done.fetch_add(1, Ordering::Relaxed) + 1,
                of: chunks.len(),
            });
        }
        Ok(())
    };
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        running.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| Err(std::io::Error::other("a worker ended early")))
        })
    })
    .map_err(PublishError::Compress)?;
    let made = made
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(made.into_iter().flatten().map(piece).collect())
}

/// A piece of this content.
pub(super) fn piece(bytes: Vec<u8>) -> Piece {
    let file = File {
        bytes: bytes.len() as u64,
        sha256: Sha256::of(&bytes),
    };
    (file, bytes)
}

/// The UKI of an earlier release, from its frames; `None` when somebody made room and a frame is gone.
///
/// # Errors
/// When a frame is there but damaged.
pub(super) fn restore(root: &Path, release: &Manifest) -> Result<Option<Vec<u8>>, PublishError> {
    let mut uki = Vec::new();
    for frame in &release.full {
        let name = piece_name(frame);
        let Some(bytes) = read(root, &name, PIECE_LIMIT)? else {
            return Ok(None);
        };
        if Sha256::of(&bytes) != frame.sha256 {
            return Err(PublishError::Damaged(name));
        }
        let decoder = zstd::Decoder::with_buffer(&bytes[..]).map_err(PublishError::Compress)?;
        decoder
            .take(FRAME + 1)
            .read_to_end(&mut uki)
            .map_err(|_| PublishError::Damaged(name))?;
    }
    if Sha256::of(&uki) != release.uki.sha256 {
        return Err(PublishError::Damaged(format!(
            "the frames of release {}",
            release.number
        )));
    }
    Ok(Some(uki))
}

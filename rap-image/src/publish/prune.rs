//! Making room: the pieces of old releases go, their manifests stay.
//!
//! Invariants: what boxes are offered now is untouched; numbers and versions of releases whose pieces went are known still, and
//! refused a second time. A box that was in the middle of a release that went finds a piece missing, asks anew, and goes on
//! with the newest one. A power cut leaves some of what was to go, for the next run.

use std::collections::BTreeSet;
use std::path::Path;

use rap_core::release::PIECES;
use serde::Serialize;

use super::PublishError;
use super::place::Place;
use super::repository::{Repository, piece_name, pieces_of};

/// Room that was made.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pruned {
    /// Pieces that went.
    pub pieces: usize,
    /// Bytes of them.
    pub bytes: u64,
}

/// Takes away every piece that none of the newest `keep` releases of a profile has; the newest one is always kept.
///
/// # Errors
/// When the repository is not whole, or a file does not go.
pub fn prune(repository: &Path, keep: usize) -> Result<Pruned, PublishError> {
    prune_in(&mut Place::take(repository)?, keep)
}

pub(super) fn prune_in(place: &mut Place, keep: usize) -> Result<Pruned, PublishError> {
    let root = place.root().to_owned();
    let known = Repository::read(&root)?.ok_or_else(|| PublishError::Empty(root.clone()))?;
    let profiles: BTreeSet<&str> = known
        .releases
        .iter()
        .map(|release| release.profile.as_str())
        .collect();
    let kept = profiles
        .into_iter()
        .flat_map(|profile| known.of(profile).take(keep.max(1)));
    let wanted: BTreeSet<String> = kept.flat_map(pieces_of).map(piece_name).collect();
    let mut pruned = Pruned { pieces: 0, bytes: 0 };
    let is_piece = |name: &&String| name.split('/').next() == Some(PIECES);
    for name in known.files.iter().filter(is_piece) {
        if wanted.contains(name) {
            continue;
        }
        let path = root.join(name);
        let found = std::fs::metadata(&path).map_err(|error| PublishError::Read(path, error))?;
        place.remove(name)?;
        pruned.pieces += 1;
        pruned.bytes += found.len();
    }
    Ok(pruned)
}

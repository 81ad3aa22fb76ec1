//! What a release is: its manifest, held against those before it, and patches from them.

use std::path::Path;

use jiff::Timestamp;
use rap_core::release::{FORMAT, Manifest, bytes};

use super::image::Image;
use super::repository::Repository;
use super::ways::{self, Patcher};
use super::{Order, PublishError, Published, Step};
use crate::patch::Made;

/// The release's manifest, still without ways, held against what is there.
pub(super) fn release(
    order: &Order,
    image: &Image,
    before: Option<&Repository>,
) -> Result<Manifest, PublishError> {
    let profile = image.profile.clone();
    let earlier: Vec<&Manifest> = before
        .into_iter()
        .flat_map(|before| before.of(&profile))
        .collect();
    let newest = earlier.iter().map(|release| release.number).max().unwrap_or(0);
    let number = order.number.unwrap_or(newest + 1);
    let version = order
        .version
        .clone()
        .unwrap_or_else(|| image.info.version.clone());
    let uki = image.file();
    let published = u64::try_from(order.now.as_second()).unwrap_or(0);
    if let Some(same) = earlier.iter().find(|release| release.uki == uki) {
        let number = same.number;
        return Err(PublishError::Again { profile, number });
    }
    if number <= newest {
        return Err(PublishError::Number {
            number,
            newest,
            profile,
        });
    }
    if let Some(same) = earlier.iter().find(|release| release.version == version) {
        let number = same.number;
        return Err(PublishError::Version {
            version,
            profile,
            number,
        });
    }
    if order.minimum >= number {
        let minimum = order.minimum;
        return Err(PublishError::Minimum { minimum, number });
    }
    if let Some(later) = earlier.iter().find(|release| release.published > published) {
        let moment = i64::try_from(later.published)
            .ok()
            .and_then(|at| Timestamp::from_second(at).ok());
        return Err(PublishError::Clock(moment.unwrap_or(Timestamp::MAX)));
    }
    Ok(Manifest {
        format: FORMAT,
        profile,
        number,
        version,
        build_id: image.info.build_id.clone(),
        published,
        memory_mib: order.memory_mib.unwrap_or_else(|| memory(uki.bytes)),
        uki,
        minimum: order.minimum,
        changes: order.changes.clone(),
        waves: order.waves.clone(),
        full: Vec::new(),
        patches: Vec::new(),
    })
}

/// MiB of memory that an image needs: at its start it is there three times (as firmware loaded it, as the archive the stub
/// hands over, and unpacked), and kernel and services want theirs.
fn memory(uki_bytes: u64) -> u64 {
    (uki_bytes.div_ceil(1 << 20) * 3 + 192).next_multiple_of(64)
}

/// Makes patches from the newest `most` releases that are to be had; returns their pieces.
pub(super) fn patches(
    root: &Path,
    before: &Repository,
    image: &Image,
    release: &mut Manifest,
    most: usize,
    patcher: Patcher<'_>,
    say: &(dyn Fn(Step) + Sync),
) -> Result<Vec<ways::Piece>, PublishError> {
    let mut pieces = Vec::new();
    for old in before.of(&image.profile).take(most) {
        let from = old.version.clone();
        say(Step::Patch { from: from.clone() });
        let Some(uki) = ways::restore(root, old)? else {
            continue;
        };
        let made = patcher(&uki, &image.uki).map_err(|source| PublishError::Patch { from, source })?;
        for Made {
            patch,
            pieces: contents,
        } in made
        {
            // One that is no smaller than the whole is of no use to anybody.
            if bytes(&patch.pieces) < bytes(&release.full) {
                pieces.extend(contents.into_iter().map(ways::piece));
                release.patches.push(patch);
            }
        }
    }
    Ok(pieces)
}

pub(super) fn published(release: &Manifest, before: Option<&Repository>) -> Published {
    let version = |patch: &rap_core::release::Patch| {
        let mut earlier = before.into_iter().flat_map(|before| before.of(&release.profile));
        let from = earlier.find(|old| old.uki.sha256 == patch.from);
        from.map_or_else(String::new, |old| old.version.clone())
    };
    Published {
        profile: release.profile.clone(),
        number: release.number,
        version: release.version.clone(),
        uki_bytes: release.uki.bytes,
        full_bytes: bytes(&release.full),
        patches: release
            .patches
            .iter()
            .map(|patch| (version(patch), bytes(&patch.pieces)))
            .collect(),
    }
}

//! One file with what a repository offers now, for a box that no network reaches: a tar of the very same files, with the
//! very same trust. Metadata comes first, so whoever reads it as a stream knows what follows.

use std::io::Write as _;
use std::path::Path;

use serde::Serialize;

use super::PublishError;
use super::place::read;
use super::repository::{METADATA_LIMIT, Repository, SBOM_LIMIT, piece_name, pieces_of};
use rap_core::release::{manifest_name, sbom_name};

/// A bundle that was written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bundled {
    /// Profile, number and version of each release in it.
    pub releases: Vec<(String, u64, String)>,
    /// Files in it.
    pub files: usize,
    /// Bytes of it.
    pub bytes: u64,
}

/// Writes the newest releases of the repository in `root`, of `profiles` (or of all, when none is named), to `out`.
///
/// # Errors
/// When the repository is not whole, has no such release, or `out` cannot be written; `out` is then as it was.
pub fn bundle(root: &Path, profiles: &[String], out: &Path) -> Result<Bundled, PublishError> {
    let repository = Repository::read(root)?.ok_or_else(|| PublishError::Empty(root.to_owned()))?;
    let wanted = |profile: &String| profiles.is_empty() || profiles.contains(profile);
    let releases: Vec<_> = repository
        .current()
        .filter(|release| wanted(&release.profile))
        .collect();
    if let Some(missing) = profiles
        .iter()
        .find(|profile| !releases.iter().any(|release| release.profile == **profile))
    {
        return Err(PublishError::NoRelease(missing.clone()));
    }
    let mut names: Vec<String> = repository
        .chain
        .roots()
        .map(|known| format!("metadata/{}.root.json", known.version()))
        .collect();
    names.push("metadata/timestamp.json".to_owned());
    names.push(format!(
        "metadata/{}.snapshot.json",
        repository.snapshot.signed.version
    ));
    names.push(format!(
        "metadata/{}.targets.json",
        repository.targets.signed.version
    ));
    for release in &releases {
        for name in [manifest_name(&release.profile), sbom_name(&release.profile)] {
            let named = repository
                .targets
                .signed
                .targets
                .iter()
                .find(|(target, _)| target.resolved() == name);
            let target = named.ok_or_else(|| PublishError::Missing(name.clone()))?.1;
            names.push(format!("targets/{}.{name}", super::repository::digest(target)));
        }
    }
    let mut pieces: Vec<String> = releases
        .iter()
        .flat_map(|release| pieces_of(release))
        .map(piece_name)
        .collect();
    pieces.sort();
    pieces.dedup();
    names.extend(pieces);
    let bytes = write(root, &names, out)?;
    Ok(Bundled {
        releases: releases
            .iter()
            .map(|release| (release.profile.clone(), release.number, release.version.clone()))
            .collect(),
        files: names.len(),
        bytes,
    })
}

/// Beside `out`, then renamed.
fn write(root: &Path, names: &[String], out: &Path) -> Result<u64, PublishError> {
    let failed = |error| PublishError::Write(out.to_owned(), error);
    let folder = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let mut archive = tar::Builder::new(file);
    for name in names {
        let bytes = read(root, name, METADATA_LIMIT.max(SBOM_LIMIT))?;
        let bytes = bytes.ok_or_else(|| PublishError::Missing(name.clone()))?;
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        archive
            .append_data(&mut header, name, &bytes[..])
            .map_err(failed)?;
    }
    let mut file = archive.into_inner().map_err(failed)?;
    file.flush()
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed)?;
    let bytes = file.as_file().metadata().map_err(failed)?.len();
    file.persist(out).map_err(|error| failed(error.error))?;
    Ok(bytes)
}

//! What services say of themselves, and what `rapctl status` prints.
//!
//! Each service writes one small JSON file by temporary file and rename; readers never see half of one.

/// Writes `value` as the status of `service` below `directory` ([`crate::paths::STATUS`] on the box).
///
/// # Errors
/// When the file cannot be written or renamed.
pub fn write<T: serde::Serialize>(
    directory: &std::path::Path,
    service: &str,
    value: &T,
) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let temporary = directory.join(format!(".{service}.json"));
    std::fs::write(&temporary, serde_json::to_vec(value)?)?;
    std::fs::rename(temporary, directory.join(format!("{service}.json")))
}

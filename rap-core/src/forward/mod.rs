//! To be written.

/// Placeholder until the service itself is merged.
///
/// # Errors
/// Always.
pub fn run() -> anyhow::Result<()> {
    anyhow::bail!("rap forward is not part of this build")
}

//! To be written.

/// Placeholder until the service itself is merged.
///
/// # Errors
/// Always.
pub fn run() -> anyhow::Result<()> {
    anyhow::bail!("rap netd is not part of this build")
}

/// Placeholder until the service itself is merged.
///
/// # Errors
/// Always.
pub fn dhcp_hook() -> anyhow::Result<()> {
    anyhow::bail!("rap netd is not part of this build")
}

//! `rap-image check`.

/// What `check` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Carries out `check`.
pub(super) fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("`rap-image check` is not part of this build")
}

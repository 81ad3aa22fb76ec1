//! `rap-image run`.

/// What `run` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Carries out `run`.
pub(super) fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("`rap-image run` is not part of this build")
}

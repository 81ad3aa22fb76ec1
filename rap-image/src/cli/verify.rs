//! `rap-image verify`.

/// What `verify` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Carries out `verify`.
pub(super) fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("`rap-image verify` is not part of this build")
}

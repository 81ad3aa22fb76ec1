//! `rap-image keys`.

/// What `keys` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Carries out `keys`.
pub(super) fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("`rap-image keys` is not part of this build")
}

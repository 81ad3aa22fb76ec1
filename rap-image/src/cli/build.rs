//! `rap-image build`.

/// What `build` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Carries out `build`.
pub(super) fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("`rap-image build` is not part of this build")
}

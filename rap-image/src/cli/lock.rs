//! `rap-image lock`.

/// What `lock` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Carries out `lock`.
pub(super) fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("`rap-image lock` is not part of this build")
}

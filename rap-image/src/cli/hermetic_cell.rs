//! `rap-image hermetic-cell`: the inside of the hermetic build. `build` starts it in namespaces of its own.

use rap_image::hermetic::cell::{Cell, NO_VIEW};

/// What `hermetic-cell` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What is bound where, as `build` wrote it
    plan: String,
}

/// Becomes cargo; returns only when that failed.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let Err(error) = Cell::from_text(&args.plan).and_then(|cell| cell.enter());
    eprintln!("error: {error}");
    let cause = std::error::Error::source(&error);
    cause
        .into_iter()
        .for_each(|cause| eprintln!("  because: {cause}"));
    std::process::exit(NO_VIEW)
}

//! `rap-image completions`: the completions for a shell, on standard output.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

/// What `completions` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell to write for
    shell: Shell,
}

/// Prints the completions; `rap-image completions bash > ~/.local/share/bash-completion/completions/rap-image`.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    // Into memory first: the generator panics when it cannot write, and a closed pipe is no reason to.
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut super::Command::command(),
        "rap-image",
        &mut script,
    );
    match std::io::stdout().write_all(&script) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

//! `rap-demo`: the demonstration, as `scripts/run` starts it. Exit codes: 0 the story came to its end, 2 it did not.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use rap_tests::{demo, system};

/// Boots the appliance between two instruments and a hospital, and shows what happens.
#[derive(Debug, Parser)]
#[command(name = "rap-demo", version)]
struct Arguments {
    /// Tell the story once, without waiting for Enter; fail unless every claim held
    #[arg(long)]
    check: bool,
    /// Show every line of the machine's console
    #[arg(long, short)]
    verbose: bool,
    /// The image's directory
    #[arg(long, value_name = "DIR", default_value = rap_image::staging::IMAGE)]
    image: PathBuf,
    /// The development keys
    #[arg(long, value_name = "DIR", default_value = system::KEYS)]
    keys: PathBuf,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    rap_qemu::lab::enter_user_namespace()?;
    demo::run(&demo::Options {
        image: arguments.image,
        keys: arguments.keys,
        check: arguments.check,
        verbose: arguments.verbose,
    })
}

//! `rap-image`: the command line of the builder. Wiring only: each verb is one file of [`cli`].
//!
//! Exit codes: 0 done; 1 the question asked has the answer "no" (`lock --check`: newer packages exist);
//! 2 it could not be done, or the command line is wrong. Errors go to standard error, one cause a line.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let command = cli::Command::parse();
    match cli::run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<cli::No>() => {
            println!("{error}");
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::from(2)
        }
    }
}

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
            if error.chain().any(is_full_disk) {
                eprintln!(
                    "  fix: make room on the disk of that file, and run it again; it goes on where it stopped"
                );
            }
            ExitCode::from(2)
        }
    }
}

fn is_full_disk(cause: &(dyn std::error::Error + 'static)) -> bool {
    let error = cause.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::StorageFull)
}

//! `rapctl net`: the network, as planned, as it is, and on trial. Wiring only; each verb is a file.

mod diff;
mod plan;
mod status;
mod trial;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{done, operator, print, refused, unasked};
use crate::netd::control::{Answer, Request, ask};
use crate::paths;

/// What `rapctl net` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
A new site is tried before it is kept: it is applied at once, and undone after two minutes unless the box has spoken TLS \
with its service centre by then, or you confirm it. A crash goes on with the trial; a restart of the box ends it, and the \
last good site is in force again.

Exit codes: 0 yes, done, or all is well; 1 no: refused, undone, different, or something is wrong; 2 it cannot be told.

Examples:
  rapctl net status
  rapctl net plan new.toml
  rapctl net try new.toml --wait
  rapctl net confirm")]
pub(super) struct Net {
    #[command(subcommand)]
    verb: Verb,
    /// Where netd is asked
    #[arg(long, default_value = paths::NETD_SOCKET, hide = true, global = true)]
    socket: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say how the network is: links, lease, trial, what the firewall threw away
    Status {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Where the services' status files are
        #[arg(long, default_value = paths::STATUS, hide = true)]
        from: PathBuf,
    },
    /// Say what a site makes of the network; changes nothing and needs no rights
    Plan {
        /// The site [default: the one in force]
        file: Option<PathBuf>,
        /// Print one JSON object, the rules as nft takes them among it
        #[arg(long, conflicts_with = "nft")]
        json: bool,
        /// Print the rules in nft's language, each with where it comes from
        #[arg(long)]
        nft: bool,
    },
    /// Say what would have to be changed now to have the network as planned; nothing, unless somebody disturbed it
    Diff {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Apply a new site; it is undone after two minutes unless it is confirmed
    Try {
        /// The site
        file: PathBuf,
        /// Wait until it is kept or undone, and say which and why
        #[arg(long)]
        wait: bool,
    },
    /// Keep the site that is on trial
    Confirm,
    /// Undo the trial: go back to the last good site
    Revert,
}

/// Carries out one verb.
pub(super) fn run(net: Net) -> ExitCode {
    let socket = net.socket;
    match net.verb {
        Verb::Status { json, from } => status::run(&socket, &from, json),
        Verb::Plan { file, json, nft } => {
            let file = file.unwrap_or_else(|| paths::SITE_IN_FORCE.into());
            plan::run(&file, json, nft)
        }
        Verb::Diff { json } => diff::run(&socket, json),
        Verb::Try { file, wait } => trial::run(&socket, &file, wait),
        Verb::Confirm => done(ask(&socket, &Request::Confirm { by: operator() }), |_| {
            "kept: it is the last good site now\n".to_owned()
        }),
        Verb::Revert => done(ask(&socket, &Request::Revert { by: operator() }), |_| {
            "undone: the last good site is in force\n".to_owned()
        }),
    }
}

fn colour() -> bool {
    std::io::stdout().is_terminal()
}

#[cfg(test)]
mod tests;

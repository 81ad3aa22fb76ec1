//! `rapctl update`: what the updater does, and telling it what to do. Wiring only; texts are in `render`.

mod render;
mod wait;

use std::fs::File;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{done, operator, print, refused, unasked};
use crate::paths;
use crate::update::control::{Answer, Request, ask};
use crate::update::policy::Decision;
use crate::update::status::Status;

/// What `rapctl update` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
A release is brought, written into the slot that does not run, read back, and tried: the box restarts with it once. When \
all that worked before works for a minute it is confirmed; else the box goes back by itself and says why.

Exit codes: 0 yes, done, or all is well; 1 no: refused, or something is wrong; 2 it cannot be told.

Examples:
  rapctl update status
  rapctl update check
  rapctl update plan
  rapctl update install
  rapctl update install /media/release.tar
  rapctl update rollback
  rapctl update history")]
pub(super) struct Update {
    #[command(subcommand)]
    verb: Verb,
    /// Where the updater is asked
    #[arg(long, default_value = paths::UPDATE_SOCKET, hide = true, global = true)]
    socket: PathBuf,
    /// Print one JSON object
    #[arg(long, global = true)]
    json: bool,
    /// Where the services' status files are
    #[arg(long, default_value = paths::STATUS, hide = true, global = true)]
    from: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say what runs, what is on offer, and what the updater does and why
    Status,
    /// Ask the repository now, and say what it offers
    Check,
    /// Say what an update would bring: bytes, minutes, memory, and when the box would restart
    Plan,
    /// Install what is on offer, or a bundle's release, without waiting for a window
    Install {
        /// A bundle, as `rap-image bundle` makes it
        file: Option<PathBuf>,
    },
    /// Keep the image that is on trial
    Confirm,
    /// Go back to the image in the other slot
    Rollback,
    /// Hold both slots against what they should be, and mend them
    Scrub,
    /// Say what happened so far
    History,
}

/// Carries out one verb.
pub(super) fn run(update: Update) -> ExitCode {
    let Update {
        verb,
        socket,
        json,
        from,
    } = update;
    match verb {
        Verb::Status => show(&socket, &from, json, render::status),
        Verb::Plan => show(&socket, &from, json, render::plan),
        Verb::History => show(&socket, &from, json, render::history),
        Verb::Check => match wait::begun(&socket, &Request::Check {}, None) {
            Ok(()) => wait::until_idle(&socket, json),
            Err(code) => code,
        },
        Verb::Scrub => match wait::begun(&socket, &Request::Scrub {}, None) {
            Ok(()) => wait::until_idle(&socket, json),
            Err(code) => code,
        },
        Verb::Install { file } => install(&socket, file.as_deref(), json),
        Verb::Confirm => done(ask(&socket, &Request::Confirm { by: operator() }, None), |_| {
            "confirmed\n".to_owned()
        }),
        Verb::Rollback => done(ask(&socket, &Request::Rollback { by: operator() }, None), |_| {
            "the box restarts with the image in the other slot\n".to_owned()
        }),
    }
}

fn install(socket: &Path, file: Option<&Path>, json: bool) -> ExitCode {
    let bundle = match file.map(|path| (path, File::open(path))) {
        None => None,
        Some((_, Ok(bundle))) => Some(bundle),
        Some((path, Err(error))) => {
            eprintln!("rapctl: cannot read {}: {error}", path.display());
            return ExitCode::from(2);
        }
    };
    let request = Request::Install { by: operator() };
    match wait::begun(socket, &request, bundle.as_ref()) {
        Ok(()) => wait::until_idle(socket, json),
        Err(code) => code,
    }
}

/// Asks for the status and prints it by `render`.
fn show(socket: &Path, from: &Path, json: bool, render: fn(&Status, bool) -> String) -> ExitCode {
    let asked = match ask(socket, &Request::Status {}, None) {
        Ok(Answer::Done(status)) => serde_json::from_value(status).ok(),
        // Without root's rights, or while the updater is away: what it said last.
        Ok(Answer::Refused(_)) | Err(_) => crate::status::read_one(from, "update"),
    };
    let Some(status) = asked else {
        return untold(from);
    };
    let text = if json {
        format!("{}\n", serde_json::json!(status))
    } else {
        render(&status, std::io::stdout().is_terminal())
    };
    print(&text);
    verdict(&status)
}

/// The updater has said nothing, or only why it cannot work.
fn untold(from: &Path) -> ExitCode {
    let status: Option<serde_json::Value> = crate::status::read_one(from, "update");
    let trouble = status.as_ref().and_then(|status| status["trouble"].as_str());
    match trouble {
        Some(trouble) => eprintln!("rapctl: the updater cannot work: {trouble}"),
        None => {
            eprintln!(
                "rapctl: the updater has said nothing yet, neither when asked nor in {}",
                from.display()
            );
            eprintln!("  is this the box, and does the updater run?");
        }
    }
    ExitCode::from(2)
}

/// Something is wrong, or what is on offer is refused.
fn verdict(status: &Status) -> ExitCode {
    let refused = matches!(status.decision, Some(Decision::Refuse { .. }));
    ExitCode::from(u8::from(refused || !status.problems.is_empty()))
}

//! `rapctl identity`: who this box is to others, the request for its certificate, and the answer.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Subcommand;
use serde_json::Value;

use super::print;
use crate::enrol::certificate::FILE_LIMIT;
use crate::enrol::control::{Answer, Request, ask};
use crate::enrol::status::Status;
use crate::paths;

mod render;

/// How long `install --wait` waits for the service centre.
const PATIENCE: Duration = Duration::from_secs(180);

/// `rapctl identity`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A box that was given no identity makes its keys when it first starts; they never leave it. Its request is signed where the \
authority is (rap-image provision sign), and the answer installed. `renew` asks for the next certificate beside the one in \
use: the new one is shown to the service centre first, and used only when that takes it; else the one before stays.

Exit codes: 0 done, or all is well; 1 refused, not taken, or something is wrong; 2 it cannot be told.

Examples:
  rapctl identity show
  rapctl identity csr > ward-3.csr
  rapctl identity install ward-3.crt
  rapctl identity renew > ward-3.csr")]
pub(super) struct Identity {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Print one JSON object
    #[arg(long, global = true)]
    json: bool,
    /// Where the identity service is asked
    #[arg(long, global = true, default_value = paths::IDENTITY_SOCKET, hide = true)]
    socket: PathBuf,
    /// Where the services' status files are
    #[arg(long, global = true, default_value = paths::STATUS, hide = true)]
    from: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say which certificates are in use, asked for, or on trial
    Show,
    /// Print the request that waits for its answer, in PEM
    Csr,
    /// Take the answer: certificates in PEM
    Install {
        /// The file; - is standard input
        file: PathBuf,
        /// Wait until the service centre has taken the certificate or refused it
        #[arg(long)]
        wait: bool,
    },
    /// Make new keys beside those in use, and print the request for them; the one that waits already, if one does
    Renew {
        /// Give up the keys that wait instead
        #[arg(long)]
        withdraw: bool,
    },
}

/// Carries out one verb.
pub(super) fn run(identity: Identity) -> ExitCode {
    let Identity {
        verb,
        json,
        socket,
        from,
    } = identity;
    match verb.unwrap_or(Verb::Show) {
        Verb::Show => show(&socket, &from, json),
        Verb::Csr => request(&socket, &Request::Csr {}, json),
        Verb::Renew { withdraw: false } => request(&socket, &Request::Renew {}, json),
        Verb::Renew { withdraw: true } => done(&socket, &Request::Withdraw {}, json, |_| {
            "the keys that waited are given up\n".to_owned()
        }),
        Verb::Install { file, wait } => install(&socket, &file, wait, json),
    }
}

fn show(socket: &Path, from: &Path, json: bool) -> ExitCode {
    let Some(status) = status(socket, from) else {
        eprintln!("rapctl: the identity service has said nothing; is this the box, and are you root?");
        return ExitCode::from(2);
    };
    print(&if json {
        format!("{}\n", serde_json::json!(status))
    } else {
        render::status(&status)
    });
    ExitCode::from(u8::from(status.trouble.is_some() || !status.problems.is_empty()))
}

/// As the service says; without root's rights, or while it is away, as it said last.
fn status(socket: &Path, from: &Path) -> Option<Status> {
    match ask(socket, &Request::Status {}) {
        Ok(Answer::Done(status)) => serde_json::from_value(status).ok(),
        Ok(Answer::Refused(_)) | Err(_) => crate::status::read_one(from, "identity"),
    }
}

/// Prints a request in PEM on standard output, and beside it whom it names.
fn request(socket: &Path, request: &Request, json: bool) -> ExitCode {
    let code = done(socket, request, json, |value| {
        value["request"].as_str().unwrap_or_default().to_owned()
    });
    if !json && code == ExitCode::SUCCESS {
        let Some(asked) = status(socket, Path::new("")).and_then(|status| status.request) else {
            return code;
        };
        let (name, serial, key) = (asked.name, asked.serial, asked.key);
        eprintln!("for --name {name} --serial {serial}, key {key}");
    }
    code
}

fn install(socket: &Path, file: &Path, wait: bool, json: bool) -> ExitCode {
    let certificates = match read(file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("rapctl: cannot read {}: {error}", file.display());
            return ExitCode::from(2);
        }
    };
    let request = Request::Install { certificates };
    let code = done(socket, &request, json && !wait, render::installed);
    if code != ExitCode::SUCCESS || !wait {
        return code;
    }
    let begun = Instant::now();
    loop {
        let Some(status) = status(socket, Path::new("")) else {
            return ExitCode::from(2);
        };
        let over = status.trial.is_none();
        if over || begun.elapsed() > PATIENCE {
            let taken = over && status.last.as_ref().is_some_and(|last| last.taken);
            print(&if json {
                format!("{}\n", serde_json::json!(status))
            } else {
                render::verdict(&status)
            });
            return ExitCode::from(u8::from(!taken));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn read(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    // One byte more than is taken, so that too much is seen.
    let limit = FILE_LIMIT as u64 + 1;
    if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(file)?.take(limit).read_to_string(&mut text)?;
    }
    Ok(text)
}

/// Asks for something that is either done or not, and says what came of it.
fn done(socket: &Path, request: &Request, json: bool, words: impl Fn(&Value) -> String) -> ExitCode {
    super::done(ask(socket, request), |value| {
        if json { format!("{value}\n") } else { words(value) }
    })
}

//! `rapctl`: how a person asks the box.
//!
//! Exit codes: 0 all is well; 1 something is wrong and is named; 2 it cannot be told.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use serde_json::Value;

use crate::build_info::BuildInfo;
use crate::control::{Answer, AskError};
use crate::status::{self, InitStatus};
use crate::{metrics, paths};

mod audit;
mod hardening;
mod identity;
mod net;
mod queue;
mod session;
mod table;
mod update;

/// Asks the box how it is.
#[derive(Debug, Parser)]
#[command(
    name = "rapctl",
    version,
    after_help = "Exit codes: 0 all is well; 1 something is wrong and is named; 2 it cannot be told.\n\n\
                  Examples:\n  rapctl status\n  rapctl status --json\n  rapctl queue\n  rapctl net status\n  \
                  rapctl net try new.toml\n  rapctl update status"
)]
pub struct Command {
    /// What to ask.
    #[command(flatten)]
    pub args: Args,
}

/// What `rapctl` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say how the box and its services are, and what is wrong
    #[command(
        after_help = "Exit codes: 0 all is well; 1 something is wrong and is named; 2 it cannot be told."
    )]
    Status {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Where the services' status files are
        #[arg(long, default_value = paths::STATUS, hide = true)]
        from: PathBuf,
        /// Where the image says what it is
        #[arg(long, default_value = paths::BUILD_INFO, hide = true)]
        build: PathBuf,
    },
    /// Say what waits to be delivered, how it moves, and what keeps it
    Queue(queue::Queue),
    /// Print the box's figures in Prometheus' text format
    Metrics {
        /// Where the services' status files are
        #[arg(long, default_value = paths::STATUS, hide = true)]
        from: PathBuf,
        /// Where the image says what it is
        #[arg(long, default_value = paths::BUILD_INFO, hide = true)]
        build: PathBuf,
    },
    /// Show the network, try a new site, keep or undo it
    Net(net::Net),
    /// Say whether somebody asks to get in or is in, and end that
    Session(session::Session),
    /// Show updates, look for one, install it, keep it or go back
    Update(update::Update),
    /// Say who this box is to others, and see to its certificate
    Identity(identity::Identity),
    /// Show the audit trail, or hold it against changes
    Audit(audit::Audit),
    /// Say of each measure that keeps the box tight whether it holds now
    Hardening(hardening::Hardening),
    /// Print the completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Everything that is known of the box.
#[derive(Debug)]
struct Picture {
    build: Option<BuildInfo>,
    init: Option<InitStatus>,
    services: BTreeMap<String, Value>,
    /// Each with the service it is about.
    problems: Vec<(String, String)>,
}

/// Carries out one verb.
#[must_use]
pub fn run(args: Args) -> ExitCode {
    match args.verb {
        Verb::Status { json, from, build } => match picture(&from, &build) {
            Ok(picture) => {
                let text = if json {
                    format!("{}\n", picture.as_json())
                } else {
                    table::render(&picture, std::io::stdout().is_terminal())
                };
                print(&text);
                ExitCode::from(picture.exit_code())
            }
            Err(error) => unreadable(&from, &error),
        },
        Verb::Queue(queue) => queue::run(&queue),
        Verb::Metrics { from, build } => match status::read_all(&from) {
            Ok(services) => {
                print(&metrics::render(&services, build_info(&build).as_ref()));
                ExitCode::SUCCESS
            }
            Err(error) => unreadable(&from, &error),
        },
        Verb::Net(net) => net::run(net),
        Verb::Session(session) => session::run(&session),
        Verb::Update(update) => update::run(update),
        Verb::Identity(identity) => identity::run(identity),
        Verb::Audit(args) => audit::run(args),
        Verb::Hardening(args) => hardening::run(&args),
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Command::command(), "rapctl", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}

/// Who asks, for the record.
fn operator() -> String {
    "an operator (rapctl)".to_owned()
}

/// What came of asking a service for something that is either done or not; `words` says what was done.
fn done(answer: Result<Answer, AskError>, words: impl FnOnce(&Value) -> String) -> ExitCode {
    match answer {
        Ok(Answer::Done(value)) => {
            print(&words(&value));
            ExitCode::SUCCESS
        }
        Ok(Answer::Refused(why)) => refused(&why),
        Err(error) => unasked(error),
    }
}

/// A service says no.
fn refused(why: &str) -> ExitCode {
    eprintln!("rapctl: refused: {why}");
    ExitCode::FAILURE
}

/// A service cannot be asked.
fn unasked(error: AskError) -> ExitCode {
    eprintln!("rapctl: {:#}", anyhow::Error::from(error));
    ExitCode::from(2)
}

fn unreadable(from: &Path, error: &std::io::Error) -> ExitCode {
    eprintln!(
        "rapctl: cannot read the services' status in {}: {error}",
        from.display()
    );
    eprintln!("  is this the box, and does init run?");
    ExitCode::from(2)
}

fn build_info(file: &Path) -> Option<BuildInfo> {
    let content = std::fs::read(file).ok()?;
    serde_json::from_slice(&content).ok()
}

/// A reader that went away (`rapctl status | head`) is no error.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn picture(from: &Path, build: &Path) -> std::io::Result<Picture> {
    let services = status::read_all(from)?;
    let init = services
        .get("init")
        .and_then(|value| serde_json::from_value(value.clone()).ok());
    let build = build_info(build);
    let named = |(name, value): (&String, &Value)| {
        status::problems(value)
            .into_iter()
            .map(|problem| (name.clone(), problem))
            .collect::<Vec<_>>()
    };
    let mut problems: Vec<(String, String)> = services.iter().flat_map(named).collect();
    problems.extend(not_running(init.as_ref()));
    Ok(Picture {
        build,
        init,
        services,
        problems,
    })
}

fn not_running(init: Option<&InitStatus>) -> Vec<(String, String)> {
    let services = init.map(|init| &init.services[..]).unwrap_or_default();
    let stopped = services.iter().filter(|service| service.state != "running");
    stopped
        .map(|service| {
            (
                service.name.clone(),
                format!("is {} and not running", service.state),
            )
        })
        .collect()
}

impl Picture {
    fn exit_code(&self) -> u8 {
        match (&self.init, self.problems.is_empty()) {
            (None, _) => 2,
            (Some(_), false) => 1,
            (Some(_), true) => 0,
        }
    }

    fn as_json(&self) -> Value {
        let problems = self.problems.iter();
        let problems: Vec<Value> = problems
            .map(|(service, problem)| serde_json::json!({ "service": service, "problem": problem }))
            .collect();
        serde_json::json!({
            "healthy": self.exit_code() == 0,
            "build": self.build,
            "services": self.services,
            "problems": problems,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(init: &Value, forward: &Value) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        status::write(directory.path(), "init", init).unwrap();
        status::write(directory.path(), "forward", forward).unwrap();
        directory
    }

    fn init(state: &str) -> Value {
        serde_json::json!({
            "ready-after-seconds": 3.25, "watchdog": null, "data": true, "problems": [],
            "services": [{"name": "forward", "state": state, "pid": 7, "restarts": 2, "text": "3 wait"}],
        })
    }

    #[test]
    fn all_is_well() {
        let directory = directory(&init("running"), &serde_json::json!({}));
        let picture = picture(directory.path(), Path::new("/nonexistent")).unwrap();
        assert_eq!(picture.exit_code(), 0, "{picture:?}");
        let text = table::render(&picture, false);
        assert!(text.contains("forward  running  7    2         3 wait"), "{text}");
        assert!(text.contains("ready after 3.25 s") && !text.contains('\x1b'));
        assert!(table::render(&picture, true).contains('\x1b'));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let trouble = serde_json::json!({ "trouble": "the centre does not answer" });
        let directory = directory(&init("waiting"), &trouble);
        let picture = picture(directory.path(), Path::new("/nonexistent")).unwrap();
        assert_eq!(picture.exit_code(), 1);
        let text = table::render(&picture, false);
        assert!(text.contains("forward: the centre does not answer"), "{text}");
        assert!(text.contains("forward: is waiting and not running"), "{text}");
        assert_eq!(picture.as_json()["healthy"], false);
    }

    #[test]
    fn without_init_nothing_can_be_told() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(
            picture(directory.path(), Path::new("/none")).unwrap().exit_code(),
            2
        );
        assert!(picture(Path::new("/nonexistent"), Path::new("/none")).is_err());
    }
}

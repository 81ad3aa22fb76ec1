//! `rapctl session`: the remote session of this moment, and its end.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

use super::{print, unasked};
use crate::control::{self, Answer};
use crate::paths;
use crate::session::Request;

/// `rapctl session`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 done, or nothing is open; 1 status: a session is asked for or open, or end: there is none; \
                  2 it cannot be told."
)]
pub(super) struct Session {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Print one JSON object
    #[arg(long, global = true)]
    json: bool,
    /// Where the session service is asked
    #[arg(long, global = true, default_value = paths::SESSION_SOCKET, hide = true)]
    socket: PathBuf,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Verb {
    /// Say whether somebody asks to get in, or is in
    Status,
    /// End the session at once
    End,
}

pub(super) fn run(session: &Session) -> ExitCode {
    let verb = session.verb.unwrap_or(Verb::Status);
    let request = match verb {
        Verb::Status => Request::Status {},
        Verb::End => Request::End {
            by: "rapctl".to_owned(),
        },
    };
    match (verb, control::ask("session", &session.socket, &request, None)) {
        (Verb::Status, Ok(Answer::Done(status))) => {
            let text = if session.json {
                format!("{status}\n")
            } else {
                words(&status)
            };
            print(&text);
            ExitCode::from(u8::from(is_on(&status)))
        }
        (Verb::End, Ok(Answer::Done(_))) => {
            print("ended\n");
            ExitCode::SUCCESS
        }
        (_, Ok(Answer::Refused(why))) => {
            eprintln!("rapctl: {why}");
            ExitCode::FAILURE
        }
        (_, Err(error)) => unasked(error),
    }
}

fn is_on(status: &Value) -> bool {
    let state = status["session"]["state"].as_str();
    state.is_some_and(|state| state != "ended")
}

fn words(status: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let session = &status["session"];
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = match session["state"].as_str() {
        None => writeln!(out, "no session since the service started"),
        Some("ended") => writeln!(
            out,
            "session {} has ended: {}",
            text(&session["session"]),
            text(&session["why"])
        ),
        Some(state) => writeln!(
            out,
            "session {} of {} is {state}: {} to {}, {} s left",
            text(&session["session"]),
            text(&session["engineer"]),
            text(&session["services"]),
            text(&session["port"]),
            session["seconds-left"].as_u64().unwrap_or(0)
        ),
    };
    let (docket, last) = (text(&status["docket"]), &status["last-directive"]);
    let _ = writeln!(out, "docket {docket}, last directive {last}");
    if let Some(why) = status["service-key"].as_str() {
        let _ = writeln!(out, "no directive is taken: {why}");
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_goes_on_is_said_in_a_line() {
        let open = json!({
            "session": {"session": "s-1", "state": "open", "port": "port1", "engineer": "Ada", "services": "tcp/5900",
                        "seconds-left": 42, "why": null},
            "docket": "00ff", "last-directive": 7, "service-key": null,
        });
        assert!(is_on(&open));
        assert_eq!(
            words(&open),
            "session s-1 of Ada is open: tcp/5900 to port1, 42 s left\ndocket 00ff, last directive 7\n"
        );
        let none = json!({"session": null, "docket": "00", "last-directive": 0, "service-key": "no file"});
        assert!(!is_on(&none) && words(&none).contains("no directive is taken: no file"));
        let ended = json!({"session": {"session": "s-1", "state": "ended", "why": "its time is over"}});
        assert!(!is_on(&ended) && words(&ended).contains("has ended: its time is over"));
    }
}

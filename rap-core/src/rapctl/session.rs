//! `rapctl session`: the remote session of this moment, and its end.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde::Deserialize as _;
use serde_json::Value;

use super::{print, refused, unasked};
use crate::control::{self, Answer};
use crate::paths;
use crate::session::{Request, Stage, Status};

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
        (Verb::Status, Ok(Answer::Done(status))) => told(&status, session.json),
        (Verb::End, Ok(Answer::Done(_))) => {
            print("ended\n");
            ExitCode::SUCCESS
        }
        (_, Ok(Answer::Refused(why))) => refused(&why),
        (_, Err(error)) => unasked(error),
    }
}

fn told(answer: &Value, json: bool) -> ExitCode {
    let Ok(status) = Status::deserialize(answer) else {
        eprintln!("rapctl: the session service's answer is not understood");
        return ExitCode::from(2);
    };
    print(&if json {
        format!("{answer}\n")
    } else {
        words(&status)
    });
    ExitCode::from(u8::from(is_on(&status)))
}

fn is_on(status: &Status) -> bool {
    status
        .session
        .as_ref()
        .is_some_and(|session| session.state != Stage::Ended)
}

fn words(status: &Status) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = match &status.session {
        None => writeln!(out, "no session since the service started"),
        Some(session) if session.state == Stage::Ended => writeln!(
            out,
            "session {} has ended: {}",
            session.session,
            session.why.as_deref().unwrap_or("-")
        ),
        Some(session) => writeln!(
            out,
            "session {} of {} is {}: {} to {}, {} s left",
            session.session,
            session.engineer,
            session.state.word(),
            session.services,
            session.port,
            session.seconds_left.unwrap_or(0)
        ),
    };
    let _ = writeln!(
        out,
        "docket {}, last directive {}",
        status.docket, status.last_directive
    );
    if let Some(why) = &status.service_key {
        let _ = writeln!(out, "no directive is taken: {why}");
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::session::SessionStatus;

    use super::*;

    fn session(state: Stage, why: Option<&str>) -> Status {
        Status {
            session: Some(SessionStatus {
                session: "s-1".to_owned(),
                state,
                port: "port1".to_owned(),
                engineer: "Ada".to_owned(),
                services: "tcp/5900".to_owned(),
                seconds_left: Some(42),
                why: why.map(str::to_owned),
            }),
            docket: "00ff".to_owned(),
            last_directive: 7,
            ..Status::default()
        }
    }

    #[test]
    fn what_goes_on_is_said_in_a_line() {
        let open = session(Stage::Open, None);
        assert!(is_on(&open));
        assert_eq!(
            words(&open),
            "session s-1 of Ada is open: tcp/5900 to port1, 42 s left\ndocket 00ff, last directive 7\n"
        );
        let none = Status {
            service_key: Some("no file".to_owned()),
            ..Status::default()
        };
        assert!(!is_on(&none) && words(&none).contains("no directive is taken: no file"));
        let ended = session(Stage::Ended, Some("its time is over"));
        assert!(!is_on(&ended) && words(&ended).contains("has ended: its time is over"));
    }
}

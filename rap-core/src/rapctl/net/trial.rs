//! `rapctl net try`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::netd::state::State;
use crate::netd::trial::Outcome;

use super::{Answer, Request, ask, print, refused, unasked};

/// How often it is asked whether the trial goes on.
const LOOK: Duration = Duration::from_secs(1);

pub(super) fn run(socket: &Path, file: &Path, wait: bool) -> ExitCode {
    let site = match std::fs::read_to_string(file) {
        Ok(site) => site,
        Err(error) => {
            eprintln!("rapctl: cannot read {}: {error}", file.display());
            return ExitCode::from(2);
        }
    };
    let request = Request::Try {
        file: file.display().to_string(),
        site,
    };
    match ask(socket, &request) {
        Ok(Answer::Done(done)) => {
            let seconds = &done["seconds"];
            print(&format!(
                "applied; undone in {seconds} s unless the box speaks TLS with its service centre, or you confirm it: \
                 rapctl net confirm\n"
            ));
            for problem in done["problems"].as_array().into_iter().flatten() {
                print(&format!("  {}\n", problem.as_str().unwrap_or_default()));
            }
        }
        Ok(Answer::Refused(why)) => return refused(&why),
        Err(error) => return unasked(error),
    }
    if wait {
        wait_for_end(socket)
    } else {
        ExitCode::SUCCESS
    }
}

/// Until the trial is over. netd may be away for a moment; a box that is restarted ends this, too.
fn wait_for_end(socket: &Path) -> ExitCode {
    loop {
        std::thread::sleep(LOOK);
        let state: Option<State> = match ask(socket, &Request::Status {}) {
            Ok(Answer::Done(state)) => serde_json::from_value(state).ok(),
            Ok(Answer::Refused(_)) | Err(_) => continue,
        };
        let Some(state) = state else {
            eprintln!("rapctl: netd's answer is not understood");
            return ExitCode::from(2);
        };
        let last = state.status.trials.last();
        if let Some(ending) = last.and_then(|trial| trial.ended.as_ref()) {
            print(&format!("{}: {}\n", ending.outcome, ending.why));
            return match ending.outcome {
                Outcome::Kept => ExitCode::SUCCESS,
                Outcome::Undone => ExitCode::FAILURE,
            };
        }
    }
}

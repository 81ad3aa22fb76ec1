//! Waiting for what was begun, with its progress.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::{Answer, Request, Status, ask, print, refused, render, unasked, verdict};
use crate::update::status::IDLE;

/// How often it is asked how far it is.
const LOOK: Duration = Duration::from_millis(500);
/// How many times in a row the updater may not answer: it is restarted, or the box is.
const AWAY: u32 = 20;

/// Asks for something that goes on by itself.
pub(super) fn begun(socket: &Path, request: &Request, file: Option<&File>) -> Result<(), ExitCode> {
    match ask(socket, request, file) {
        Ok(Answer::Done(_)) => Ok(()),
        Ok(Answer::Refused(why)) => Err(refused(&why)),
        Err(error) => Err(unasked(error)),
    }
}

/// Shows progress until the updater does nothing any more, then says how it is.
pub(super) fn until_idle(socket: &Path, json: bool) -> ExitCode {
    let live = std::io::stderr().is_terminal();
    let (mut away, mut said) = (0, String::new());
    loop {
        std::thread::sleep(LOOK);
        let status: Option<Status> = match ask(socket, &Request::Status {}, None) {
            Ok(Answer::Done(status)) => serde_json::from_value(status).ok(),
            Ok(Answer::Refused(_)) | Err(_) => None,
        };
        let Some(status) = status else {
            away += 1;
            if away == AWAY {
                eprintln!("rapctl: the updater does not answer any more; does the box restart?");
                return ExitCode::from(2);
            }
            continue;
        };
        away = 0;
        if status.doing == IDLE {
            if live {
                eprintln!();
            }
            let text = if json {
                format!("{}\n", serde_json::json!(status))
            } else {
                render::status(&status, std::io::stdout().is_terminal())
            };
            print(&text);
            return verdict(&status);
        }
        let words = status.summary();
        if live {
            eprint!("\r\x1b[K{}", crate::rapctl::table::clean(&words));
            let _ = std::io::stderr().flush();
        } else if status.doing != said {
            eprintln!("{words}");
            said = status.doing;
        }
    }
}

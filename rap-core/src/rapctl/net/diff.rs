//! `rapctl net diff`.

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use super::{Answer, Request, ask, print, refused, unasked};

pub(super) fn run(socket: &Path, json: bool) -> ExitCode {
    match ask(socket, &Request::Diff {}) {
        Ok(Answer::Done(found)) => {
            let text = if json {
                format!("{found}\n")
            } else {
                render(&found)
            };
            print(&text);
            ExitCode::from(u8::from(!steps(&found).is_empty()))
        }
        Ok(Answer::Refused(why)) => refused(&why),
        Err(error) => unasked(error),
    }
}

pub(super) fn render(found: &Value) -> String {
    let steps = steps(found);
    if steps.is_empty() {
        return "the network is as planned; nothing is to be changed\n".to_owned();
    }
    let lines: String = steps.iter().map(|step| format!("  {step}\n")).collect();
    format!("to be changed, in this order (netd does so within a minute):\n{lines}")
}

fn steps(found: &Value) -> Vec<&str> {
    let words = found["words"].as_array().map(Vec::as_slice).unwrap_or_default();
    words.iter().filter_map(Value::as_str).collect()
}

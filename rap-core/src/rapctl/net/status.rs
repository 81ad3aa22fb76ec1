//! `rapctl net status`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use crate::netd::report::{LinkStatus, Status};
use crate::netd::state::State;
use crate::netd::trial::Record;
use crate::rapctl::table::{GREEN, RED, clean, paint};

use super::{Answer, Request, ask, colour, print};

pub(super) fn run(socket: &Path, from: &Path, json: bool) -> ExitCode {
    let (state, asked) = match ask(socket, &Request::Status {}) {
        Ok(Answer::Done(state)) => (serde_json::from_value(state).ok(), true),
        // Without root's rights, or while netd is away: what it said last.
        Ok(Answer::Refused(_)) | Err(_) => (said_last(from), false),
    };
    let Some(state) = state else {
        eprintln!(
            "rapctl: netd has said nothing yet, neither when asked nor in {}",
            from.display()
        );
        eprintln!("  is this the box, and does netd run?");
        return ExitCode::from(2);
    };
    let text = if json {
        format!("{}\n", serde_json::json!(state))
    } else {
        render(&state, asked, colour())
    };
    print(&text);
    let well = state.status.problems.is_empty() && state.status.trouble.is_none();
    ExitCode::from(u8::from(!well))
}

fn said_last(from: &Path) -> Option<State> {
    let status: Status = crate::status::read_one(from, "netd")?;
    Some(State {
        status,
        ..State::default()
    })
}

/// For a person; `asked` is whether netd itself answered.
pub(super) fn render(state: &State, asked: bool, colour: bool) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(state, asked, colour, &mut text);
    text
}

fn write_all(state: &State, asked: bool, colour: bool, text: &mut String) -> std::fmt::Result {
    let status = &state.status;
    write_site(state, text)?;
    if status.trouble.is_none() {
        writeln!(text)?;
        for link in std::iter::once(&status.uplink).chain(&status.ports) {
            write_link(link, colour, text)?;
        }
    }
    if let Some(lease) = &status.lease {
        let gateway = lease
            .gateway
            .map_or_else(String::new, |gateway| format!(" via {gateway}"));
        writeln!(text, "\nlease: {}{gateway}", lease.address)?;
    }
    for open in &state.openings {
        writeln!(
            text,
            "\nopen: {} {} at {} for {} s",
            open.port, open.service, open.address, open.seconds_left
        )?;
    }
    if let Some(last) = status.trials.last().filter(|last| last.ended.is_some()) {
        write_ended(last, text)?;
    }
    if !state.drops.is_empty() {
        writeln!(text, "\npackets thrown away since the rules were loaded:")?;
        for drops in &state.drops {
            writeln!(
                text,
                "  {:>9}  {} {}: {}",
                drops.packets,
                drops.place,
                drops.chain,
                clean(&drops.reason)
            )?;
        }
    }
    let wrong: Vec<_> = status.problems.iter().chain(&status.trouble).collect();
    writeln!(text)?;
    for problem in &wrong {
        writeln!(text, "{}", paint(&clean(problem), RED, colour))?;
    }
    if wrong.is_empty() {
        writeln!(text, "{}", paint("all is well", GREEN, colour))?;
    }
    if !asked {
        writeln!(
            text,
            "(netd was not asked: this is what it said last, without counters; ask as root)"
        )?;
    }
    Ok(())
}

fn write_site(state: &State, text: &mut String) -> std::fmt::Result {
    let Some(site) = &state.status.site else {
        return writeln!(text, "no site is in force");
    };
    match state.seconds_left {
        Some(left) => writeln!(
            text,
            "site {site:.12} is on trial: undone in {left} s unless it is confirmed (rapctl net confirm)"
        ),
        None if state.status.on_trial => writeln!(text, "site {site:.12} is on trial"),
        None => writeln!(text, "site {site:.12} is in force"),
    }
}

fn write_link(link: &LinkStatus, colour: bool, text: &mut String) -> std::fmt::Result {
    let up = if link.link == "up" { GREEN } else { RED };
    let address = link.address.as_deref().unwrap_or("no address");
    let word = paint(&format!("{:8}", link.link), up, colour);
    writeln!(
        text,
        "{:11}  {word}  {address:18}  {}",
        clean(&link.name),
        link.nic
    )
}

fn write_ended(last: &Record, text: &mut String) -> std::fmt::Result {
    let Some(ended) = &last.ended else { return Ok(()) };
    writeln!(
        text,
        "\nlast trial: site {:.12}, begun {}, {} {}:\n  {}",
        last.site,
        last.began,
        ended.outcome,
        ended.at,
        clean(&ended.why)
    )
}

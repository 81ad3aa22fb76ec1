//! The status as text for a person.

use std::fmt::Write as _;

use crate::status::{SecureBoot, ServiceStatus};

use super::Picture;

pub(super) const GREEN: &str = "\x1b[32m";
pub(super) const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// The whole picture; with `colour`, states are green or red.
pub(super) fn render(picture: &Picture, colour: bool) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(picture, colour, &mut text);
    text
}

fn write_all(picture: &Picture, colour: bool, text: &mut String) -> std::fmt::Result {
    if let Some(build) = &picture.build {
        let kind = if build.development {
            ", for development only"
        } else {
            ""
        };
        writeln!(
            text,
            "version {}, build {:.12}{kind}",
            build.version, build.build_id
        )?;
    }
    if let Some(init) = &picture.init {
        let ready = init.ready_after_seconds;
        let ready = ready.map_or_else(
            || "not ready yet".to_owned(),
            |after| format!("ready after {after:.2} s"),
        );
        let watchdog = init.watchdog.as_ref();
        let watchdog = watchdog.map_or_else(
            || "no watchdog".to_owned(),
            |watchdog| format!("watchdog {} ({} s)", watchdog.name, watchdog.timeout_seconds),
        );
        let secure = init.secure_boot.map_or("no Secure Boot", SecureBoot::words);
        writeln!(text, "{ready}, {watchdog}, {secure}\n")?;
        write_services(&init.services, colour, text)?;
    }
    for (service, problem) in &picture.problems {
        writeln!(
            text,
            "{}{service}: {}{}",
            on(RED, colour),
            clean(problem),
            on(PLAIN, colour)
        )?;
    }
    if picture.exit_code() == 0 {
        writeln!(text, "{}all is well{}", on(GREEN, colour), on(PLAIN, colour))?;
    }
    Ok(())
}

fn write_services(services: &[ServiceStatus], colour: bool, text: &mut String) -> std::fmt::Result {
    let width = services
        .iter()
        .map(|service| service.name.len())
        .max()
        .unwrap_or(0)
        .max(7);
    writeln!(
        text,
        "{:width$}  {:8} {:4} {:9} says",
        "service", "state", "pid", "restarts"
    )?;
    for service in services {
        let paint = if service.state == "running" { GREEN } else { RED };
        let pid = service.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        writeln!(
            text,
            "{:width$}  {}{:8}{} {pid:4} {:<9} {}",
            service.name,
            on(paint, colour),
            service.state,
            on(PLAIN, colour),
            service.restarts,
            clean(&service.text)
        )?;
    }
    text.push('\n');
    Ok(())
}

/// `text` in a colour, where there is any.
pub(super) fn paint(text: &str, code: &'static str, colour: bool) -> String {
    format!("{}{text}{}", on(code, colour), on(PLAIN, colour))
}

fn on(code: &'static str, colour: bool) -> &'static str {
    if colour { code } else { "" }
}

/// What a service says must not reach the terminal as a command.
pub(super) fn clean(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

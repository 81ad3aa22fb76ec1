//! The updater's status as text for a person.

use std::fmt::Write as _;

use crate::rapctl::table::{GREEN, RED, clean, paint};
use crate::update::policy::{Decision, Plan, Way, time};
use crate::update::status::{Status, words};

/// Everything but the history.
pub(super) fn status(status: &Status, colour: bool) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_status(status, colour, &mut text);
    text
}

fn write_status(status: &Status, colour: bool, text: &mut String) -> std::fmt::Result {
    for slot in &status.slots {
        let version = slot.version.as_deref().unwrap_or("empty");
        let build = slot.build_id.as_deref().unwrap_or("-");
        let runs = if slot.running { "  runs" } else { "" };
        writeln!(
            text,
            "slot {}  {:9}  {:12}  build {build:.12}{runs}",
            clean(&slot.slot),
            clean(&slot.state),
            clean(version)
        )?;
    }
    match &status.running {
        Some(running) => writeln!(text, "\nthis is release {}", clean(&running.words()))?,
        None => writeln!(text, "\nwhich release this is was not learnt yet")?,
    }
    match &status.repository {
        Some(repository) => {
            let asked = status.checked_at.as_deref().unwrap_or("never since the start");
            writeln!(text, "repository {repository}, asked last: {asked}")?;
        }
        None => writeln!(text, "no repository: the box is updated by a file")?,
    }
    if let Some(offer) = &status.offer {
        writeln!(text, "on offer: {}", clean(&offer.release.words()))?;
    }
    if let Some(trial) = &status.trial {
        writeln!(
            text,
            "on trial: {}, attempt {}",
            clean(&trial.release.words()),
            trial.attempt
        )?;
    }
    if let Some(given_up) = &status.given_up {
        writeln!(
            text,
            "given up: {} at {}: {}",
            clean(&given_up.release.words()),
            given_up.at,
            clean(&given_up.why)
        )?;
    }
    writeln!(text, "{}", clean(&status.summary()))?;
    for problem in &status.problems {
        writeln!(text, "{}", paint(&clean(problem), RED, colour))?;
    }
    if status.problems.is_empty() {
        writeln!(text, "{}", paint("all is well", GREEN, colour))?;
    }
    Ok(())
}

/// What an update would bring.
pub(super) fn plan(status: &Status, _: bool) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_plan(status, &mut text);
    text
}

fn write_plan(status: &Status, text: &mut String) -> std::fmt::Result {
    let Some(offer) = &status.offer else {
        return writeln!(text, "nothing is on offer yet (rapctl update check)");
    };
    writeln!(text, "{}", clean(&offer.release.words()))?;
    for change in &offer.changes {
        writeln!(text, "  {}", clean(change))?;
    }
    match &status.decision {
        Some(Decision::Install(plan)) => write_way(plan, text),
        Some(decision) => writeln!(text, "{}", clean(&words(decision))),
        None => writeln!(text, "not decided yet"),
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn write_way(plan: &Plan, text: &mut String) -> std::fmt::Result {
    let way = match plan.way {
        Way::Patch(_) => "a patch to what runs",
        Way::Full => "the whole image",
    };
    let megabytes = plan.bytes as f64 / 1e6;
    let seconds = plan.seconds.map_or_else(
        || "at a rate not measured yet".to_owned(),
        |seconds| format!("about {}", time(seconds)),
    );
    writeln!(text, "way      {way}")?;
    writeln!(text, "to bring {megabytes:.2} MB, {seconds}")?;
    writeln!(text, "memory   {} MiB meanwhile", plan.memory_mib)?;
    match &plan.restart {
        None => writeln!(text, "restart  as soon as it is written"),
        Some(wait) => writeln!(text, "restart  waits: {}", clean(&wait.why)),
    }
}

/// What happened so far.
pub(super) fn history(status: &Status, _: bool) -> String {
    if status.history.is_empty() {
        return "nothing has happened yet\n".to_owned();
    }
    let mut text = String::new();
    for entry in &status.history {
        let (release, why) = (clean(&entry.release.words()), clean(&entry.why));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}  {:11}  {release}: {why}", entry.at, entry.what);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::policy::Wait;
    use crate::update::state::{Entry, Named};
    use crate::update::status::{OfferStatus, SlotStatus};

    fn example() -> Status {
        let release = Named {
            number: 4,
            version: "1.4.0".to_owned(),
            build_id: "ab".repeat(32),
        };
        Status {
            slots: vec![SlotStatus {
                slot: "A".to_owned(),
                version: Some("1.3.0".to_owned()),
                build_id: Some("cd".repeat(32)),
                state: "confirmed".to_owned(),
                running: true,
            }],
            repository: Some("https://updates.example:443/rap".to_owned()),
            offer: Some(OfferStatus {
                release: release.clone(),
                published: 0,
                changes: vec!["Fixes the clock.\x1b[2J".to_owned()],
            }),
            decision: Some(Decision::Install(Plan {
                way: Way::Patch(0),
                bytes: 81_000,
                seconds: Some(6),
                memory_mib: 80,
                restart: Some(Wait {
                    why: "the window opens in 3 h".to_owned(),
                    seconds: Some(10_800),
                }),
            })),
            doing: "idle".to_owned(),
            history: vec![Entry {
                at: "2026-01-05T02:00:00Z".to_owned(),
                release,
                what: "armed".to_owned(),
                why: "by the site's rules".to_owned(),
            }],
            ..Status::default()
        }
    }

    #[test]
    fn a_person_is_told_what_runs_what_comes_and_why_it_waits() {
        let text = status(&example(), false);
        for words in [
            "slot A  confirmed  1.3.0         build cdcdcdcdcdcd  runs",
            "on offer: 1.4.0 (number 4, build abababababab)",
            "ready to be installed; waits: the window opens in 3 h",
            "all is well",
        ] {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_plan_has_bytes_minutes_memory_and_the_restart() {
        let text = plan(&example(), false);
        for words in [
            "a patch to what runs",
            "0.08 MB, about 6 s",
            "80 MiB",
            "waits: the window opens in 3 h",
        ] {
            assert!(text.contains(words), "{text}");
        }
        assert!(!text.contains('\x1b'), "{text}");
        assert!(plan(&Status::default(), false).contains("nothing is on offer"));
    }

    #[test]
    fn the_history_is_a_line_an_event() {
        assert_eq!(
            history(&example(), false),
            "2026-01-05T02:00:00Z  armed        1.4.0 (number 4, build abababababab): by the site's rules\n"
        );
        assert!(history(&Status::default(), false).contains("nothing has happened"));
    }
}

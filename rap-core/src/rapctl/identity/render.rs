//! The texts of `rapctl identity`. Pure.

use std::fmt::Write as _;

use serde_json::Value;

use crate::client::words::day;
use crate::enrol::certificate::Facts;
use crate::enrol::status::Status;

/// How it is.
pub(super) fn status(status: &Status) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let made = if status.made_here {
        ", its key was made here"
    } else {
        ""
    };
    match &status.device {
        Some(facts) => {
            certificate(
                &mut out,
                &format!("towards the service centre {}{made}", status.centre),
                facts,
            );
        }
        None => out.push_str("no certificate towards the service centre\n"),
    }
    if let Some(facts) = &status.ingest {
        let own = if facts.self_issued {
            ", vouched for by nobody"
        } else {
            ""
        };
        certificate(&mut out, &format!("towards the instruments{own}"), facts);
    }
    if let Some(facts) = &status.authority {
        certificate(&mut out, "the service centre's authority", facts);
    }
    if let Some(asked) = &status.request {
        let _ = writeln!(
            out,
            "asked for\n  for         {} {}\n  key         {}",
            asked.name, asked.serial, asked.key
        );
    }
    out.push_str(&verdict(status));
    if let Some(trouble) = &status.trouble {
        let _ = writeln!(out, "{trouble}");
    }
    for problem in status.problems.iter().chain(&status.warnings) {
        let _ = writeln!(out, "{problem}");
    }
    out
}

fn certificate(out: &mut String, title: &str, facts: &Facts) {
    let serial = facts.serial.as_deref().unwrap_or("");
    let _ = writeln!(
        out,
        "{title}\n  for         {} {serial}\n  issued by   {}\n  number      {}\n  valid       {} to {}\n  SHA-256     {}\n  key         {}",
        facts.name,
        facts.issuer,
        facts.number,
        day(facts.from),
        day(facts.until),
        facts.sha256,
        facts.key,
    );
}

/// What became of an answer.
pub(super) fn verdict(status: &Status) -> String {
    if let Some(trial) = &status.trial {
        let trouble = trial
            .trouble
            .as_deref()
            .unwrap_or("the service centre is asked now");
        return format!("on trial: {}; {trouble}\n", trial.device.words());
    }
    status.last.as_ref().map_or_else(String::new, |last| {
        let taken = if last.taken { "taken" } else { "not taken" };
        format!("last answer, {}: {taken}; {}\n", last.at, last.words)
    })
}

/// What was said of an answer at once.
pub(super) fn installed(value: &Value) -> String {
    let certificate = value["certificate"].as_str().unwrap_or_default();
    let mut out = match value["state"].as_str() {
        Some("in-use") => format!("certificate {certificate} is in use\n"),
        _ => format!(
            "certificate {certificate} is shown to the service centre, and used when it takes it; `rapctl identity show` tells\n"
        ),
    };
    if value["first-of-its-authority"] == true {
        out.push_str(
            "the service centre's authority came with it: compare its SHA-256 (rapctl identity show) with the desk's\n",
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;
    use crate::enrol::shelf::Outcome;
    use crate::enrol::status::{Trial, WAITS};

    fn facts() -> Facts {
        Facts {
            name: "ward-3".to_owned(),
            serial: Some("RAP-0042".to_owned()),
            issuer: "Vendor".to_owned(),
            number: "0a:0b".to_owned(),
            from: 1_700_000_000,
            until: 1_800_000_000,
            self_issued: false,
            sha256: Sha256::of(b"c"),
            key: Sha256::of(b"k"),
        }
    }

    #[test]
    fn a_box_that_waits_says_what_is_to_be_done() {
        let waits = Status {
            trouble: Some(WAITS.to_owned()),
            ..Status::default()
        };
        let text = status(&waits);
        assert!(text.starts_with("no certificate towards the service centre\n"));
        assert!(text.contains("rapctl identity csr"), "{text}");
    }

    #[test]
    fn what_is_in_use_and_on_trial_is_told() {
        let busy = Status {
            device: Some(facts()),
            trial: Some(Trial {
                device: facts(),
                attempts: 2,
                trouble: Some("no route".to_owned()),
            }),
            ..Status::default()
        };
        let text = status(&busy);
        assert!(
            text.contains("ward-3 RAP-0042") && text.contains("2023-11-14 to 2027-01-15"),
            "{text}"
        );
        assert!(
            text.contains("on trial: number 0a:0b of Vendor, valid until 2027-01-15; no route"),
            "{text}"
        );
        let over = Status {
            last: Some(Outcome {
                at: "2026-01-01T00:00:00Z".to_owned(),
                taken: false,
                words: "revoked".to_owned(),
            }),
            ..Status::default()
        };
        assert_eq!(
            verdict(&over),
            "last answer, 2026-01-01T00:00:00Z: not taken; revoked\n"
        );
    }
}

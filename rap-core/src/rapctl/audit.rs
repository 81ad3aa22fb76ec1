//! `rapctl audit`: what the audit trail tells, whether it was changed, and how far its copies have come.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use crate::audit::verify;
use crate::{paths, status, trail};

/// `rapctl audit`.
#[derive(Debug, clap::Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print the records, oldest first
    #[command(after_help = "Exit codes: 0 printed; 2 the trail cannot be read.")]
    Show {
        /// Print one JSON object a record
        #[arg(long)]
        json: bool,
        /// Records, at most: the newest
        #[arg(long, default_value_t = 100)]
        last: usize,
        /// Where the trail is
        #[arg(long, default_value = paths::AUDIT, hide = true)]
        from: PathBuf,
    },
    /// Say how far the trail's copies have come
    #[command(
        after_help = "The collector's copy is where its close_notify said that it has read it; the service centre's is in the \
                      forwarder's log, which brings it there.\n\nExit codes: 0 both grow; 1 one does not, and why; 2 it \
                      cannot be told."
    )]
    Status {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Where the services' status files are
        #[arg(long, default_value = paths::STATUS, hide = true)]
        from: PathBuf,
    },
    /// Hold every record against the one before it
    #[command(
        after_help = "Compare the head with one that was seen elsewhere: whoever may write the whole disk can write a whole \
                      new trail.\n\nExit codes: 0 the chain holds; 1 it does not, and where; 2 the trail cannot be read."
    )]
    Verify {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// A copy in this file instead of the trail: a record a line, in any order, perhaps twice
        #[arg(long, value_name = "FILE")]
        copy: Option<PathBuf>,
        /// Where the trail is
        #[arg(long, default_value = paths::AUDIT, hide = true)]
        from: PathBuf,
    },
}

pub(super) fn run(args: Audit) -> ExitCode {
    let (from, done) = match args.verb {
        Verb::Show { json, last, from } => {
            let done = show(json, last, &from);
            (from, done)
        }
        Verb::Verify {
            json,
            copy: Some(copy),
            ..
        } => {
            let text = std::fs::read_to_string(&copy);
            let done = text.map(|text| told(json, &verify::copy(text.lines())));
            (copy, done)
        }
        Verb::Verify { json, from, .. } => {
            let done = verify::read(&from, |_| {}).map(|verdict| told(json, &verdict));
            (from, done)
        }
        Verb::Status { json, from } => return status(json, &from),
    };
    done.unwrap_or_else(|error| {
        eprintln!(
            "rapctl: cannot read the audit trail in {}: {error}",
            from.display()
        );
        eprintln!("  is this the box, and are you root?");
        ExitCode::from(2)
    })
}

fn show(json: bool, last: usize, from: &Path) -> std::io::Result<ExitCode> {
    let mut newest = std::collections::VecDeque::new();
    verify::read(from, |record| {
        newest.push_back(if json {
            serde_json::json!({
                "number": record.link.number,
                "time": record.origin.wall,
                "service": record.origin.service,
                "kind": record.kind,
                "about": record.about.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
                "text": record.text,
            })
            .to_string()
        } else {
            record.line()
        });
        if newest.len() > last {
            newest.pop_front();
        }
    })?;
    for line in newest {
        super::print(&format!("{line}\n"));
    }
    Ok(ExitCode::SUCCESS)
}

fn status(json: bool, from: &Path) -> ExitCode {
    let Some(status) = status::read_one::<trail::Status>(from, "trail") else {
        eprintln!(
            "rapctl: {} does not say how far the copies have come",
            from.display()
        );
        eprintln!("  is this the box, and does the service trail run?");
        return ExitCode::from(2);
    };
    if json {
        super::print(&format!("{}\n", serde_json::json!(status)));
    } else {
        let at = status.collector.as_ref().and_then(|copy| copy.at.clone());
        let collector = format!("collector {}", at.unwrap_or_default());
        for (name, copy) in [
            (collector.trim(), &status.collector),
            ("service centre", &status.centre),
        ] {
            super::print(
                &copy
                    .as_ref()
                    .map_or_else(|| format!("{name}: none\n"), |copy| line(name, copy)),
            );
        }
    }
    ExitCode::from(u8::from(status.trouble.is_some()))
}

fn line(name: &str, copy: &trail::CopyStatus) -> String {
    let last = copy
        .last
        .as_ref()
        .map_or(String::new(), |last| format!(", last at {last}"));
    let trouble = copy
        .trouble
        .as_ref()
        .map_or(String::new(), |why| format!("\n  {why}"));
    format!(
        "{name}: {} records, {} wait{last}{trouble}\n",
        copy.carried, copy.waiting
    )
}

fn told(json: bool, verdict: &verify::Verdict) -> ExitCode {
    if json {
        super::print(&format!("{}\n", serde_json::json!(verdict)));
    } else {
        for wrong in &verdict.breaks {
            super::print(&format!("BROKEN  {wrong}\n"));
        }
        let state = if verdict.breaks.is_empty() {
            "the chain holds"
        } else {
            "the chain is broken"
        };
        super::print(&format!(
            "{} records, {} to {}, head {}: {state}\n",
            verdict.records, verdict.first, verdict.last, verdict.head
        ));
    }
    ExitCode::from(u8::from(!verdict.breaks.is_empty()))
}

//! `rapctl audit`: what the audit trail tells, and whether it was changed.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::audit::verify;
use crate::paths;

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
    /// Hold every record against the one before it
    #[command(
        after_help = "Compare the head with one that was seen elsewhere: whoever may write the whole disk can write a whole \
                      new trail.\n\nExit codes: 0 the chain holds; 1 it does not, and where; 2 the trail cannot be read."
    )]
    Verify {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
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
        Verb::Verify { json, from } => {
            let done = verify(json, &from);
            (from, done)
        }
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

fn show(json: bool, last: usize, from: &std::path::Path) -> std::io::Result<ExitCode> {
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

fn verify(json: bool, from: &std::path::Path) -> std::io::Result<ExitCode> {
    let verdict = verify::read(from, |_| {})?;
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
    Ok(ExitCode::from(u8::from(!verdict.breaks.is_empty())))
}

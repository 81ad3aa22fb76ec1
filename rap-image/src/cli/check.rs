//! `rap-image check`.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use rap_core::site::{Mistakes, Site};

/// What `check` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Says of every mistake where it is, what was found, what was expected, and how to mend it. The same code reads \
                  the file on the box. A complete example with comments: rap-core/src/site/example.toml.\n\n\
                  Exit codes: 0 the site is valid; 2 it has mistakes, all of which are printed."
)]
pub(super) struct Args {
    /// The site.toml to check
    #[arg(default_value = "site.toml")]
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Carries out `check`.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let file = args.file.display();
    let result = Site::load(&args.file);
    if args.json {
        println!("{}", as_json(&result));
    }
    match result {
        Ok(site) => {
            if !args.json {
                println!(
                    "{file}: valid: \"{}\" with {} port(s)",
                    site.name,
                    site.ports.len()
                );
            }
            Ok(())
        }
        Err(mistakes) => {
            if !args.json {
                eprintln!("{}", paint(&mistakes, std::io::stderr().is_terminal()));
            }
            anyhow::bail!("{file} is not a valid site")
        }
    }
}

fn paint(mistakes: &Mistakes, colour: bool) -> String {
    let text = mistakes.to_string();
    if !colour {
        return text;
    }
    let paint = |line: &str| match line.strip_prefix("    fix: ") {
        Some(fix) => format!("    \x1b[32mfix:\x1b[0m {fix}"),
        None => format!("\x1b[1m{line}\x1b[0m"),
    };
    text.lines().map(paint).collect::<Vec<_>>().join("\n")
}

fn as_json(result: &Result<Site, Mistakes>) -> serde_json::Value {
    let list = result
        .as_ref()
        .err()
        .map(|mistakes| &mistakes.list[..])
        .unwrap_or_default();
    let mistake = |mistake: &rap_core::site::Mistake| {
        serde_json::json!({
            "fault": format!("{:?}", mistake.fault).to_lowercase(),
            "line": mistake.line, "column": mistake.column, "field": mistake.field,
            "found": mistake.found, "expected": mistake.expected, "fix": mistake.fix,
        })
    };
    serde_json::json!({
        "valid": result.is_ok(),
        "mistakes": list.iter().map(mistake).collect::<Vec<_>>(),
    })
}

//! `rapctl hardening`: each measure that keeps the box tight, and whether it holds now.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::confine;
use crate::hardening::{self, Measure};

/// `rapctl hardening`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Reads the kernel and every service's processes, and has a twin of each service try what it may not. \
                  Needs root.\n\n\
                  Exit codes: 0 everything holds; 1 something does not and is named; 2 it cannot be told."
)]
pub(super) struct Hardening {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Print what does not hold only
    #[arg(long)]
    brief: bool,
    /// Be the twin of this service (rapctl starts it itself)
    #[arg(long, hide = true)]
    twin: Option<String>,
    /// What the twin tries as a slot
    #[arg(long, hide = true, default_value = "/dev/rap-b")]
    slot: PathBuf,
}

pub(super) fn run(args: &Hardening) -> ExitCode {
    if let Some(service) = &args.twin {
        return confine::twin(service, Path::new("/"), &args.slot);
    }
    let measures = match hardening::look() {
        Ok(measures) => measures,
        Err(error) => {
            eprintln!("rapctl: cannot tell: {error}");
            eprintln!("  is this the box, does init run, and are you root?");
            return ExitCode::from(2);
        }
    };
    let all = measures.iter().all(|measure| measure.holds);
    let text = if args.json {
        format!("{}\n", serde_json::json!({ "holds": all, "measures": measures }))
    } else {
        render(&measures, args.brief, std::io::stdout().is_terminal())
    };
    super::print(&text);
    ExitCode::from(u8::from(!all))
}

fn render(measures: &[Measure], brief: bool, colour: bool) -> String {
    let (red, green, plain) = if colour {
        ("\x1b[31m", "\x1b[32m", "\x1b[0m")
    } else {
        ("", "", "")
    };
    let mut text = String::new();
    let mut about = "";
    for measure in measures.iter().filter(|measure| !brief || !measure.holds) {
        if measure.about != about {
            about = &measure.about;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{about}");
        }
        let _ = if measure.holds {
            writeln!(
                text,
                "  {green}holds{plain}  {} ({})",
                measure.measure, measure.found
            )
        } else {
            writeln!(
                text,
                "  {red}FAILS{plain}  {}: found {}",
                measure.measure, measure.found
            )
        };
    }
    let failed = measures.iter().filter(|measure| !measure.holds).count();
    let _ = match failed {
        0 => writeln!(text, "all {} measures hold", measures.len()),
        _ => writeln!(text, "{failed} of {} measures do not hold", measures.len()),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measures() -> Vec<Measure> {
        let measure = |about: &str, holds| Measure {
            about: about.to_owned(),
            measure: "is so".to_owned(),
            holds,
            found: "x".to_owned(),
        };
        vec![measure("kernel", true), measure("relay", false)]
    }

    #[test]
    fn what_does_not_hold_is_named() {
        assert_eq!(
            render(&measures(), false, false),
            "kernel\n  holds  is so (x)\nrelay\n  FAILS  is so: found x\n1 of 2 measures do not hold\n"
        );
        assert_eq!(
            render(&measures(), true, false),
            "relay\n  FAILS  is so: found x\n1 of 2 measures do not hold\n"
        );
        assert_eq!(render(&measures()[..1], true, false), "all 1 measures hold\n");
    }
}

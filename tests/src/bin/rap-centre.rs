//! The test service centre as a program, for people and for tests in other network namespaces.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use rap_tests::centre::{Arrival, Centre, Config};
use serde_json::{Value, json};

/// The test service centre: takes reports from boxes, keeps them, prints each as it comes.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// Directory with centre.crt, centre.key and centre-ca.crt.
    #[arg(long)]
    tls: PathBuf,
    /// SQLite database, made if missing.
    #[arg(long)]
    db: PathBuf,
    /// Directory of directives: NUMBER.json, an envelope each, is handed to the boxes; what docket they ask with is
    /// written to `docket`.
    #[arg(long)]
    directives: Option<PathBuf>,
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let socket = TcpListener::bind(arguments.listen)
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let json = arguments.json;
    let centre = Centre::start(Config {
        socket,
        tls: arguments.tls,
        database: arguments.db,
        on_arrival: Box::new(move |arrival| say(&arrival_line(arrival, json))),
        on_refusal: Box::new(move |from, why| {
            say(&if json {
                json!({ "refused": from, "why": why }).to_string()
            } else {
                why.to_owned()
            });
        }),
    })?;
    say(&if json {
        json!({ "listening": centre.address() }).to_string()
    } else {
        format!("listening on {}", centre.address())
    });
    let Some(folder) = arguments.directives else {
        loop {
            std::thread::park();
        }
    };
    let mut docket = None;
    loop {
        hand_over(&centre, &folder, &mut docket)?;
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Takes the directives that lie in `folder`, and writes there what docket the last box asked with.
fn hand_over(centre: &Centre, folder: &Path, docket: &mut Option<String>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|name| name.to_str()?.parse().ok());
        let (Some(number), Some("json")) = (number, path.extension().and_then(|end| end.to_str())) else {
            continue;
        };
        let envelope = serde_json::from_slice(&std::fs::read(&path)?)?;
        centre.directives().add(number, envelope);
        std::fs::remove_file(&path)?;
    }
    let asked = centre.directives().last_poll().map(|poll| poll.docket);
    if asked.is_some() && asked != *docket {
        let draft = folder.join("docket.draft");
        std::fs::write(&draft, asked.as_deref().unwrap_or_default())?;
        std::fs::rename(draft, folder.join("docket"))?;
        *docket = asked;
    }
    Ok(())
}

fn arrival_line(arrival: &Arrival, as_json: bool) -> String {
    if as_json {
        return json!({ "arrival": arrival }).to_string();
    }
    let text = |name| {
        arrival
            .event
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned()
    };
    format!(
        "{} {} {} {} #{} {}{}",
        text("rapreceived"),
        arrival.source,
        arrival.lane,
        text("type"),
        arrival.sequence,
        arrival.id,
        if arrival.duplicate { " (again)" } else { "" },
    )
}

fn say(line: &str) {
    // Whoever reads may have gone; the centre goes on.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

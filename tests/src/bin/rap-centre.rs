//! The test service centre as a program, for people and for tests in other network namespaces.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use rap_tests::centre::{Arrival, Centre, Config, Desk};
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
    /// A directory to watch: NUMBER.json there are envelopes for the boxes, files below outbox/ what they may bring; the name
    /// of the docket of the box that asked last is written to it.
    #[arg(long)]
    asks: Option<PathBuf>,
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
    let mut desk = arguments.asks.map(Desk::new);
    loop {
        match &mut desk {
            Some(desk) => desk.look(&centre)?,
            None => std::thread::park(),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
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

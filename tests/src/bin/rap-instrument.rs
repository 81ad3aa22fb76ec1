//! An instrument's agent from the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};
use rap_tests::instrument::{Agent, Plan, Target, files};

/// Simulates an instrument's agent.
#[derive(Debug, Parser)]
enum Command {
    /// Posts reports until all are acknowledged; exit code 0 only then.
    Post(Post),
    /// Puts a data file until the box keeps it; exit code 0 only then.
    Put(Put),
}

#[derive(Debug, Args)]
struct Put {
    /// The box's ingest: https://ADDRESS:8443 or http://ADDRESS:8080.
    #[arg(long)]
    url: String,
    /// The CA that issued the box's ingest certificate.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// The name in the ingest certificate, when it is not the address.
    #[arg(long)]
    server_name: Option<String>,
    /// The file.
    file: PathBuf,
    /// Seconds until the box must have it.
    #[arg(long, default_value_t = 600)]
    deadline: u64,
}

#[derive(Debug, Args)]
struct Post {
    /// The box's ingest: https://ADDRESS:8443 or http://ADDRESS:8080.
    #[arg(long)]
    url: String,
    /// The CA that issued the box's ingest certificate.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// The name in the ingest certificate, when it is not the address.
    #[arg(long)]
    server_name: Option<String>,
    /// The agent's name; ids are NAME-K.
    #[arg(long)]
    source: String,
    /// How many reports.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// The first K.
    #[arg(long, default_value_t = 1)]
    start: u64,
    /// Milliseconds between reports.
    #[arg(long, default_value_t = 0)]
    interval: u64,
    /// Every so many reports one is an alert.
    #[arg(long)]
    alert_every: Option<u64>,
    /// Bytes of noise in each report.
    #[arg(long, default_value_t = 0)]
    noise: usize,
    /// File that gets one acknowledged id a line.
    #[arg(long)]
    acked: PathBuf,
    /// Seconds until everything must be acknowledged.
    #[arg(long, default_value_t = 60)]
    deadline: u64,
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Post(post) => reports(post),
        Command::Put(put) => file(put),
    }
}

fn file(put: Put) -> anyhow::Result<()> {
    let agent = Agent::new(&Target {
        url: put.url,
        ca: put.ca,
        server_name: put.server_name,
    })?;
    let deadline = Duration::from_secs(put.deadline);
    agent.put_file(&put.file, files::RANGE, deadline)?;
    Ok(())
}

fn reports(post: Post) -> anyhow::Result<()> {
    let agent = Agent::new(&Target {
        url: post.url,
        ca: post.ca,
        server_name: post.server_name,
    })?;
    let plan = Plan {
        source: post.source,
        count: post.count,
        start: post.start,
        interval: Duration::from_millis(post.interval),
        alert_every: post.alert_every,
        noise: post.noise,
        deadline: Duration::from_secs(post.deadline),
    };
    agent.run(&plan, &post.acked)
}

//! The services that speak TLS, each a process of its own. Wiring only.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use rap_core::console::service;
use rap_core::forward::ingest::{Limits, Rate};
use rap_core::forward::uplink::Patience;
use rap_core::{confine, enrol, forward, paths, session, trail, update, web};

/// The appliance's services that speak TLS. The box starts them itself; people use rapctl.
#[derive(Debug, Parser)]
#[command(
    name = "rap-tls",
    version,
    after_help = "Exit codes: 0 ended as asked; 1 failed; 2 wrong command line."
)]
struct Command {
    #[command(subcommand)]
    service: Service,
}

#[derive(Debug, Subcommand)]
enum Service {
    /// Reports: taken at the ports, kept, delivered to the service centre
    Forward(ForwardArgs),
    /// The box's own keys and certificates: made, asked for, tried, put in use
    Identity,
    /// Remote sessions: asked for by the service centre, allowed at the instrument
    Session,
    /// The audit trail: copies of it to the hospital's collector and to the service centre
    Trail,
    /// Updates: looked for, brought, written into the other slot, tried, kept or undone
    Update,
    /// The local page: what the box is and does, told at each port
    Web,
}

/// Where the forwarder finds things; the box starts it without any of these.
#[derive(Debug, clap::Args)]
struct ForwardArgs {
    #[arg(long, default_value = paths::SITE_IN_FORCE, hide = true)]
    site: PathBuf,
    #[arg(long, default_value = paths::IDENTITY, hide = true)]
    identity: PathBuf,
    #[arg(long, default_value = paths::FORWARD, hide = true)]
    log: PathBuf,
    #[arg(long, default_value = paths::STATUS, hide = true)]
    status: PathBuf,
    /// Seconds between two attempts to deliver, at most
    #[arg(long, hide = true)]
    longest_pause: Option<u64>,
    /// Reports a second that a port may bring, and as many at once
    #[arg(long, hide = true)]
    reports_a_second: Option<u32>,
    /// Connections that a port may have open
    #[arg(long, hide = true)]
    connections: Option<usize>,
    /// Bytes of one segment of the log
    #[arg(long, hide = true)]
    log_segment: Option<u64>,
    /// Bytes of the log, at most
    #[arg(long, hide = true)]
    log_total: Option<u64>,
}

impl ForwardArgs {
    fn place(self) -> forward::Place {
        let mut patience = Patience::default();
        if let Some(longest) = self.longest_pause {
            patience.longest_pause = Duration::from_secs(longest);
        }
        let mut limits = Limits::default();
        if let Some(reports) = self.reports_a_second {
            limits.rate = Rate {
                per_second: reports,
                burst: reports,
            };
        }
        limits.connections = self.connections.unwrap_or(limits.connections);
        let usual = forward::log::Config::default();
        let room = forward::log::Config {
            segment: self.log_segment.unwrap_or(usual.segment),
            total: self.log_total.unwrap_or(usual.total),
        };
        forward::Place {
            site: self.site,
            identity: self.identity,
            log: self.log,
            status: self.status,
            room,
            patience,
            limits,
        }
    }
}

fn main() -> ExitCode {
    match Command::parse().service {
        Service::Forward(args) => confined("forward", || forward::run(&args.place())),
        Service::Identity => confined("identity", || enrol::run(&enrol::Place::default())),
        Service::Session => confined("session", || session::run(&session::Place::default())),
        Service::Trail => confined("trail", || trail::run(&trail::Place::default())),
        Service::Update => confined("update", || {
            update::service::run(&update::service::Place::default())
        }),
        Service::Web => confined("web", || web::run(&web::Place::default())),
    }
}

/// The service `name`, which first gives up what it does not need.
fn confined(name: &'static str, run: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    service(name, || {
        confine::enter(name)?;
        run()
    })
}

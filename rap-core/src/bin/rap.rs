//! Process 1, the network service, the relay and `rapctl` under their names. Wiring only.
//!
//! Nothing here speaks TLS: the cryptographic module tests itself whenever a process that contains it starts, and
//! these start often, and before anything else. The services that do are in `rap-tls`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use rap_core::console::service;
use rap_core::{audit, confine, init, netd, paths, rapctl, relay};

/// The appliance's program. Process 1 and every service are started by the box itself; people use rapctl.
#[derive(Debug, Parser)]
#[command(
    name = "rap",
    version,
    after_help = "Exit codes: 0 ended as asked; 1 failed; 2 wrong command line."
)]
struct Command {
    #[command(subcommand)]
    service: Service,
}

#[derive(Debug, Subcommand)]
enum Service {
    /// Process 1: brings the box up and keeps its services running
    Init,
    /// The audit trail: the one who writes it
    Audit,
    /// The network: one namespace a port, firewall, DHCP
    Netd,
    /// The one way out: straight, or through the hospital's proxy
    Relay(RelayArgs),
    /// Ask the box how it is
    #[command(name = "ctl")]
    Control(rapctl::Args),
}

/// Where the relay finds things; the box starts it without any of these.
#[derive(Debug, clap::Args)]
struct RelayArgs {
    #[arg(long, default_value = paths::SITE_IN_FORCE, hide = true)]
    site: PathBuf,
    #[arg(long, default_value = paths::IDENTITY, hide = true)]
    identity: PathBuf,
    #[arg(long, default_value = paths::STATUS, hide = true)]
    status: PathBuf,
    /// Seconds for each step of the way to a destination
    #[arg(long, hide = true)]
    step: Option<u64>,
}

impl RelayArgs {
    fn place(self) -> relay::Place {
        let mut place = relay::Place {
            site: self.site,
            identity: self.identity,
            status: self.status,
            ..relay::Place::default()
        };
        if let Some(step) = self.step.map(Duration::from_secs) {
            let patience = &mut place.patience;
            (patience.resolve, patience.connect, patience.answer) = (step, step, step);
        }
        place
    }
}

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&name).file_name().unwrap_or_default().to_string_lossy();
    match &*name {
        "init" => service("init", || init::run().map(|never| match never {})),
        "rap-dhcp-hook" => service("netd", netd::dhcp_hook),
        "rapctl" => rapctl::run(rapctl::Command::parse().args),
        _ => match Command::parse().service {
            Service::Init => service("init", || init::run().map(|never| match never {})),
            Service::Audit => service("audit", || {
                confine::enter("audit")?;
                audit::run(&audit::Place::default())
            }),
            Service::Netd => service("netd", || {
                confine::enter("netd")?;
                netd::run()
            }),
            Service::Relay(args) => service("relay", || {
                confine::enter("relay")?;
                relay::run(&args.place())
            }),
            Service::Control(args) => rapctl::run(args),
        },
    }
}

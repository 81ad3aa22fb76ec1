//! The services that speak TLS, each a process of its own. Wiring only.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rap_core::console::service;
use rap_core::forward;

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
    Forward,
}

fn main() -> ExitCode {
    match Command::parse().service {
        Service::Forward => service("forward", forward::run),
    }
}

//! `rap-image keys`.

use std::net::IpAddr;
use std::path::PathBuf;

use rap_image::keys;

/// What `keys` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// Make a set for development: TLS, Secure Boot and update keys, all marked as such
    Dev {
        /// Where to put them
        #[arg(long, default_value = "keys/dev")]
        out: PathBuf,
        /// Replace the development keys that are there
        #[arg(long)]
        force: bool,
        /// An address at which instruments' agents reach the box; may be given again
        #[arg(
            long = "ingest-address",
            value_name = "ADDRESS",
            default_value = "192.168.1.1"
        )]
        ingest: Vec<IpAddr>,
    },
}

/// Carries out `keys`.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let Kind::Dev { out, force, ingest } = args.kind;
    keys::write_development(&out, force, &ingest)?;
    println!(
        "development keys are in {} (see its README); never ship them",
        out.display()
    );
    Ok(())
}

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
    #[command(
        after_help = "The README in the directory says which file is what. Never commit them, never ship them.\n\n\
                      Exit codes: 0 made; 2 there are some already, or they could not be written."
    )]
    Dev {
        /// Where to put them
        #[arg(long, value_name = "DIR", default_value = "keys/dev")]
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

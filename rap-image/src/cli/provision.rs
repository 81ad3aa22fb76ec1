//! `rap-image provision`: identities of boxes.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use jiff::Timestamp;
use rap_image::keys::Passphrase;
use rap_image::output::Staging;
use rap_image::provision::{self, Authority, REQUEST_LIMIT, Subject, Term};

/// What `provision` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The authority is a directory with centre-ca.crt and centre-ca.key; the key may be encrypted, or be with a program \
                  that signs (rap-image keys --help).\n\n\
                  Exit codes: 0 made; 2 it could not be done, and nothing was written."
)]
pub(super) struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// Make keys and certificates for one box, as flash --identity takes them
    #[command(after_help = "Example:\n  \
                      rap-image provision new --ca keys/centre --name ward-3 --serial RAP-0042 --out ward-3\n  \
                      rap-image flash --site ward-3.toml --identity ward-3 disk.img /dev/sdb")]
    New {
        #[command(flatten)]
        common: Common,
        /// The directory to make
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Answer a box's certificate request; its key never leaves it
    #[command(
        after_help = "The request is what `rapctl identity csr` prints on the box; what is written is for `rapctl identity install`: \
                      certificates for both of its keys, and the authority's. Of the request only the keys count. Compare the \
                      SHA-256 that is printed with the one the box shows.\n\n\
                      Example:\n  \
                      rap-image provision sign --ca keys/centre --name ward-3 --serial RAP-0042 ward-3.csr --out ward-3.crt"
    )]
    Sign {
        #[command(flatten)]
        common: Common,
        /// The request, in PEM
        request: PathBuf,
        /// Where the certificates go
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The authority's directory
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// The box's name: 1 to 63 of a-z, 0-9 and -
    #[arg(long)]
    name: String,
    /// The box's serial number
    #[arg(long)]
    serial: String,
    /// Years the certificates are valid
    #[arg(long, default_value_t = 5)]
    years: u8,
    /// An address at which instruments' agents reach the box; may be given again
    #[arg(
        long = "ingest-address",
        value_name = "ADDRESS",
        default_value = "192.168.1.1"
    )]
    ingest: Vec<IpAddr>,
}

/// Carries out `provision`.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    match args.kind {
        Kind::New { common, out } => {
            let (authority, subject, term) = parties(&common)?;
            let files = provision::identity(&authority, &subject, &common.ingest, term)?;
            provision::write(&out, files)?;
            println!(
                "the identity of {} is in {}; give it with flash --identity",
                common.name,
                out.display()
            );
        }
        Kind::Sign { common, request, out } => {
            let (authority, subject, term) = parties(&common)?;
            let mut text = String::new();
            std::fs::File::open(&request)
                .and_then(|file| file.take(REQUEST_LIMIT as u64 + 1).read_to_string(&mut text))
                .with_context(|| format!("cannot read {}", request.display()))?;
            let answer = provision::answer(&authority, &subject, &text, &common.ingest, term)?;
            let name = out
                .file_name()
                .and_then(|name| name.to_str())
                .context("--out names no file")?;
            let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
            let mut staging = Staging::new(folder.unwrap_or(std::path::Path::new(".")))?;
            staging.file(name, answer.pem.as_bytes())?;
            staging.publish()?;
            for (key, whom) in answer.keys.iter().zip(["service centre", "instruments"]) {
                println!("certified for {}, towards the {whom}: key {key}", common.name);
            }
            println!("give {} to the box: rapctl identity install FILE", out.display());
        }
    }
    Ok(())
}

fn parties(common: &Common) -> anyhow::Result<(Authority, Subject, Term)> {
    let subject = Subject::new(&common.name, &common.serial)?;
    let term = Term::new(Timestamp::now(), common.years)?;
    let authority = Authority::load(&common.ca, &Passphrase::usual(None))?;
    Ok((authority, subject, term))
}

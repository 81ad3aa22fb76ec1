//! `rap-image keys`.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rap_image::keys::{self, NEXT_ROOT, Passphrase, Release, Rotation, Standing};

/// What `keys` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Encrypted keys: RAP_IMAGE_PASSPHRASE_FILE names a file whose first line is the passphrase, \
                        RAP_IMAGE_PASSPHRASE holds it, or the terminal is asked.\n\n\
                        A key in a token: put NAME.pub (for Secure Boot NAME.crt) and NAME.signer into a folder and give it \
                        with --with. NAME.signer names a program, then its arguments, one a line; it gets the bytes to sign \
                        on standard input and writes the bare signature to standard output."
)]
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
    /// Make a set for releases: updates, Secure Boot, the service's; every key encrypted, or with a program that signs
    #[command(after_help = "Examples:\n  \
                      rap-image keys release --out keys/release --owner 'Example Diagnostics'\n  \
                      rap-image keys release --out keys/release --owner Example --roots 5 --threshold 3 --with tokens\n\n\
                      Exit codes: 0 made; 1 made, but its root still lacks signatures (keys sign-root); 2 it could not be done.")]
    Release {
        /// Where to put them
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Whose they are: the beginning of the certificates' names
        #[arg(long, value_name = "NAME")]
        owner: String,
        /// Root keys
        #[arg(long, value_name = "COUNT", default_value = "3")]
        roots: NonZeroU64,
        /// Root keys that have to sign a root
        #[arg(long, value_name = "COUNT", default_value = "2")]
        threshold: NonZeroU64,
        #[command(flatten)]
        made: Made,
    },
    /// Replace keys of updates, or prolong the root: makes the next root
    #[command(
        after_help = "Boxes take it with the next `rap-image refresh` or `publish`. The old keys go to retired/: leave them \
                      there until then, so that no box ever finds metadata it does not believe.\n\n\
                      Examples:\n  \
                      rap-image keys rotate --keys keys/release update-timestamp\n  \
                      rap-image keys rotate --keys keys/release                      prolongs the root\n\n\
                      Exit codes: 0 made; 1 made, but it still lacks signatures (keys sign-root); 2 it could not be done."
    )]
    Rotate {
        /// The keys to replace, such as update-timestamp or update-root-2
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// The directory of keys
        #[arg(long, value_name = "DIR")]
        keys: PathBuf,
        #[command(flatten)]
        made: Made,
    },
    /// Add to a root the signatures of the root keys in a directory
    #[command(
        after_help = "For root keys that sit with different people: send them root.next.json, each signs the file, put the \
                      last one back and sign once more; it becomes root.json when nothing lacks.\n\n\
                      Exit codes: 0 nothing lacks; 1 signatures still lack; 2 it could not be done."
    )]
    SignRoot {
        /// The root; it is replaced
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The directory of keys
        #[arg(long, value_name = "DIR")]
        keys: PathBuf,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Say which keys sign what, where they are, and until when the root holds
    Show {
        /// The directory of keys
        #[arg(value_name = "DIR", default_value = "keys/dev")]
        keys: PathBuf,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Made {
    /// A folder with keys that are made elsewhere: NAME.pub or NAME.crt, and NAME.signer
    #[arg(long, value_name = "DIR")]
    with: Option<PathBuf>,
    /// Days until the root expires
    #[arg(long, value_name = "DAYS", default_value_t = 3650)]
    days: u32,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Carries out `keys`.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let passphrase = Passphrase::usual(None);
    let now = Timestamp::now();
    match args.kind {
        Kind::Dev { out, force, ingest } => {
            keys::write_development(&out, force, &ingest)?;
            println!(
                "development keys are in {} (see its README); never ship them",
                out.display()
            );
            Ok(())
        }
        Kind::Release {
            out,
            owner,
            roots,
            threshold,
            made,
        } => {
            let release = Release {
                owner,
                roots,
                threshold,
                with: made.with,
                days: made.days,
                now,
            };
            let standing = keys::write_release(&out, &release, &passphrase)?;
            say(&standing, &out, made.json)
        }
        Kind::Rotate { names, keys, made } => {
            let rotation = Rotation {
                names,
                with: made.with,
                days: made.days,
                now,
            };
            let standing = keys::rotate(&keys, &rotation, &passphrase)?;
            say(&standing, &keys, made.json)
        }
        Kind::SignRoot { file, keys, json } => {
            let standing = keys::sign_root(&keys, &file, &passphrase)?;
            say(&standing, &keys, json)
        }
        Kind::Show { keys, json } => {
            let shown = keys::show(&keys)?;
            if json {
                println!("{}", serde_json::to_string_pretty(&shown)?);
            } else {
                print!("{shown}");
            }
            Ok(())
        }
    }
}

fn say(standing: &Standing, keys: &Path, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(standing)?);
    }
    let Standing {
        version,
        found,
        wanted,
        found_before,
        wanted_before,
    } = standing;
    if standing.is_complete() {
        if !json {
            println!(
                "root {version} has every signature it needs; the keys are in {}",
                keys.display()
            );
        }
        return Ok(());
    }
    let before = if *wanted_before > 0 {
        format!(", and {found_before} of {wanted_before} of the keys before it")
    } else {
        String::new()
    };
    Err(super::No(format!(
        "root {version} has {found} of {wanted} signatures of its own keys{before}; it waits in {NEXT_ROOT}: have it signed \
         with rap-image keys sign-root"
    ))
    .into())
}

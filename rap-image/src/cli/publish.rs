//! `rap-image publish`, `refresh`, `bundle` and `prune`: the repository of updates.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Context as _;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use rap_core::release::Wave;
use rap_image::keys::Passphrase;
use rap_image::patch;
use rap_image::publish::{self, Bundled, Expiry, Input, Order, Outcome, Step};

/// What `publish` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Adds a release to a repository of updates: static files for any web server, or a stick. Whoever reads it \
                  meanwhile finds the old release or the new one. Upload metadata/timestamp.json last.\n\n\
                  Examples:\n  \
                  rap-image sbom target/image/qemu --out target/image/qemu/sbom.cdx.json\n  \
                  rap-image publish target/image/qemu --repository updates --keys keys/dev\n  \
                  rap-image publish target/image/generic-x86 --repository updates --keys keys/release \\\n    \
                  --change 'Alerts are twice as fast.' --wave 5:0 --wave 100:3 --bundle rap-1.4.0.tar\n\n\
                  Encrypted keys: RAP_IMAGE_PASSPHRASE_FILE names the passphrase's file; else the terminal is asked.\n\n\
                  Exit codes: 0 published; 2 refused or failed, and the repository is as it was."
)]
pub(super) struct PublishArgs {
    /// What `rap-image build` made: its folder, or the rap.efi in it; one a hardware profile
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// The bill of materials of each image, in the images' order [default: sbom.cdx.json beside rap.efi]
    #[arg(long, value_name = "FILE")]
    sbom: Vec<PathBuf>,
    /// The release's number [default: one more than the newest]
    #[arg(long)]
    number: Option<u64>,
    /// What people call the release [default: what the image says]
    #[arg(long, value_name = "TEXT")]
    release_version: Option<String>,
    /// What changed, in a sentence for people; may be given more than once
    #[arg(long = "change", value_name = "TEXT")]
    changes: Vec<String>,
    /// This share of all boxes takes it by itself from so many days on, such as 5:0 and 100:3 [default: all at once]
    #[arg(long = "wave", value_name = "PERCENT:DAYS", value_parser = wave)]
    waves: Vec<Wave>,
    /// The lowest release number from which a box may go to this one at once
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    minimum: u64,
    /// MiB of memory a box needs for it [default: reckoned from the image]
    #[arg(long, value_name = "MIB")]
    memory: Option<u64>,
    /// Make patches from at most so many earlier releases
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    patches: usize,
    /// How hard to compress the whole image
    #[arg(long, value_name = "LEVEL", default_value_t = 19, value_parser = clap::value_parser!(i32).range(1..=22))]
    compression: i32,
    /// Also write the release as one file for a stick
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
}

/// What `refresh` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Run it daily: boxes stop to believe a repository whose timestamp has expired. It also brings new roots \
                  that `rap-image keys rotate` made, and signs all anew where they ask for it.\n\n\
                  Examples:\n  \
                  rap-image refresh --repository updates --keys keys/release\n\n\
                  Exit codes: 0 signed; 2 refused or failed, and the repository is as it was."
)]
pub(super) struct RefreshArgs {
    #[command(flatten)]
    place: Place,
    /// Sign everything anew, not only what will expire
    #[arg(long)]
    all: bool,
}

/// What `bundle` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A bundle has the same files as the repository and is trusted like it: by its signatures.\n\n\
                  Examples:\n  \
                  rap-image bundle --repository updates --out rap.tar --profile generic-x86\n\n\
                  Exit codes: 0 written; 2 it could not be done, and there is no new file."
)]
pub(super) struct BundleArgs {
    /// The repository's folder
    #[arg(long, value_name = "DIR")]
    repository: PathBuf,
    /// Where the bundle goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Only for this hardware; may be given more than once [default: all of them]
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// What `prune` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Old releases stay known: their numbers and versions are not given again. Patches can be made from a release only \
                  while its pieces are there. A box in the middle of one whose pieces went asks anew, and takes the newest. On the \
                  web server, take away what is not in the repository any more (rsync --delete pieces/).\n\n\
                  Examples:\n  \
                  rap-image prune --repository updates\n  \
                  rap-image prune --repository updates --keep 2\n\n\
                  Exit codes: 0 done; 2 it could not be done."
)]
pub(super) struct PruneArgs {
    /// The repository's folder
    #[arg(long, value_name = "DIR")]
    repository: PathBuf,
    /// Keep the pieces of so many releases of each hardware profile: the newest, and those before it
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = keep)]
    keep: usize,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Place {
    /// The repository's folder; made when it is not there
    #[arg(long, value_name = "DIR")]
    repository: PathBuf,
    /// The directory of keys: root.json, and the keys that sign targets, snapshot and timestamp
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// This moment in seconds since 1970, for the same bits again [default: the clock]
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH")]
    now: Option<i64>,
    /// Days until the release expires
    #[arg(long, value_name = "DAYS", default_value_t = Expiry::default().targets)]
    targets_days: u32,
    /// Days until the list of metadata expires
    #[arg(long, value_name = "DAYS", default_value_t = Expiry::default().snapshot)]
    snapshot_days: u32,
    /// Days until the timestamp expires: so long could somebody hide a newer release from a box
    #[arg(long, value_name = "DAYS", default_value_t = Expiry::default().timestamp)]
    timestamp_days: u32,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Place {
    fn now(&self) -> anyhow::Result<Timestamp> {
        let seconds = self.now.unwrap_or_else(|| Timestamp::now().as_second());
        Timestamp::from_second(seconds)
            .with_context(|| format!("{seconds} is no moment in seconds since 1970"))
    }

    fn expiry(&self) -> Expiry {
        Expiry {
            targets: self.targets_days,
            snapshot: self.snapshot_days,
            timestamp: self.timestamp_days,
        }
    }
}

/// Publishes, and prints what was published.
pub(super) fn publish(args: PublishArgs) -> anyhow::Result<()> {
    if args.sbom.len() > args.images.len() {
        anyhow::bail!(
            "{} bills of materials for {} images",
            args.sbom.len(),
            args.images.len()
        );
    }
    let sboms = args.sbom.iter().cloned().map(Some).chain(std::iter::repeat(None));
    let order = Order {
        repository: args.place.repository.clone(),
        keys: args.place.keys.clone(),
        images: args
            .images
            .iter()
            .cloned()
            .zip(sboms)
            .map(|(path, sbom)| Input { path, sbom })
            .collect(),
        number: args.number,
        version: args.release_version,
        minimum: args.minimum,
        memory_mib: args.memory,
        changes: args.changes,
        waves: args.waves,
        patches: args.patches,
        level: args.compression,
        now: args.place.now()?,
        expiry: args.place.expiry(),
    };
    let progress = Progress::new();
    let patcher = |old: &[u8], new: &[u8]| Ok(patch::between(old, new)?.made);
    let outcome = publish::publish(&order, Some(&patcher), &Passphrase::usual(None), &|step| {
        progress.show(&step)
    });
    progress.end();
    let outcome = outcome?;
    let bundled = args
        .bundle
        .map(|out| publish::bundle(&order.repository, &[], &out))
        .transpose()?;
    if args.place.json {
        let both = serde_json::json!({ "published": outcome, "bundle": bundled });
        println!("{}", serde_json::to_string_pretty(&both)?);
    } else {
        println!("{}", words(&outcome));
        if let Some(bundled) = bundled {
            println!("{}", bundle_words(&bundled));
        }
    }
    Ok(())
}

/// Signs anew, and prints until when that holds.
pub(super) fn refresh(args: RefreshArgs) -> anyhow::Result<()> {
    let place = &args.place;
    let progress = Progress::new();
    let outcome = publish::refresh(
        &place.repository,
        &place.keys,
        place.now()?,
        place.expiry(),
        args.all,
        &Passphrase::usual(None),
        &|step| progress.show(&step),
    );
    progress.end();
    let outcome = outcome?;
    if place.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        println!("{}", words(&outcome));
    }
    Ok(())
}

/// Writes a bundle.
pub(super) fn bundle(args: BundleArgs) -> anyhow::Result<()> {
    let bundled = publish::bundle(&args.repository, &args.profile, &args.out)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&bundled)?);
    } else {
        println!("{}", bundle_words(&bundled));
    }
    Ok(())
}

/// Makes room.
pub(super) fn prune(args: PruneArgs) -> anyhow::Result<()> {
    let pruned = publish::prune(&args.repository, args.keep)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&pruned)?);
    } else {
        println!("{} pieces went, {}", pruned.pieces, HumanBytes(pruned.bytes));
    }
    Ok(())
}

fn words(outcome: &Outcome) -> String {
    let mut text = String::new();
    for release in &outcome.releases {
        let _ = writeln!(
            text,
            "release {} ({}) for {}: {} whole",
            release.number,
            release.version,
            release.profile,
            HumanBytes(release.full_bytes)
        );
        for (from, bytes) in &release.patches {
            let _ = writeln!(text, "  from {from}: {}", HumanBytes(*bytes));
        }
    }
    let _ = write!(
        text,
        "root {}; boxes believe this repository until {}: run rap-image refresh before then",
        outcome.root, outcome.expires
    );
    text
}

fn bundle_words(bundled: &Bundled) -> String {
    let Bundled {
        releases,
        files,
        bytes,
    } = bundled;
    let releases: Vec<String> = releases
        .iter()
        .map(|(profile, number, version)| format!("{number} ({version}) for {profile}"))
        .collect();
    format!(
        "bundle of release {}: {files} files, {}",
        releases.join(", "),
        HumanBytes(*bytes)
    )
}

fn keep(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| format!("expected 1 or more releases, not {text}: the newest one cannot go"))
}

fn wave(text: &str) -> Result<Wave, String> {
    let expected = || format!("expected PERCENT:DAYS, such as 5:0 or 100:3, not {text}");
    let (percent, days) = text.split_once(':').ok_or_else(expected)?;
    let days: u64 = days.parse().map_err(|_| expected())?;
    Ok(Wave {
        percent: percent.parse().map_err(|_| expected())?,
        after: days.saturating_mul(86_400),
    })
}

/// A bar on a terminal, else a line for each kind of step.
struct Progress {
    bar: ProgressBar,
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal {
            ProgressBar::no_length()
        } else {
            ProgressBar::hidden()
        };
        let style = "{msg} {wide_bar} {pos}/{len} {eta} left";
        // The template is a constant and right; were it not, indicatif's own style would do.
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, terminal }
    }

    fn show(&self, step: &Step) {
        let counted = match step {
            Step::Compress { done, of } => Some(("compressing", *done, *of)),
            Step::Write { done, of } => Some(("writing", *done, *of)),
            Step::Check | Step::Sweep(_) | Step::Patch { .. } => None,
        };
        if let Some((what, done, of)) = counted {
            self.bar.set_message(what);
            self.bar.set_length(of as u64);
            self.bar.set_position(done as u64);
            if !self.terminal && done == of {
                eprintln!("{what}: {of} files");
            }
            return;
        }
        let line = match step {
            Step::Sweep(count) => {
                format!("swept {count} files that a run left which did not come to its end")
            }
            Step::Patch { from } => format!("patch: from {from}"),
            _ => "checking images, keys and repository".to_owned(),
        };
        self.bar.suspend(|| eprintln!("{line}"));
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

//! `rap-image build`: the image, from recipes and lock.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use rap_image::build::{Explanation, Order, Step, prepare};

use super::No;
use super::sources::Sources;

/// What `build` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Writes disk.img, rap.efi, image.json and the lab's firmware to --out; all of it whole, or nothing.\n\n\
                  Examples:\n  \
                  rap-image build\n  \
                  rap-image build --profile generic-x86 --keys keys/dev\n  \
                  rap-image build --overlay debug --out target/image/qemu-debug\n  \
                  rap-image build --explain usr/sbin/nft\n\n\
                  Exit codes: 0 built (or explained); 1 --explain: no such path in the image; 2 it could not be done."
)]
pub(super) struct Args {
    /// The hardware: an overlay that goes on top of `base`
    #[arg(long, value_name = "NAME", default_value = "qemu")]
    profile: String,
    /// A further overlay, e.g. `debug`; may be given more than once
    #[arg(long, value_name = "NAME")]
    overlay: Vec<String>,
    /// Where the image goes [default: target/image/PROFILE]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Lock anew, and say so, what no mirror has any more
    #[arg(long)]
    refresh_missing: bool,
    /// Compile with the host's tools: quicker, without the FIPS module, marked as for development
    #[arg(long)]
    host_toolchain: bool,
    /// Sign loader and image for Secure Boot with secure-boot-db.key and .crt of this directory, and let the image take
    /// the updates that its root.json stands for
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Do not build: say where a path of the image comes from, and why
    #[arg(long, value_name = "PATH")]
    explain: Option<String>,
    /// Print the report (or the explanation) as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sources: Sources,
}

/// Builds, and prints what was built.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let repository = repository(&args.sources.overlays)?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| repository.join("target/image").join(&args.profile));
    let order = Order {
        repository,
        overlays: args.sources.overlays.clone(),
        profile: args.profile.clone(),
        extra: args.overlay.clone(),
        out,
        host_toolchain: args.host_toolchain,
        offline: args.sources.is_offline(),
        refresh_missing: args.refresh_missing,
        keys: args.keys.clone(),
    };
    let fetcher = args.sources.fetcher()?;
    let begun = Instant::now();
    let say = |step: Step| eprintln!("[{:6.1} s] {}", begun.elapsed().as_secs_f64(), describe(step));
    let prepared = prepare(&order, &fetcher, &say)?;
    for change in &prepared.changes {
        eprintln!("locked anew: {change}");
    }
    if let Some(path) = &args.explain {
        let found = prepared.explain(path).or_else(|| Explanation::of_core(path));
        let found =
            found.ok_or_else(|| No(format!("{path} is not in the image of profile {}", args.profile)))?;
        return print(&found, args.json);
    }
    let report = prepared.build(&fetcher, &say)?;
    eprintln!(
        "[{:6.1} s] done: {}",
        begun.elapsed().as_secs_f64(),
        order.out.join("disk.img").display()
    );
    print(&report, args.json)
}

fn print(what: &(impl serde::Serialize + std::fmt::Display), json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(what)?);
    } else {
        println!("{what}");
    }
    Ok(())
}

/// The recipes lie in the repository whose core is built.
fn repository(overlays: &Path) -> anyhow::Result<PathBuf> {
    let overlays = overlays.canonicalize().with_context(|| {
        format!(
            "there is no folder {}: run this in the repository, or name its recipes with --overlays",
            overlays.display()
        )
    })?;
    let parent = overlays
        .parent()
        .filter(|parent| parent.join("rap-core/Cargo.toml").is_file());
    parent
        .map(Path::to_owned)
        .with_context(|| format!("{} is not in the repository of the core", overlays.display()))
}

fn describe(step: Step) -> &'static str {
    match step {
        Step::Fetch => "packages: fetching what the lock names",
        Step::Pick => "files: picking what the overlays want, and what that needs",
        Step::BuildRoot => "build root: unpacking the locked toolchain (kept for the next time)",
        Step::Compile => "core: compiling (minutes when the crates are new, seconds afterwards)",
        Step::Compose => "image: composing",
        Step::Write => "image: writing",
    }
}

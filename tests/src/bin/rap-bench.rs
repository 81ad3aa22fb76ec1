//! `rap-bench`: measurements, as `scripts/bench` starts them. Exit codes: 0 all goals met, 1 a goal missed, 2 it could
//! not be measured.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use rap_image::parcel::Parcel;
use rap_tests::bench::{Figure, boot, forward, image, net, update};
use rap_tests::system;

/// Measures the image, its boot, its network, its forwarder and its updates.
#[derive(Debug, Parser)]
#[command(name = "rap-bench", version)]
struct Arguments {
    /// What to measure
    name: Name,
    /// One JSON object a figure, for machines
    #[arg(long)]
    json: bool,
    /// The directory `rap-image build` writes
    #[arg(long, value_name = "DIR", default_value = rap_image::staging::IMAGE)]
    image: PathBuf,
    /// The development keys
    #[arg(long, value_name = "DIR", default_value = system::KEYS)]
    keys: PathBuf,
    /// With `image`: also build once from nothing (minutes)
    #[arg(long)]
    cold: bool,
    /// With `forward`: the release build of rap-tls
    #[arg(long, value_name = "FILE", default_value = "target/release/rap-tls")]
    forwarder: PathBuf,
    /// With `forward`: where rsyslog and syslog-ng are unpacked
    #[arg(long, value_name = "DIR", default_value = "target/peers")]
    peers: PathBuf,
    /// With `forward`: a directory on the disk to measure
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    disk: PathBuf,
    /// With `forward`: seconds of a round, and how many rounds
    #[arg(long, num_args = 2, value_names = ["SECONDS", "ROUNDS"], default_values = ["2", "3"])]
    rounds: Vec<u32>,
    /// With `update`: where casync, xdelta3, bsdiff and zstd are unpacked
    #[arg(long, value_name = "DIR", default_value = "target/peers-update")]
    update_peers: PathBuf,
    /// With `update`: the image whose core was changed, if it was built before
    #[arg(long, value_name = "FILE")]
    changed: Option<PathBuf>,
    /// With `update`: this kind of update alone
    #[arg(long, value_enum)]
    only: Option<update::What>,
    /// With `update`: apply this patch, for the process that measures
    #[arg(long, num_args = 3, hide = true)]
    apply: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    /// Sizes, digest, build time
    Image,
    /// Power-on to loader, kernel, init, ready
    Boot,
    /// Time to apply a network, and throughput of a session
    Net,
    /// Durable reports a second, beside the disk, rsyslog and syslog-ng
    Forward,
    /// What updates move, beside casync, xdelta3, bsdiff and zstd
    Update,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(figures) if figures.iter().any(|figure| figure.met == Some(false)) => ExitCode::from(1),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<Vec<Figure>> {
    let figures = match arguments.name {
        Name::Image => image::measure(&arguments.image, &system::program("rap-image")?, arguments.cold)?,
        Name::Boot => {
            rap_qemu::lab::enter_user_namespace()?;
            let parcel = Parcel::new(system::SITE, &arguments.keys)?;
            boot::measure(&arguments.image, &parcel)?
        }
        Name::Net => net::measure()?,
        Name::Forward => return measure_forward(arguments),
        Name::Update if !arguments.apply.is_empty() => {
            update::apply_here(&arguments.apply)?;
            Vec::new()
        }
        Name::Update => update::measure(&update::Setup {
            image: arguments.image.clone(),
            keys: arguments.keys.clone(),
            peers: arguments.update_peers.clone(),
            builder: system::program("rap-image")?,
            changed: arguments.changed.clone(),
            only: arguments.only,
        })?,
    };
    print(&figures, arguments.json)?;
    Ok(figures)
}

/// Much of it is a table for people.
fn measure_forward(arguments: &Arguments) -> anyhow::Result<Vec<Figure>> {
    let number = |nth| arguments.rounds.get(nth).copied().unwrap_or(1).max(1);
    let findings = forward::measure(&forward::Setup {
        forwarder: arguments.forwarder.clone(),
        peers: arguments.peers.clone(),
        directory: arguments.disk.clone(),
        length: Duration::from_secs(number(0).into()),
        rounds: usize::try_from(number(1))?,
    })?;
    if arguments.json {
        print(findings.figures(), true)?;
    } else {
        println!("{}", findings.text());
    }
    Ok(findings.figures().to_vec())
}

fn print(figures: &[Figure], json: bool) -> anyhow::Result<()> {
    for figure in figures {
        let line = if json {
            serde_json::to_string(figure)?
        } else {
            figure.line()
        };
        println!("{line}");
    }
    Ok(())
}

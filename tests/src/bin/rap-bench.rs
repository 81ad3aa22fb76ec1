//! `rap-bench`: measurements, as `scripts/bench` starts them. Exit codes: 0 all goals met, 1 a goal missed, 2 it could
//! not be measured.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use rap_image::parcel::Parcel;
use rap_tests::bench::{Figure, boot, image, net};
use rap_tests::system;

/// Measures the image, its boot and its network.
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
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    /// Sizes, digest, build time
    Image,
    /// Power-on to loader, kernel, init, ready
    Boot,
    /// Time to apply a network, and throughput of a session
    Net,
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
    };
    for figure in &figures {
        let line = if arguments.json {
            serde_json::to_string(figure)?
        } else {
            figure.line()
        };
        println!("{line}");
    }
    Ok(figures)
}

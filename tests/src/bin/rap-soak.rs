//! `rap-soak`: long searches, as `scripts/soak` starts them. Exit codes: 0 every promise was kept, 1 one was broken, 2 it
//! could not be tried.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use rap_tests::cuts::{self, Setup};
use rap_tests::proxy::Kind;
use rap_tests::remote::{self, Way};
use rap_tests::system;
use rap_tests::updates::{Story, all_right};

/// Looks for what a test is too short to find.
#[derive(Debug, Parser)]
#[command(name = "rap-soak", version)]
enum Arguments {
    /// One round of power cuts of the forwarder on a disk that forgets
    Cuts(Campaign),
    /// Power cuts of the whole box in QEMU
    GuestCuts(Guest),
    /// Updates of the whole box in QEMU: good releases and bad ones
    Update(Update),
    /// Remote sessions of the whole box in QEMU: plainly, through proxies, over a slow line
    Remote(Image),
}

#[derive(Debug, clap::Args)]
struct Campaign {
    /// Decides everything but the threads' turns
    #[arg(long)]
    seed: u64,
    /// How many power cuts
    #[arg(long)]
    cuts: u64,
}

#[derive(Debug, clap::Args)]
struct Update {
    #[command(flatten)]
    image: Image,
    /// The rap.efi of an image whose core was changed, from the same source: what `scripts/bench update` builds
    #[arg(long, value_name = "FILE")]
    changed: Option<PathBuf>,
    /// Only what goes well
    #[arg(long)]
    right: bool,
}

#[derive(Debug, clap::Args)]
struct Image {
    /// The directory `rap-image build --overlay debug --keys` writes
    #[arg(long, value_name = "DIR", default_value = "target/image/qemu-debug")]
    image: PathBuf,
    /// The development keys
    #[arg(long, value_name = "DIR", default_value = system::KEYS)]
    keys: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Guest {
    #[command(flatten)]
    campaign: Campaign,
    /// The directory `rap-image build` writes
    #[arg(long, value_name = "DIR", default_value = rap_image::staging::IMAGE)]
    image: PathBuf,
    /// The development keys
    #[arg(long, value_name = "DIR", default_value = system::KEYS)]
    keys: PathBuf,
}

fn main() -> ExitCode {
    rap_core::console::start("soak");
    let done = match Arguments::parse() {
        Arguments::Cuts(Campaign { seed, cuts }) => forwarder(seed, cuts),
        Arguments::GuestCuts(arguments) => guest(&arguments),
        Arguments::Update(arguments) => update(&arguments),
        Arguments::Remote(arguments) => remote(&arguments),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

fn forwarder(seed: u64, cuts: u64) -> anyhow::Result<ExitCode> {
    let round = cuts::round(Setup::default(), seed, cuts)?;
    println!("{round}");
    Ok(ExitCode::from(u8::from(!round.verdict.is_good())))
}

fn guest(arguments: &Guest) -> anyhow::Result<ExitCode> {
    rap_qemu::lab::enter_user_namespace()?;
    let setup = system::Setup {
        image: arguments.image.clone(),
        identity: arguments.keys.clone(),
        keys: arguments.keys.clone(),
        ..system::Setup::below(Path::new("."))
    };
    let Campaign { seed, cuts } = arguments.campaign;
    println!("{}", cuts::guest(&setup, seed, cuts)?);
    Ok(ExitCode::SUCCESS)
}

fn update(arguments: &Update) -> anyhow::Result<ExitCode> {
    rap_qemu::lab::enter_user_namespace()?;
    let Image { image, keys } = &arguments.image;
    let setup = system::Setup {
        image: image.clone(),
        identity: keys.clone(),
        keys: keys.clone(),
        secure_boot: true,
        ..system::Setup::below(Path::new("."))
    };
    all_right(&setup, arguments.changed.clone(), &|words| println!("{words}"))?;
    if arguments.right {
        return Ok(ExitCode::SUCCESS);
    }
    let mut story = Story::begin(&setup)?;
    let moved = story.keeps_a_good_one()?;
    println!("a small change, by patch: {}", moved.within(120_000)?);
    let why = story.loses_a_bad_one()?;
    println!("without nft: given up, \"{why}\"");
    Ok(ExitCode::SUCCESS)
}

fn remote(arguments: &Image) -> anyhow::Result<ExitCode> {
    rap_qemu::lab::enter_user_namespace()?;
    let setup = system::Setup {
        image: arguments.image.clone(),
        identity: arguments.keys.clone(),
        keys: arguments.keys.clone(),
        ..system::Setup::below(Path::new("."))
    };
    let mut code = ExitCode::SUCCESS;
    for (name, way) in [
        ("directly", Way::Direct),
        ("through squid with Basic", Way::Proxy(Kind::Squid)),
        ("through dante with a password", Way::Proxy(Kind::Dante)),
        ("over 128 kbit/s and 400 ms", Way::Slow),
    ] {
        match remote::tell(&setup, way) {
            Ok(times) => println!("{name}: {times}"),
            Err(error) => {
                eprintln!("{name}: {error:#}");
                println!("{name}: otherwise");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

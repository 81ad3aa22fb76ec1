//! `rap-soak`: long searches, as `scripts/soak` starts them. Exit codes: 0 every promise was kept, 1 one was broken, 2 it
//! could not be tried.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use rap_tests::cuts::{self, Setup};
use rap_tests::proxy::Kind;
use rap_tests::remote::{self, Way};
use rap_tests::system;
use rap_tests::updates::{self, RIGHT, Right, Story, WRONG, Wrong, all_right};

/// Looks for what a test is too short to find.
#[derive(Debug, Parser)]
#[command(name = "rap-soak", version)]
enum Arguments {
    /// One round of power cuts of the forwarder on a disk that forgets
    Cuts(Campaign),
    /// Power cuts of the whole box in QEMU
    GuestCuts(Guest),
    /// Updates of the whole box in QEMU that go well
    Update(Update),
    /// Remote sessions of the whole box in QEMU: plainly, through proxies, over a slow line
    Remote(Remote),
    /// Releases that go wrong on the whole box in QEMU, and images that rot
    UpdateWrong {
        #[command(flatten)]
        image: Image,
        /// Only these; `--list` says which there are
        names: Vec<String>,
        /// Say which there are
        #[arg(long)]
        list: bool,
    },
    /// Power cuts of the whole box in QEMU while it updates itself
    UpdateGuestCuts {
        #[command(flatten)]
        image: Image,
        #[command(flatten)]
        campaign: Campaign,
    },
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
    /// Only these; `--list` says which there are
    names: Vec<String>,
    /// Say which there are
    #[arg(long)]
    list: bool,
}

#[derive(Debug, clap::Args)]
struct Remote {
    #[command(flatten)]
    image: Image,
    /// Only these: direct, squid, dante, slow, ends
    names: Vec<String>,
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
        Arguments::UpdateWrong { list: true, .. } => Ok(list()),
        Arguments::UpdateWrong { image, names, .. } => wrong(&image, &names),
        Arguments::UpdateGuestCuts { image, campaign } => update_cuts(&image, &campaign),
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
    let setup = box_of(&arguments.image, &arguments.keys, false);
    let Campaign { seed, cuts } = arguments.campaign;
    println!("{}", cuts::guest(&setup, seed, cuts)?);
    Ok(ExitCode::SUCCESS)
}

/// A box with the debug shell.
fn setup(arguments: &Image, secure_boot: bool) -> system::Setup {
    box_of(&arguments.image, &arguments.keys, secure_boot)
}

/// A box of this image, with these keys.
fn box_of(image: &Path, keys: &Path, secure_boot: bool) -> system::Setup {
    system::Setup {
        image: image.to_owned(),
        identity: keys.to_owned(),
        keys: keys.to_owned(),
        secure_boot,
        ..system::Setup::below(Path::new("."))
    }
}

/// Each in its turn; one line each as it ends.
fn update(arguments: &Update) -> anyhow::Result<ExitCode> {
    let Update {
        image,
        changed,
        names,
        list,
    } = arguments;
    if *list {
        for right in &RIGHT {
            println!("{:15} {}", right.name, right.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    are_known(names, |name| Right::named(name).is_some())?;
    let asked = |right: &&Right| names.is_empty() || names.iter().any(|name| name == right.name);
    let asked: Vec<&Right> = RIGHT.iter().filter(asked).collect();
    rap_qemu::lab::enter_user_namespace()?;
    let mut failed = false;
    all_right(
        &setup(image, true),
        changed.as_deref(),
        &asked,
        &mut |right, done| say(right.name, done, &mut failed),
    )?;
    Ok(ExitCode::from(u8::from(failed)))
}

/// Refuses names that are none.
fn are_known(names: &[String], is_one: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let unknown: Vec<&String> = names.iter().filter(|name| !is_one(name)).collect();
    anyhow::ensure!(
        unknown.is_empty(),
        "there is no {unknown:?}; --list says which there are"
    );
    Ok(())
}

/// Prints what came of a story, in a line.
fn say(name: &str, done: anyhow::Result<String>, failed: &mut bool) {
    match done {
        Ok(words) => println!("{name}: {words}"),
        Err(error) => {
            *failed = true;
            println!("{name}: NOT as it should be");
            log::error!("{name}: {error:#}");
        }
    }
}

fn remote(arguments: &Remote) -> anyhow::Result<ExitCode> {
    const ENDS: &str = "ends";
    let ways = [
        ("direct", Way::Direct),
        ("squid", Way::Proxy(Kind::Squid)),
        ("dante", Way::Proxy(Kind::Dante)),
        ("slow", Way::Slow),
    ];
    let known = |name: &String| name == ENDS || ways.iter().any(|(way, _)| name == way);
    let unknown: Vec<&String> = arguments.names.iter().filter(|name| !known(name)).collect();
    anyhow::ensure!(
        unknown.is_empty(),
        "there is no {unknown:?}; --help says which there are"
    );
    rap_qemu::lab::enter_user_namespace()?;
    let setup = setup(&arguments.image, false);
    let asked = |name: &str| arguments.names.is_empty() || arguments.names.iter().any(|asked| asked == name);
    let mut code = ExitCode::SUCCESS;
    let mut say = |name: &str, told: anyhow::Result<String>| match told {
        Ok(words) => println!("{name}: {words}"),
        Err(error) => {
            code = ExitCode::FAILURE;
            println!("{name}: NOT as it should be");
            log::error!("{name}: {error:#}");
        }
    };
    for (name, way) in ways.into_iter().filter(|(name, _)| asked(name)) {
        say(name, remote::tell(&setup, way).map(|times| times.to_string()));
    }
    if asked(ENDS) {
        let told = remote::ends(&setup, &|words| println!("{words}"));
        say(ENDS, told.map(|()| "nothing was left open".to_owned()));
    }
    Ok(code)
}

/// Everything else that can go wrong.
const ROT: &str = "rot";
const LAST_RESORT: &str = "last-resort";

fn list() -> ExitCode {
    for wrong in &WRONG {
        println!("{:15} {}", wrong.name, wrong.what);
    }
    println!("{ROT:15} the image that runs rots on the disk, and is mended");
    println!(
        "{LAST_RESORT:15} the image that is started is cut off, and the box comes up from the other slot"
    );
    ExitCode::SUCCESS
}

/// Each in its turn, all that want Secure Boot on one box, and a new one after a story that went otherwise; one line each as
/// it ends.
fn wrong(arguments: &Image, names: &[String]) -> anyhow::Result<ExitCode> {
    are_known(names, |name| {
        Wrong::named(name).is_some() || [ROT, LAST_RESORT].contains(&name)
    })?;
    rap_qemu::lab::enter_user_namespace()?;
    let asked = |name: &str| names.is_empty() || names.iter().any(|asked| asked == name);
    let mut failed = false;
    for secure_boot in [true, false] {
        let here = WRONG.iter().filter(|wrong| wrong.secure_boot == secure_boot);
        let rotten = secure_boot.then_some([ROT, LAST_RESORT]).into_iter().flatten();
        let mut story = None;
        for name in rotten
            .chain(here.map(|wrong| wrong.name))
            .filter(|name| asked(name))
        {
            let mut told = match story.take() {
                Some(story) => story,
                None => Story::begin(&setup(arguments, secure_boot))?,
            };
            let done = goes_wrong(&mut told, name).with_context(|| told.last_words());
            if done.is_ok() {
                story = Some(told);
            }
            say(name, done, &mut failed);
        }
    }
    Ok(ExitCode::from(u8::from(failed)))
}

fn goes_wrong(story: &mut Story, name: &str) -> anyhow::Result<String> {
    match name {
        ROT => {
            story.keeps_one()?;
            story.mends_what_rots()?;
            Ok("mended while it ran".to_owned())
        }
        LAST_RESORT => {
            story.keeps_one()?;
            story.comes_up_from_the_other_slot()?;
            Ok("up from the other slot, mended, and back".to_owned())
        }
        name => story.goes_wrong(Wrong::named(name).context("no such story")?),
    }
}

fn update_cuts(arguments: &Image, campaign: &Campaign) -> anyhow::Result<ExitCode> {
    rap_qemu::lab::enter_user_namespace()?;
    let setup = setup(arguments, true);
    println!("{}", updates::cut(&setup, campaign.seed, campaign.cuts)?);
    Ok(ExitCode::SUCCESS)
}

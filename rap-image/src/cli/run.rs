//! `rap-image run`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use rap_image::parcel::Parcel;
use rap_image::staging::{IMAGE, stage};
use rap_qemu::lab::{self, Lab};
use rap_qemu::machine::Machine;

/// What `run` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Shows the machine's console. The image is not changed: a copy of its disk is booted, and gone afterwards. \
                  As root or in a user namespace; needs QEMU, iproute2 and dnsmasq. KVM is used where a trial boot works \
                  (RAP_QEMU_ACCEL=tcg or kvm decides without one). For reports that flow see scripts/run.\n\n\
                  Examples:\n  \
                  rap-image run --site site.toml --identity keys/dev\n  \
                  rap-image run --image target/image/qemu-debug --instruments 1\n\n\
                  Exit codes: 0 the machine switched itself off; 2 it could not be done."
)]
pub(super) struct Args {
    /// The directory `rap-image build` wrote
    #[arg(long, value_name = "DIR", default_value = IMAGE)]
    image: PathBuf,
    /// How many instruments to connect, each on a host of its own
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=14))]
    instruments: u8,
    /// The machine's memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(128..))]
    memory: u32,
    /// A site.toml to give the box before its first boot
    #[arg(long, value_name = "FILE", requires = "identity")]
    site: Option<PathBuf>,
    /// The directory with the box's keys and certificates
    #[arg(long, value_name = "DIR", requires = "site")]
    identity: Option<PathBuf>,
}

/// Carries out `run`: shows the console until the machine switches itself off or Ctrl-C kills both.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    lab::enter_user_namespace()?;
    let parcel = match (&args.site, &args.identity) {
        (Some(site), Some(identity)) => {
            let text =
                std::fs::read_to_string(site).with_context(|| format!("cannot read {}", site.display()))?;
            Some(Parcel::new(&text, identity)?)
        }
        _ => None,
    };
    let mut staged = stage(&args.image, parcel.as_ref())?;
    let lab = Lab::new(args.instruments.into())?;
    staged.options.cables = lab.cables();
    staged.options.memory_mib = args.memory;
    eprintln!(
        "booting {} under {} with {} instruments; Ctrl-C pulls the plug",
        args.image.display(),
        staged.options.accelerator.name(),
        args.instruments
    );
    let mut machine = Machine::new(staged.options)?;
    machine.console().listen(Box::new(|line| {
        println!("{:8.2}  {}", line.at.as_secs_f64(), line.text)
    }));
    machine.power_on()?;
    while machine.is_on() {
        std::thread::sleep(Duration::from_millis(200));
    }
    eprintln!("the machine is off");
    Ok(())
}

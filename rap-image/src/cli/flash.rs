//! `rap-image flash`.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use rap_core::flash::device::{Device, Kernel};
use rap_core::flash::{Phase, Plan, mark, open};
use rap_image::flash::DiskImage;
use rap_image::verify;

use super::given::Given;

/// What `flash` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Everything on the device is lost. It is refused when it is mounted, part of something, read-only, too small, the \
                  disk this computer runs from, or not removable unless --internal says so; --yes does not change that. Before \
                  the first byte is written the image is verified, device and image are shown, and you are asked.\n\n\
                  Written is what the image uses, and the beginning of every partition, so that nothing of what was there \
                  before is taken for ours. It is read back and compared, and gets its partition table last: until then it does not boot, \
                  and the next run says that one was interrupted.\n\n\
                  Examples:\n  \
                  rap-image flash target/image/generic-x86/disk.img /dev/sdb\n  \
                  rap-image flash --site ward3.toml --identity keys/ward3 disk.img /dev/disk/by-id/usb-…\n  \
                  rap-image flash --site ward3.toml disk.img /dev/sdb      (then: rapctl identity csr on the box)\n\n\
                  Exit codes: 0 written and read back; 1 not confirmed, nothing was written; 2 it could not be done."
)]
pub(super) struct Args {
    /// The disk image
    image: PathBuf,
    /// The device: the whole disk, not a partition
    device: PathBuf,
    #[command(flatten)]
    given: Given,
    /// Also write to a disk that is not removable
    #[arg(long)]
    internal: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Do not read back what was written
    #[arg(long)]
    no_verify: bool,
    /// Print one JSON object when it is done
    #[arg(long)]
    json: bool,
}

/// Carries out `flash`.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let device = Device::look(&args.device, &Kernel::now()?)?;
    let refusals = device.refusals(args.internal);
    if !refusals.is_empty() {
        bail!("nothing was written:\n  {}", refusals.join("\n  "));
    }
    let found = verify::read(&args.image)?;
    let parcel = args.given.parcel(&args.image)?;
    let plan = Plan::new(DiskImage::open(&args.image, parcel.as_ref())?, device.bytes);
    eprintln!("device  {}", describe(&device));
    eprintln!(
        "image   {}, version {}, build {:.12}",
        args.image.display(),
        found.uki.info.version,
        found.uki.info.build_id
    );
    if !args.yes && !confirmed(&device)? {
        return Err(super::No("not confirmed: nothing was written".to_owned()).into());
    }
    let file = open(&device.path)?;
    let interrupted = mark::find(&file)?;
    if let Some(build) = &interrupted {
        eprintln!(
            "note    an earlier flash of it (build {build:.12}) was interrupted; nothing on it boots, and it is written anew"
        );
    }
    let start = Instant::now();
    let bar = Bar::new(plan.bytes(), args.no_verify);
    plan.write(&file, &found.uki.info.build_id, &|phase, done| {
        bar.tell(phase, done);
    })?;
    if !args.no_verify {
        plan.verify(&file, &|phase, done| bar.tell(phase, done))?;
    }
    plan.finish(&file)?;
    bar.0.finish_and_clear();
    drop(file);
    report(&args, &device, &plan, interrupted.is_some(), start.elapsed());
    Ok(())
}

fn describe(device: &Device) -> String {
    let or = |text: &str, none: &str| {
        if text.is_empty() {
            none.to_owned()
        } else {
            text.to_owned()
        }
    };
    format!(
        "{}: {}, serial {}, {}, {}",
        device.path.display(),
        or(&device.model, "model unknown"),
        or(&device.serial, "unknown"),
        HumanBytes(device.bytes),
        if device.removable {
            "removable"
        } else {
            "not removable"
        }
    )
}

/// Whether a person typed the device's name.
fn confirmed(device: &Device) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!(
            "nobody can be asked here; give --yes if {} is really the one",
            device.path.display()
        );
    }
    eprint!("Everything on it will be lost. Type {} to go on: ", device.name);
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim() == device.name)
}

fn report(args: &Args, device: &Device, plan: &Plan<DiskImage>, interrupted: bool, time: Duration) {
    let verified = !args.no_verify;
    if args.json {
        println!(
            "{}",
            serde_json::json!({
                "device": device, "bytes-written": plan.bytes(), "seconds": time.as_secs_f64(),
                "verified": verified, "interrupted-before": interrupted,
                "provisioned": args.given.site.is_some(), "secure-boot": args.given.secure_boot.is_some(),
            })
        );
    } else {
        let checked = if verified {
            " and read back"
        } else {
            ", not read back"
        };
        println!(
            "{} written{checked} in {:.0?}; {} can be pulled out",
            HumanBytes(plan.bytes()),
            time,
            device.name
        );
    }
}

/// A bar on a terminal, with rate and time left.
struct Bar(ProgressBar);

impl Bar {
    /// Writing and reading back count alike.
    fn new(bytes: u64, write_only: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        bar.set_length(if write_only { bytes } else { 2 * bytes });
        let style = "{msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} left";
        // The template is a constant and right; were it not, indicatif's own style would do.
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message("writing");
        Self(bar)
    }

    fn tell(&self, phase: Phase, done: u64) {
        let before = match phase {
            Phase::Write => 0,
            Phase::Verify => {
                self.0.set_message("reading back");
                self.0.length().unwrap_or(0) / 2
            }
        };
        self.0.set_position(before + done);
    }
}

//! An ext4 on a disk with a volatile write cache, for programs on this machine: a power cut loses what was not flushed.
//!
//! ```text
//! program ── ext4 ── loop device ── file system in user space: one file ── cache, a thread of ours ── platters, a file
//!                     flush, FUA ──► fsync of that file ──► flush
//! ```
//!
//! Killing a program loses nothing: what it wrote is in the page cache, and what the page cache wrote is on the disk of
//! this machine. So the disk itself must forget. Needs root, and of the kernel only `fuse` and `loop`.
//!
//! Invariants
//! - After a cut the platters hold every sector that was flushed, and of the others only what the cut's rule let survive.
//! - From the moment of the cut on nothing more reaches the platters, whatever the kernel still writes.
//! - What is mounted goes with the value, also in a panic; what a killed process left, the next [`Volatile`] sweeps.
//! - **This process must not use [`Volatile::directory`] itself**, only programs that it starts: a thread that waits for
//!   a disk cannot be killed, and would keep the thread alive that the disk is waiting for.

mod fuse;
mod place;
mod server;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rap_qemu::disk::Cache;
pub use rap_qemu::disk::Survivors;
use rap_qemu::process;
use rustix::mount::{MountFlags, mount};

use self::place::Place;
use self::server::Device;
pub use self::server::Traffic;

/// What is missing for a volatile disk here, in words; `None` when nothing is.
#[must_use]
pub fn lacks() -> Option<&'static str> {
    let usable = |path| OpenOptions::new().read(true).write(true).open(path).is_ok();
    (!usable("/dev/fuse") || !usable("/dev/loop-control"))
        .then_some("root, /dev/fuse and /dev/loop-control (kernel modules fuse and loop)")
}

/// The disk, with an ext4 on it, mounted while it has power.
#[derive(Debug)]
pub struct Volatile {
    power: Option<Supply>,
    mounted: PathBuf,
    mended: bool,
    place: Place,
}

/// What exists only while the disk is connected.
#[derive(Debug)]
struct Supply {
    device: Arc<Device>,
    server: JoinHandle<()>,
}

impl Volatile {
    /// A disk of `bytes`, at least 8 MiB, with an empty ext4, mounted.
    ///
    /// # Errors
    /// When rights or programs are missing ([`lacks`], `mke2fs`, `e2fsck`, `mount`).
    pub fn new(bytes: u64) -> anyhow::Result<Self> {
        if let Some(lacks) = lacks() {
            bail!("a disk that loses what was not flushed needs {lacks}");
        }
        let place = Place::new()?;
        File::create(place.platters())?.set_len(bytes)?;
        // As the box makes its own (`rap_core::init::disk`), and everything now: nothing is made in the background later.
        let options = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
        let platters = place.platters();
        let made = [
            "-q", "-F", "-t", "ext4", "-b", "4096", "-L", "rap-data", "-m", "1", "-E", options,
        ];
        finish("mke2fs", &made, &[&platters], 0)?;
        let mut disk = Self {
            power: None,
            mounted: place.mounted(),
            mended: false,
            place,
        };
        disk.restore()?;
        Ok(disk)
    }

    /// Where the file system is. For other processes only, see above.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.mounted
    }

    /// Bytes written and not flushed: now, or at the last cut.
    #[must_use]
    pub fn unflushed(&self) -> u64 {
        self.power.as_ref().map_or(0, |power| power.device.unflushed())
    }

    /// A flush is answered after so long from now on, until the next cut: an SSD's or an eMMC's 1 to 5 ms. At first it
    /// takes no longer than it takes.
    pub fn flush_takes(&self, time: Duration) {
        if let Some(power) = &self.power {
            power.device.flush_takes(time);
        }
    }

    /// What the disk was given since the power came.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.power
            .as_ref()
            .map_or_else(Traffic::default, |power| power.device.traffic())
    }

    /// Whether e2fsck had to mend more than the journal at the last start.
    #[must_use]
    pub fn mended(&self) -> bool {
        self.mended
    }

    /// The power goes. Whatever runs on the disk gets errors from now on; the caller kills it, then [`Self::restore`]s.
    ///
    /// # Errors
    /// When the survivors cannot be written to the platters.
    pub fn cut(&mut self, survivors: Survivors) -> anyhow::Result<()> {
        let Some(power) = &self.power else {
            return Ok(());
        };
        power.device.cut(survivors).context("cannot write the platters")
    }

    /// The power will go instead of a flush, after `flushes` others from now on. A [`Self::cut`] may come first.
    pub fn cut_at_flush(&self, flushes: u32, survivors: Survivors) {
        if let Some(power) = &self.power {
            power.device.cut_at(flushes, survivors);
        }
    }

    /// Waits for [`Self::cut_at_flush`]; says whether the power is gone.
    #[must_use]
    pub fn wait_cut(&self, patience: Duration) -> bool {
        self.power
            .as_ref()
            .is_none_or(|power| power.device.wait_gone(patience))
    }

    /// The power comes back after a cut: the file system is checked, as the box does, and mounted from what is on the
    /// platters. Who used it before must be dead.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn restore(&mut self) -> anyhow::Result<()> {
        self.disconnect()?;
        self.connect()?;
        self.check()?;
        let options = ["-t", "ext4", "-o", "loop,noatime,nosuid,nodev"];
        finish("mount", &options, &[&self.place.device(), &self.mounted], 0)?;
        Ok(())
    }

    /// Shows the platters as a file through the cache.
    fn connect(&mut self) -> anyhow::Result<()> {
        let platters = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.place.platters())?;
        let size = platters.metadata()?.len();
        let device = Arc::new(Device::new(Cache::new(platters, size)));
        let kernel = rustix::fs::open(
            "/dev/fuse",
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&kernel);
        // The root is a regular file: then what it is mounted on is one, too.
        let options = std::ffi::CString::new(format!("fd={number},rootmode=100000,user_id=0,group_id=0"))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount(
            "rap-volatile",
            self.place.device(),
            "fuse",
            flags,
            options.as_c_str(),
        )
        .context("cannot mount a file system in user space")?;
        let served = Arc::clone(&device);
        let server = std::thread::Builder::new()
            .name("volatile".to_owned())
            .spawn(move || served.serve(&kernel))?;
        self.power = Some(Supply { device, server });
        Ok(())
    }

    /// As the box's init does it: first only what is safe, then everything.
    fn check(&mut self) -> anyhow::Result<()> {
        // Its exit codes are bits: 1 and 2 mean mended, 4 and more that faults are left (e2fsck(8)).
        let device = self.place.device();
        let code = finish("e2fsck", &["-p"], &[&device], 15)?;
        self.mended = code != 0;
        if code & !3 != 0 {
            finish("e2fsck", &["-f", "-y"], &[&device], 3)?;
        }
        Ok(())
    }

    fn disconnect(&mut self) -> anyhow::Result<()> {
        if let Some(power) = self.power.take() {
            // Without a cut before it this is one.
            power.device.cut(Survivors::None)?;
            self.place.unmount()?;
            // It ends with the file system; a panic there has been printed.
            let _ = power.server.join();
        }
        Ok(())
    }
}

impl Drop for Volatile {
    fn drop(&mut self) {
        if let Err(error) = self.disconnect() {
            log::warn!("{error:#}");
        }
    }
}

/// Runs a program to its end; its exit code, which has no other bits than `good`.
fn finish(program: &str, options: &[&str], paths: &[&Path], good: i32) -> anyhow::Result<i32> {
    let mut command = Command::new(program);
    command.args(options).args(paths);
    let shown = format!("{command:?}");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = process::spawn(command, None, Vec::new())?.wait_with_output()?;
    match output.status.code() {
        Some(code) if code & !good == 0 => Ok(code),
        _ => bail!(
            "{shown} ended with {}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout).trim(),
            String::from_utf8_lossy(&output.stderr).trim()
        ),
    }
}

//! Whether the processor's virtualisation really works here: tried by booting, never read off `/dev/kvm`.
//!
//! A `/dev/kvm` that opens may still stop or hang every guest that leaves real mode (nested and filtered hosts do). So
//! the trial runs the same firmware the box will run, until it speaks on the serial port; without that in time,
//! QEMU's software emulation (TCG) it is.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::firmware::Firmware;
use crate::process::{Running, spawn};
use crate::{Error, Result};

/// Chooses the accelerator without a trial: `kvm` or `tcg`.
pub const OVERRIDE: &str = "RAP_QEMU_ACCEL";
/// A working KVM shows the firmware's first line in about two seconds.
const TRIAL: Duration = Duration::from_secs(10);

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor, through Linux KVM.
    Kvm,
    /// QEMU's translator: works everywhere, several times slower.
    Tcg,
}

impl Accelerator {
    /// Finds out once per process and firmware.
    ///
    /// # Errors
    /// When the override says something else than `kvm` or `tcg`.
    pub fn probe(firmware: &Firmware) -> Result<Self> {
        static KNOWN: LazyLock<Mutex<HashMap<PathBuf, Accelerator>>> = LazyLock::new(Mutex::default);
        if let Some(choice) = std::env::var_os(OVERRIDE) {
            return Self::named(&choice.to_string_lossy());
        }
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known.get(&firmware.code) {
            return Ok(*answer);
        }
        let answer = if !Path::new("/dev/kvm").exists() {
            Self::Tcg
        } else if boots_with(Self::Kvm, firmware, TRIAL) {
            Self::Kvm
        } else {
            log::info!("/dev/kvm is there but does not boot a guest; using software emulation");
            Self::Tcg
        };
        known.insert(firmware.code.clone(), answer);
        Ok(answer)
    }

    fn named(name: &str) -> Result<Self> {
        match name {
            "kvm" => Ok(Self::Kvm),
            "tcg" => Ok(Self::Tcg),
            other => Err(Error::Setting(format!(
                "{OVERRIDE} is `{other}`; expected `kvm` or `tcg`"
            ))),
        }
    }

    /// QEMU's arguments for it. `max` offers what the accelerator can do, the host's own model under KVM.
    #[must_use]
    pub fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "max"],
            Self::Tcg => ["-accel", "tcg", "-cpu", "max"],
        }
    }

    /// The name QEMU and people use.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.arguments()[1]
    }
}

/// Runs the firmware without any disk until it says something about its boot options, for at most `deadline`.
fn boots_with(accelerator: Accelerator, firmware: &Firmware, deadline: Duration) -> bool {
    trial(accelerator, firmware, deadline).unwrap_or_else(|error| {
        log::debug!(
            "the trial boot with {} could not run: {error}",
            accelerator.name()
        );
        false
    })
}

fn trial(accelerator: Accelerator, firmware: &Firmware, deadline: Duration) -> io::Result<bool> {
    let (mut serial, guest) = UnixStream::pair()?;
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args([
        "-machine",
        "q35",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-m",
        "256",
    ]);
    qemu.args(accelerator.arguments());
    for (unit, path) in [(0, &firmware.code), (1, &firmware.vars)] {
        // A snapshot: the trial changes no file.
        let path = path.display().to_string().replace(',', ",,");
        qemu.args([
            "-drive",
            &format!("if=pflash,format=raw,unit={unit},snapshot=on,file={path}"),
        ]);
    }
    qemu.args([
        "-chardev",
        &format!("socket,id=serial,fd={}", guest.as_raw_fd()),
        "-serial",
        "chardev:serial",
    ]);
    qemu.stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _running = Running(spawn(qemu, None, vec![guest.into()]).map_err(io::Error::other)?);
    let end = Instant::now() + deadline;
    let (mut said, mut buffer) = (Vec::<u8>::new(), [0; 1024]);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        serial.set_read_timeout(Some(left))?;
        match serial.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => said.extend(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        if said.windows(6).any(|window| window == b"BdsDxe") {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_override_is_refused() {
        let error = Accelerator::named("hvf").unwrap_err();
        assert_eq!(
            error.to_string(),
            "RAP_QEMU_ACCEL is `hvf`; expected `kvm` or `tcg`"
        );
    }

    #[test]
    fn software_emulation_boots_and_a_hang_is_found_out() {
        // The lock's own, which comes with the image.
        let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/image/qemu");
        let Ok(firmware) = Firmware::find(&image) else {
            assert!(
                std::env::var_os("CI").is_none(),
                "needs the image; scripts/test builds it"
            );
            return eprintln!("skipped: needs OVMF (rap-image build, or RAP_OVMF)");
        };
        assert!(boots_with(Accelerator::Tcg, &firmware, Duration::from_secs(120)));
        // No firmware speaks within a millisecond: the same as one that never speaks.
        assert!(!boots_with(Accelerator::Tcg, &firmware, Duration::from_millis(1)));
    }
}

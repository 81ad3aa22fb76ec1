//! QEMU's command line: a function of the options and of the descriptors handed down.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Options;
use crate::lab::Plug;

/// The copy of the firmware's variables in the machine's directory.
pub(super) const VARS: &str = "vars.fd";
/// Slots 00:10.0 to 00:1e.0; q35's own functions begin at 00:1f.0.
pub(super) const CARDS: usize = 15;
const FIRST_SLOT: usize = 0x10;

/// Our ends' counterparts, to be inherited by QEMU under their numbers.
pub(super) struct Plugs {
    pub(super) console: OwnedFd,
    pub(super) debug: OwnedFd,
    pub(super) qmp: OwnedFd,
    pub(super) disk: OwnedFd,
    pub(super) stick: Option<PathBuf>,
    pub(super) cables: Vec<Plug>,
}

impl Plugs {
    pub(super) fn into_descriptors(self) -> Vec<OwnedFd> {
        let mut all = vec![self.console, self.debug, self.qmp, self.disk];
        all.extend(self.cables.into_iter().map(Plug::into_descriptor));
        all
    }
}

/// The card's name in QEMU.
pub(super) fn card_id(index: usize) -> String {
    format!("card{index}")
}

/// The whole command.
pub(super) fn command(options: &Options, place: &Path, plugs: &Plugs) -> Command {
    let mut qemu = Command::new("qemu-system-x86_64");
    let secure = options
        .firmware
        .secure_code
        .as_ref()
        .filter(|_| options.secure_boot);
    qemu.args([
        "-machine",
        if secure.is_some() { "q35,smm=on" } else { "q35" },
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
    ]);
    qemu.args(options.accelerator.arguments());
    qemu.args([
        "-m",
        &format!("{}M", options.memory_mib),
        "-smp",
        &options.processors.to_string(),
    ]);
    qemu.args(["-device", "i6300esb,addr=0x3", "-action", "watchdog=reset"]);
    qemu.args(["-device", "virtio-rng-pci,addr=0x5"]);

    if secure.is_some() {
        // Only firmware's own code, in system management mode, may write its variables.
        qemu.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
    }
    qemu.arg("-drive")
        .arg(flash(0, ",readonly=on", secure.unwrap_or(&options.firmware.code)));
    qemu.arg("-drive").arg(flash(1, "", &place.join(VARS)));

    let disk = plugs.disk.as_raw_fd();
    qemu.args([
        "-blockdev",
        &format!("driver=nbd,node-name=disk,server.type=fd,server.str={disk}"),
    ]);
    qemu.args(["-device", "virtio-blk-pci,drive=disk,addr=0x4,bootindex=0"]);

    if let Some(path) = &plugs.stick {
        let path = path.to_string_lossy().replace(',', ",,");
        let stick = format!("driver=raw,node-name=stick,read-only=on,file.driver=file,file.filename={path}");
        qemu.args(["-blockdev", &stick]);
        qemu.args(["-device", "virtio-blk-pci,drive=stick,addr=0x6"]);
    }

    for (id, descriptor) in [("console", &plugs.console), ("debug", &plugs.debug)] {
        qemu.args([
            "-chardev",
            &format!("socket,id={id},fd={}", descriptor.as_raw_fd()),
        ]);
        qemu.args(["-serial", &format!("chardev:{id}")]);
    }
    qemu.args(["-chardev", &format!("socket,id=qmp,fd={}", plugs.qmp.as_raw_fd())]);
    qemu.args(["-mon", "chardev=qmp,mode=control"]);

    for (index, cable) in plugs.cables.iter().enumerate() {
        let (id, descriptor) = (card_id(index), cable.descriptor().as_raw_fd());
        qemu.arg("-netdev").arg(match cable {
            Plug::Tap(_) => format!("tap,id={id}-cable,fd={descriptor},vhost=off"),
            Plug::Frames(_) => format!("dgram,id={id}-cable,local.type=fd,local.str={descriptor}"),
        });
        let boot = if index == 0 && options.network_boot {
            ",bootindex=1"
        } else {
            ""
        };
        // No option ROM: the firmware has a driver of its own.
        let slot = FIRST_SLOT + index;
        let mac = format!("52:54:00:00:00:{slot:02x}");
        qemu.args([
            "-device",
            &format!("virtio-net-pci,netdev={id}-cable,id={id},mac={mac},addr={slot:#x},romfile={boot}"),
        ]);
    }
    qemu
}

/// A comma in a path is written twice (QEMU's option syntax).
fn flash(unit: u8, more: &str, path: &Path) -> OsString {
    let path = path.to_string_lossy().replace(',', ",,");
    format!("if=pflash,format=raw,unit={unit}{more},file={path}").into()
}

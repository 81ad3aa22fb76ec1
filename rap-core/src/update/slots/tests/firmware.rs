//! Firmware and EFI Boot Guard, as far as they decide what is started: partitions, FAT as another driver reads it, both
//! environments, and Boot Guard's own writes, in which the power may go too.
//!
//! Source: `env/fatvars.c` of EFI Boot Guard 0.19 (`load_config`, `save_current_config`).

use std::io::Read as _;

use super::sim::{SimDisk, Stream};
use crate::boot::disk::{DiskError, Table};
use crate::boot::environment::{Environment, LENGTH, State};
use crate::boot::slot::{Label, Layout};
use crate::boot::uki::{HEAD, Headers};

/// What was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// This program, from there.
    Program(Label, Vec<u8>),
    /// Nothing: the machine is reset, and tries again.
    Nothing(String),
    /// The power went before anything was.
    Cut,
}

/// A slot as firmware sees it.
struct Volume {
    slot: Label,
    part: SimDisk,
    label: String,
    /// `BGENV.DAT`, whatever is in it.
    file: Vec<u8>,
    /// What is in it, if its checksum is right.
    environment: Option<Environment>,
}

/// Switches the machine on.
pub(super) fn start(disk: &SimDisk, bytes: u64) -> Start {
    disk.power_on();
    let table = match Table::read(disk, bytes) {
        Ok(table) => table,
        Err(error) => return Start::Nothing(error.to_string()),
    };
    let mut volumes: Vec<Volume> = Label::ALL
        .into_iter()
        .filter_map(|slot| {
            let partition = table.partition(slot.place());
            Volume::mount(slot, disk.part(partition.offset(), partition.length()))
        })
        .collect();
    let Ok(chosen) = choose(&mut volumes) else {
        return Start::Cut;
    };
    let Some(kernel_file) = chosen else {
        return Start::Nothing("no environment".to_owned());
    };
    let file = kernel_file
        .strip_prefix("C:")
        .and_then(|rest| rest.split_once(':'));
    let Some((label, name)) = file else {
        return Start::Nothing(format!("no file in `{kernel_file}`"));
    };
    match volumes.iter().find(|volume| volume.label == label) {
        Some(volume) => volume.load(name),
        None => Start::Nothing(format!("no volume {label}")),
    }
}

/// The `kernelfile` of the environment that is started, after what is written into one of them.
fn choose(volumes: &mut [Volume]) -> Result<Option<String>, DiskError> {
    let (mut latest, mut before) = (0, 0);
    let (mut latest_revision, mut before_revision) = (0, 0);
    for (index, volume) in volumes.iter().enumerate() {
        let revision = volume.environment.as_ref().map_or(0, |found| found.revision);
        if revision > latest_revision {
            (before, before_revision) = (latest, latest_revision);
            (latest, latest_revision) = (index, revision);
        } else if revision > before_revision {
            (before, before_revision) = (index, revision);
        }
    }
    let count = volumes.len();
    let Some(volume) = volumes.get_mut(latest) else {
        return Ok(None);
    };
    let mut chosen = latest;
    if let Some(environment) = &mut volume.environment {
        if environment.in_progress {
            chosen = before;
        } else if environment.state == State::Testing {
            environment.state = State::Failed;
            environment.revision = 0;
            volume.save(count)?;
            chosen = before;
        } else if environment.state == State::Installed {
            environment.state = State::Testing;
            volume.save(count)?;
        }
    }
    // What it read stays in its memory, whether the checksum is right or not.
    Ok(volumes.get(chosen).map(|volume| {
        let units = volume.file[..510]
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
        String::from_utf16_lossy(&units)
    }))
}

impl Volume {
    fn mount(slot: Label, part: SimDisk) -> Option<Self> {
        let (label, file) = {
            let system = fatfs::FileSystem::new(Stream::of(&part), fatfs::FsOptions::new()).ok()?;
            let root = system.root_dir();
            let read = |name| {
                let mut bytes = Vec::new();
                root.open_file(name).ok()?.read_to_end(&mut bytes).ok()?;
                Some(bytes)
            };
            let units = read("EFILABEL").unwrap_or_default();
            let units: Vec<u16> = units
                .chunks_exact(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .collect();
            (String::from_utf16_lossy(&units), read("BGENV.DAT")?)
        };
        (file.len() == LENGTH).then(|| Self {
            slot,
            environment: Environment::decode(&file).ok(),
            part,
            label,
            file,
        })
    }

    /// Writes the environment in place, as Boot Guard does: only with two of them, and with what the driver does
    /// besides: the volume's mark of being in use, and the file's time.
    fn save(&self, volumes: usize) -> Result<(), DiskError> {
        if volumes != 2 {
            return Ok(());
        }
        let mut file = self.environment.as_ref().unwrap().encode().unwrap();
        // What somebody put behind the texts' ends and into the user data stays.
        let own = self.file.iter().zip(&mut file);
        for (at, (old, new)) in own.enumerate() {
            if (510..1020).contains(&at) || (1028..LENGTH - 4).contains(&at) {
                *new = *old;
            }
        }
        let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&file[..LENGTH - 4]);
        file[LENGTH - 4..].copy_from_slice(&sum.to_le_bytes());
        let places = Layout::of(1).unwrap();
        let mut boot = [0; 512];
        self.part.read(&mut boot, 0)?;
        let reserved = u64::from(u16::from_le_bytes([boot[14], boot[15]])) * 512;
        let root = places.label - u64::from(boot[13]) * 512;
        self.part.write(&[0x07], reserved + 7)?;
        self.part.write(&file, places.environment.start)?;
        self.part.write(&[0x11, 0x22, 0x33, 0x44], root + 32 + 22)?;
        self.part.write(&[0x0f], reserved + 7)?;
        crate::boot::disk::Disk::flush(&self.part)
    }

    /// What firmware does with a program: it has to be as long as its headers say.
    fn load(&self, name: &str) -> Start {
        let read = || {
            let system = fatfs::FileSystem::new(Stream::of(&self.part), fatfs::FsOptions::new()).ok()?;
            let mut bytes = Vec::new();
            let root = system.root_dir();
            root.open_file(name).ok()?.read_to_end(&mut bytes).ok()?;
            Some(bytes)
        };
        let Some(bytes) = read() else {
            return Start::Nothing(format!("{name} of slot {} cannot be read", self.slot));
        };
        let head: Option<&[u8; HEAD]> = bytes.get(..HEAD).and_then(|head| head.try_into().ok());
        match head.map(Headers::parse) {
            Some(Ok(headers)) if headers.bytes == bytes.len() as u64 => Start::Program(self.slot, bytes),
            _ => Start::Nothing(format!("{name} of slot {} is no program", self.slot)),
        }
    }
}

//! [`Bays`] on the disk: both slots, as init hands them down.
//!
//! Writing (DESIGN §4): the first sector is destroyed, everything else written and read back, and only arming writes that
//! sector. Where things lie before the UKI does not depend on its length. The environment is changed in two sectors, each
//! brought to the medium before the other: between the two it is invalid, and the loader takes the other slot.

mod program;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rustix::fs::{Advice, fadvise};

use super::needs::{Bays, Found, Image, View, other};
use crate::boot::environment::{Environment, State};
use crate::boot::slot::{Label, Layout, slot_image};
use crate::digest::Hasher;
use crate::release;

/// Seconds until the loader's watchdog resets a trial that does not get to init.
const WATCHDOG_SECONDS: u16 = 60;
/// Bytes read or written at once.
const CHUNK: usize = 1 << 20;
const BOOT_SIGNATURE: [u8; 2] = [0x55, 0xaa];

/// Both slots.
#[derive(Debug)]
pub(super) struct Disk {
    slots: [Arc<File>; 2],
    /// The first sector of each slot that was written and not armed yet.
    waiting: [Option<Vec<u8>>; 2],
}

impl Disk {
    /// Of slot A and slot B, open for reading and writing.
    pub(super) fn new(a: File, b: File) -> Self {
        Self {
            slots: [Arc::new(a), Arc::new(b)],
            waiting: [None, None],
        }
    }

    fn slot(&self, label: Label) -> &Arc<File> {
        &self.slots[index(label)]
    }

    fn environment(&self, label: Label) -> anyhow::Result<Option<Environment>> {
        let file = self.slot(label);
        let mut first = [0; 512];
        file.read_exact_at(&mut first, 0)?;
        if first[510..] != BOOT_SIGNATURE {
            return Ok(None);
        }
        let place = Layout::of(1)?.environment;
        let mut bytes = vec![0; usize::try_from(place.end - place.start)?];
        file.read_exact_at(&mut bytes, place.start)?;
        Ok(Environment::decode(&bytes).ok())
    }

    /// Changes a slot's environment, one sector after the other.
    fn change(&mut self, label: Label, environment: &Environment) -> anyhow::Result<()> {
        let layout = Layout::of(1)?;
        let bytes = environment.encode()?;
        let file = self.slot(label);
        let start = layout.environment.start;
        // What neither sector holds is the same in every environment of ours; it is written where it is not.
        let mut found = vec![0; bytes.len()];
        file.read_exact_at(&mut found, start)?;
        for (at, (new, old)) in bytes.chunks(512).zip(found.chunks(512)).enumerate() {
            if new != old {
                file.write_all_at(new, start + at as u64 * 512)?;
                file.sync_data()?;
            }
        }
        Ok(())
    }

    fn revision_above(&self, label: Label) -> anyhow::Result<u32> {
        let there = self.environment(other(label))?;
        let revision = there.map_or(0, |environment| environment.revision);
        revision
            .checked_add(1)
            .context("the slots' revisions have come to their end")
    }

    fn program(&self, label: Label) -> anyhow::Result<program::Program> {
        let start = Layout::of(1)?.uki.start;
        program::read(self.slot(label), start)
    }
}

impl Bays for Disk {
    fn look(&mut self, build_id: &str) -> anyhow::Result<View> {
        let mut slots = [Found::default(), Found::default()];
        for label in [Label::A, Label::B] {
            let Some(environment) = self.environment(label)? else {
                continue;
            };
            let program = self.program(label).ok();
            slots[index(label)] = Found {
                build_id: program.as_ref().and_then(|program| program.build_id.clone()),
                version: program.and_then(|program| program.version),
                state: Some(environment.state),
                revision: environment.revision,
            };
        }
        let is_it = |label: &Label| slots[index(*label)].build_id.as_deref() == Some(build_id);
        // The loader takes the higher one, where both hold the same build.
        let running = [Label::A, Label::B].into_iter().filter(is_it);
        let running = running.max_by_key(|label| slots[index(*label)].revision);
        Ok(View { running, slots })
    }

    fn image(&mut self, label: Label) -> anyhow::Result<Box<dyn Image>> {
        let program = self.program(label)?;
        Ok(Box::new(Window {
            file: Arc::clone(self.slot(label)),
            start: Layout::of(program.bytes)?.uki.start,
            length: program.bytes,
            at: 0,
        }))
    }

    fn digest(&mut self, label: Label) -> anyhow::Result<release::File> {
        // What is in memory says nothing of the medium.
        fadvise(self.slot(label), 0, None, Advice::DontNeed)?;
        let mut image = self.image(label)?;
        let (mut hash, mut bytes, mut chunk) = (Hasher::new(), 0, vec![0; CHUNK]);
        loop {
            let count = image.read(&mut chunk)?;
            if count == 0 {
                let sha256 = hash.finish();
                return Ok(release::File { bytes, sha256 });
            }
            hash.update(&chunk[..count]);
            bytes += count as u64;
        }
    }

    fn write(&mut self, label: Label, image: &mut dyn Read, file: &release::File) -> anyhow::Result<()> {
        let layout = Layout::of(file.bytes)?;
        let environment = Environment {
            state: State::Installed,
            ..label.confirmed(self.revision_above(label)?, WATCHDOG_SECONDS)
        };
        let slot = Arc::clone(self.slot(label));
        slot.write_all_at(&[0; 512], 0)?;
        slot.sync_data()?;
        // Never read: only its length decides where the rest lies.
        let blank = vec![0; usize::try_from(file.bytes)?];
        let volume = slot_image(&blank, label, &environment)?;
        clear(&slot, 512..layout.uki.start)?;
        let mut first = Vec::new();
        for extent in volume
            .extents
            .iter()
            .filter(|extent| extent.offset < layout.uki.start)
        {
            match extent.offset {
                0 => {
                    first = extent.bytes[..512].to_vec();
                    slot.write_all_at(&extent.bytes[512..], 512)?;
                }
                at => slot.write_all_at(&extent.bytes, at)?,
            }
        }
        stream(image, &slot, layout.uki.start, file.bytes)?;
        slot.sync_data()?;
        let found = self.digest(label)?;
        ensure!(
            found == *file,
            "what was written is not the release: its SHA-256 is {}",
            found.sha256
        );
        self.waiting[index(label)] = Some(first);
        Ok(())
    }

    fn arm(&mut self, label: Label) -> anyhow::Result<()> {
        let first = self.waiting[index(label)].take();
        let first = first.context("nothing was written into the slot")?;
        self.slot(label).write_all_at(&first, 0)?;
        Ok(self.slot(label).sync_data()?)
    }

    fn arm_again(&mut self, label: Label) -> anyhow::Result<()> {
        let environment = Environment {
            state: State::Installed,
            ..label.confirmed(self.revision_above(label)?, WATCHDOG_SECONDS)
        };
        self.change(label, &environment)
    }

    fn confirm(&mut self, label: Label) -> anyhow::Result<()> {
        let environment = self
            .environment(label)?
            .context("the slot's environment is damaged")?;
        let environment = Environment {
            state: State::Ok,
            ..environment
        };
        self.change(label, &environment)
    }

    fn reject(&mut self, label: Label) -> anyhow::Result<()> {
        let back = self.environment(other(label))?;
        let bootable = back.is_some_and(|back| back.state == State::Ok && back.revision > 0);
        ensure!(
            bootable && self.program(other(label)).is_ok(),
            "the other slot holds nothing that was confirmed: there is nothing to go back to"
        );
        let environment = Environment {
            state: State::Failed,
            ..label.confirmed(0, WATCHDOG_SECONDS)
        };
        self.change(label, &environment)
    }

    fn scrub(&mut self) -> anyhow::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

fn index(label: Label) -> usize {
    match label {
        Label::A => 0,
        Label::B => 1,
    }
}

fn clear(slot: &File, range: std::ops::Range<u64>) -> io::Result<()> {
    let zeros = vec![0; CHUNK];
    let mut at = range.start;
    while at < range.end {
        let count = zeros
            .len()
            .min(usize::try_from(range.end - at).unwrap_or(usize::MAX));
        slot.write_all_at(&zeros[..count], at)?;
        at += count as u64;
    }
    Ok(())
}

/// Writes exactly `bytes` of `image` at `at`.
fn stream(image: &mut dyn Read, slot: &File, at: u64, bytes: u64) -> anyhow::Result<()> {
    let (mut chunk, mut done) = (vec![0; CHUNK], 0);
    loop {
        let count = image.read(&mut chunk)?;
        if count == 0 {
            ensure!(done == bytes, "the image ends after {done} of {bytes} bytes");
            return Ok(());
        }
        ensure!(
            done + count as u64 <= bytes,
            "the image is longer than the {bytes} bytes it should have"
        );
        slot.write_all_at(&chunk[..count], at + done)?;
        done += count as u64;
    }
}

/// A part of a slot, as if it were a file.
#[derive(Debug)]
struct Window {
    file: Arc<File>,
    start: u64,
    length: u64,
    at: u64,
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length - self.at).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..count], self.start + self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        self.at = to
            .filter(|at| *at <= self.length)
            .ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests;

//! A slot of a box that is off, opened as somebody with a screwdriver would: what is in it, cut off or changed.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::Context as _;
use rap_core::boot::disk::Table;
use rap_core::boot::slot::{Label, Layout};
use rap_image::uki::Program;

/// `RAP.EFI`, as a FAT's directory has it.
const NAME: &[u8] = b"RAP     EFI";
/// Where an entry of a directory has the file's length (Microsoft's FAT specification, §6).
const LENGTH: usize = 28;

/// A slot of a disk.
#[derive(Debug)]
pub(super) struct Slot {
    disk: File,
    start: u64,
    /// Where the directory says how long the UKI is.
    length_at: u64,
    /// The UKI's length.
    bytes: u64,
}

impl Slot {
    /// The slot `label` of the disk in the file `path`.
    pub(super) fn open(path: &Path, label: Label) -> anyhow::Result<Self> {
        let disk = File::options().read(true).write(true).open(path)?;
        let table = Table::read(&disk, disk.metadata()?.len())?;
        let start = table.partition(label.place()).offset();
        // The directory is before every file.
        let mut head = vec![0; usize::try_from(Layout::of(1)?.label)?];
        disk.read_exact_at(&mut head, start)?;
        let is_it = |at: &usize| head[*at..].starts_with(NAME);
        let entry = (0..head.len()).step_by(32).find(is_it);
        let at = entry.with_context(|| format!("slot {label} has no RAP.EFI"))? + LENGTH;
        let bytes = u32::from_le_bytes(head[at..at + 4].try_into()?);
        Ok(Self {
            disk,
            start,
            length_at: start + at as u64,
            bytes: bytes.into(),
        })
    }

    /// Where its UKI lies on the disk.
    pub(super) fn uki(&self) -> anyhow::Result<Range<u64>> {
        let place = Layout::of(self.bytes)?.uki;
        Ok(self.start + place.start..self.start + place.end)
    }

    /// Its UKI.
    pub(super) fn content(&self) -> anyhow::Result<Vec<u8>> {
        let place = self.uki()?;
        let mut content = vec![0; usize::try_from(self.bytes)?];
        self.disk.read_exact_at(&mut content, place.start)?;
        Ok(content)
    }

    /// Cuts its UKI off in the middle: the rest is zeros, and the file is as short.
    pub(super) fn truncate(&self) -> anyhow::Result<()> {
        let half = self.bytes / 2;
        let zeros = vec![0; usize::try_from(self.bytes - half)?];
        self.disk.write_all_at(&zeros, self.uki()?.start + half)?;
        let half = u32::try_from(half)?;
        self.disk.write_all_at(&half.to_le_bytes(), self.length_at)?;
        Ok(())
    }

    /// Flips one bit in the middle of a section of its UKI, such as `.linux`.
    pub(super) fn flip_section(&self, section: &str) -> anyhow::Result<()> {
        let content = self.content()?;
        let program = Program::parse(&content)?;
        let mut sections = program.sections.iter();
        let found = sections
            .find(|found| found.name == section)
            .map(|found| &found.raw);
        let raw = found.with_context(|| format!("the UKI has no section {section}"))?;
        self.flip(&content, usize::midpoint(raw.start, raw.end))
    }

    /// Flips one bit of a text in its UKI.
    pub(super) fn flip_text(&self, text: &[u8]) -> anyhow::Result<()> {
        let content = self.content()?;
        let found = content.windows(text.len()).position(|found| found == text);
        self.flip(&content, found.context("the UKI has no such text")?)
    }

    fn flip(&self, content: &[u8], at: usize) -> anyhow::Result<()> {
        let flipped = [content[at] ^ 1];
        self.disk.write_all_at(&flipped, self.uki()?.start + at as u64)?;
        Ok(())
    }
}

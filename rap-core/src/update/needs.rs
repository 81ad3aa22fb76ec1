//! What the updater needs of the slots and of a repository, as two traits: the flow is tried against simulated ones, with
//! the power cut between any two of their operations.

use std::io;

use crate::boot::environment;
use crate::boot::slot::Label;
use crate::release::{File, Manifest};

use super::policy::Way;
use super::slots::mend::Bring;

/// What is in both slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The slot whose image runs.
    pub running: Label,
    /// Slot A, then slot B.
    pub slots: [Found; 2],
}

/// What is in one slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The build its UKI says it is.
    pub build_id: Option<String>,
    /// The version its UKI says it is.
    pub version: Option<String>,
    /// How far its trial is; `None` where its environment is damaged.
    pub state: Option<environment::State>,
    /// Its environment's revision.
    pub revision: u32,
}

impl View {
    /// What is in a slot.
    #[must_use]
    pub fn of(&self, label: Label) -> &Found {
        match label {
            Label::A => &self.slots[0],
            Label::B => &self.slots[1],
        }
    }
}

/// Rot that was found in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rot {
    /// In a sentence.
    pub words: String,
    /// Whether some of it is there still.
    pub left: bool,
}

/// Something to read from a place.
pub trait Image: io::Read + io::Seek + Send {}

impl<T: io::Read + io::Seek + Send> Image for T {}

/// Both slots of the disk. Each operation is whole after a power cut, or not begun, or can be begun again.
pub trait Bays: Send {
    /// What is in them.
    ///
    /// # Errors
    /// When the disk cannot be read.
    fn look(&mut self) -> anyhow::Result<View>;

    /// Says what the image that runs is, once that is known: it is held against that before the other slot is written.
    fn know(&mut self, file: File);

    /// The `RAP.EFI` of a slot.
    ///
    /// # Errors
    /// When there is none.
    fn image(&mut self, label: Label) -> anyhow::Result<Box<dyn Image>>;

    /// The SHA-256 of a slot's `RAP.EFI`, read anew, and its length.
    ///
    /// # Errors
    /// When there is none.
    fn digest(&mut self, label: Label) -> anyhow::Result<File>;

    /// Writes an image into a slot that does not run, and reads it back: it is `file` then, or this is an error. It is not
    /// armed.
    ///
    /// # Errors
    /// When the image is another one, or does not come to its end, or the disk does not hold it.
    fn write(&mut self, label: Label, image: &mut dyn io::Read, file: &File) -> anyhow::Result<()>;

    /// Makes the next boot the trial of what was written.
    ///
    /// # Errors
    /// When the disk refuses.
    fn arm(&mut self) -> anyhow::Result<()>;

    /// Makes the next boot one more trial of `file`, which failed in a slot.
    ///
    /// # Errors
    /// When the slot does not hold it.
    fn arm_again(&mut self, label: Label, file: &File) -> anyhow::Result<()>;

    /// The running image stays.
    ///
    /// # Errors
    /// When the disk refuses.
    fn confirm(&mut self) -> anyhow::Result<()>;

    /// The running image goes: the next boot is the other slot's.
    ///
    /// # Errors
    /// When the other slot could not boot.
    fn reject(&mut self) -> anyhow::Result<()>;

    /// Holds both slots against what they should be, where that is known, and mends what can be mended: what was found.
    /// What no copy holds is asked for `elsewhere`.
    ///
    /// # Errors
    /// When the disk cannot be read.
    fn scrub(&mut self, known: &[Option<File>; 2], elsewhere: &mut dyn Bring) -> anyhow::Result<Vec<Rot>>;
}

/// What a repository offers.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The release.
    pub manifest: Manifest,
    /// The repository's time, where it proved who it is.
    pub date: Option<u64>,
}

/// How much of something is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Bytes that are there.
    pub bytes: u64,
    /// Bytes that came over the line just now, among them.
    pub brought: u64,
}

/// A repository of releases: a web server, or a bundle.
pub trait Repository: Send {
    /// The newest release for this box, its metadata held against all that was seen before; `now` is in seconds since
    /// 1970.
    ///
    /// # Errors
    /// When it is not reached, or what it says is not to be trusted.
    fn check(&mut self, now: u64) -> anyhow::Result<Offer>;

    /// Brings the pieces of a way, durably; what is there already is not brought again. `report` is told after each piece
    /// and says whether to go on.
    ///
    /// # Errors
    /// When a piece does not come, is another one, or `report` says no.
    fn bring(
        &mut self,
        manifest: &Manifest,
        way: Way,
        report: &mut dyn FnMut(Done) -> bool,
    ) -> anyhow::Result<()>;

    /// The image of a release, made from the pieces of a way, which are there; `base` is the image that runs.
    ///
    /// # Errors
    /// When a piece is missing.
    fn image<'a>(
        &'a mut self,
        manifest: &'a Manifest,
        way: Way,
        base: Box<dyn Image>,
    ) -> anyhow::Result<Box<dyn io::Read + 'a>>;

    /// The MiB `block`, from 0, of a release's image, brought anew and held against the manifest.
    ///
    /// # Errors
    /// When it does not come, or is another one.
    fn block(&mut self, manifest: &Manifest, block: u64) -> anyhow::Result<Vec<u8>>;

    /// Forgets the pieces of every release.
    fn sweep(&mut self);
}

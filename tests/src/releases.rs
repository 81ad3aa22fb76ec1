//! Releases made of one image, without compiling anything: another version, other files in the root, signed anew.
//!
//! The image is taken apart and composed again by the builder's own parts, so what comes out is what `rap-image build` would
//! have made of such programs and overlays.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use rap_core::boot::disk::{Place, Table};
use rap_core::boot::slot::{Label, slot_image};
use rap_core::build_info::BuildInfo;
use rap_core::digest::Sha256;
use rap_image::cpio;
use rap_image::keys::Passphrase;
use rap_image::payload::{Entry, Kind, Part};
use rap_image::publish::{self, Input, Outcome, Patcher};
use rap_image::signing::{PROGRAM_KEY, Signer, sign};
use rap_image::staging::DISK;
use rap_image::uki::{self, Program};
use rap_image::verify::{self, FoundUki};
use serde_json::{Value, json};

/// With this in the environment, a folder of built programs (`target/debug`), every release has those instead of its own:
/// for trying what was just compiled. When it has `passwd` and `group`, too, the users are theirs.
pub const PROGRAMS: &str = "RAP_TEST_PROGRAMS";
const UKI: &str = "rap.efi";
const ROOT: &str = "root.json";
const BUILD: &str = "etc/rap/build.json";
const ADDED: usize = 5;
/// The revision of a freshly flashed slot, and its watchdog's seconds.
const FLASHED: (u32, u16) = (2, 60);

/// What a release is to differ by.
#[derive(Debug, Clone)]
pub enum Change {
    /// A file with this content instead of what is there.
    File(&'static str, Vec<u8>),
    /// A link to there instead of what is there.
    Link(&'static str, &'static str),
    /// Nothing.
    Without(&'static str),
}

/// A workshop for releases of one image.
#[derive(Debug)]
pub struct Workshop {
    image: PathBuf,
    keys: PathBuf,
    place: tempfile::TempDir,
}

impl Workshop {
    /// For the image in the directory `image`, with the development keys in `keys`.
    ///
    /// # Errors
    /// When there is no room.
    pub fn new(image: &Path, keys: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            image: image.to_owned(),
            keys: keys.to_owned(),
            place: tempfile::Builder::new().prefix("rap-releases-").tempdir()?,
        })
    }

    /// The repository's folder.
    #[must_use]
    pub fn repository(&self) -> PathBuf {
        self.place.path().join("repository")
    }

    /// Makes release `version`; its folder has what `publish` reads.
    ///
    /// # Errors
    /// When the image is none of the builder's.
    pub fn make(&self, version: &str, changes: &[Change]) -> anyhow::Result<PathBuf> {
        self.make_of(&self.uki()?, version, changes)
    }

    /// The image.
    ///
    /// # Errors
    /// When there is none.
    pub fn uki(&self) -> anyhow::Result<Vec<u8>> {
        fs::read(self.image.join(UKI)).context("there is no image")
    }

    /// As [`Self::make`], of the image `uki`.
    ///
    /// # Errors
    /// When the image is none of the builder's.
    pub fn make_of(&self, uki: &[u8], version: &str, changes: &[Change]) -> anyhow::Result<PathBuf> {
        let made = self.remake(uki, version, changes)?;
        self.shelve(&made, version)
    }

    /// Puts a signed UKI, as it is, where `publish` reads it: in a folder called `version`, with what it is made of.
    ///
    /// # Errors
    /// When the image is none of the builder's.
    pub fn shelve(&self, uki: &[u8], version: &str) -> anyhow::Result<PathBuf> {
        let folder = self.place.path().join(version);
        fs::create_dir_all(&folder)?;
        let bill = bill(&verify::read_uki(uki)?);
        fs::write(folder.join("sbom.cdx.json"), bill.to_string())?;
        fs::write(folder.join(UKI), uki)?;
        Ok(folder)
    }

    /// Makes a disk with the release in `folder` in slot A, in the same folder, beside the image's firmware.
    ///
    /// # Errors
    /// When there is no room.
    pub fn flash(&self, folder: &Path) -> anyhow::Result<()> {
        let path = folder.join(DISK);
        rap_qemu::disk::copy_sparse(&self.image.join(DISK), &path, Table::fresh_disk_bytes())?;
        std::os::unix::fs::symlink(fs::canonicalize(self.image.join("ovmf"))?, folder.join("ovmf"))?;
        let disk = fs::File::options().read(true).write(true).open(&path)?;
        let slot = Table::read(&disk, disk.metadata()?.len())?
            .partition(Place::SlotA)
            .offset();
        let uki = fs::read(folder.join(UKI))?;
        let (revision, watchdog) = FLASHED;
        for extent in slot_image(&uki, Label::A, &Label::A.confirmed(revision, watchdog))?.extents {
            disk.write_all_at(&extent.bytes, slot + extent.offset)?;
        }
        Ok(())
    }

    /// Publishes the release in `folder`; `change` may ask for more.
    ///
    /// # Errors
    /// As [`publish::publish`].
    pub fn publish(
        &self,
        folder: &Path,
        patcher: Option<Patcher<'_>>,
        change: impl FnOnce(&mut publish::Order),
    ) -> anyhow::Result<Outcome> {
        let mut order = publish::Order {
            repository: self.repository(),
            keys: self.keys.clone(),
            images: vec![Input {
                path: folder.to_owned(),
                sbom: None,
            }],
            number: None,
            version: None,
            minimum: 0,
            memory_mib: None,
            changes: vec!["Made for a test.".to_owned()],
            waves: Vec::new(),
            patches: 2,
            level: 3,
            now: jiff::Timestamp::now(),
            expiry: publish::Expiry::default(),
        };
        change(&mut order);
        Ok(publish::publish(
            &order,
            patcher,
            &Passphrase::usual(None),
            &|_| (),
        )?)
    }

    fn remake(&self, uki: &[u8], version: &str, changes: &[Change]) -> anyhow::Result<Vec<u8>> {
        let program = Program::parse(uki)?;
        let text = |name| Ok::<_, anyhow::Error>(std::str::from_utf8(program.required(name)?)?);
        let mut archives = cpio::read(program.required(".initrd")?)?;
        let mut all = changes.to_vec();
        let root = fs::read(self.keys.join(ROOT)).context("the keys have no root.json; make them anew")?;
        all.push(Change::File("etc/rap/update-root.json", root));
        if let Some(programs) = std::env::var_os(PROGRAMS) {
            for (path, name) in [("usr/bin/rap", "rap"), ("usr/bin/rap-tls", "rap-tls")] {
                all.insert(0, Change::File(path, fs::read(Path::new(&programs).join(name))?));
            }
            for (path, name) in [("etc/passwd", "passwd"), ("etc/group", "group")] {
                let users = fs::read(Path::new(&programs).join(name));
                all.extend(users.map(|users| Change::File(path, users)));
            }
        }
        let found = archives.iter().flatten().find(|entry| entry.path == BUILD);
        let Some(Kind::File(build)) = found.map(|entry| &entry.kind) else {
            anyhow::bail!("the image does not say what it is");
        };
        let before: BuildInfo = serde_json::from_slice(build)?;
        let identity = format!("{} {version} {all:?}", before.build_id);
        let after = BuildInfo {
            version: version.to_owned(),
            build_id: Sha256::of(identity.as_bytes()).to_string(),
            ..before.clone()
        };
        all.push(Change::File(BUILD, serde_json::to_vec_pretty(&after)?));
        for change in &all {
            apply(&mut archives, change);
        }
        let mut writer = cpio::Writer::new(u32::try_from(before.built)?);
        for entries in archives {
            let owner = String::new();
            writer.archive(&Part { owner, entries })?;
        }
        let os_release = text(".osrel")?
            .replace(&before.build_id, &after.build_id)
            .replace(&before.version, version);
        let made = uki::compose(&uki::Ingredients {
            stub: &stub(uki, &program)?,
            os_release: &os_release,
            command_line: text(".cmdline")?,
            kernel_version: text(".uname")?,
            kernel: program.required(".linux")?,
            initramfs: &writer.finish(),
        })?;
        Ok(sign(&made, &Signer::load(&self.keys, PROGRAM_KEY)?)?)
    }
}

/// What `rap-image sbom` would say of an image, as far as publishing holds it against it.
fn bill(found: &FoundUki) -> Value {
    let hash = |content: &str| json!([{ "alg": "SHA-256", "content": content }]);
    let packages = found.packages.iter().map(|package| {
        json!({
            "type": "library", "bom-ref": format!("deb:{}", package.name), "name": package.name, "version": package.version,
        })
    });
    let programs = found.programs.iter().map(|program| {
        json!({
            "type": "application", "bom-ref": format!("program:{}", program.name()), "name": program.name(),
            "hashes": hash(&program.sha256),
        })
    });
    let inventories = found
        .programs
        .iter()
        .filter_map(|program| program.crates.as_ref());
    let crates = inventories
        .flat_map(|inventory| inventory.compiled_in())
        .filter(|krate| !krate.root);
    let crates: std::collections::BTreeMap<String, Value> = crates
        .map(|krate| {
            let reference = format!("crate:{}@{}", krate.name, krate.version);
            let component = json!({
                "type": "library", "bom-ref": reference, "name": krate.name, "version": krate.version,
            });
            (reference, component)
        })
        .collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6",
        "serialNumber": "urn:uuid:00000000-0000-4000-8000-000000000000", "version": 1, "dependencies": [],
        "compositions": [], "components": packages.chain(programs).chain(crates.into_values()).collect::<Vec<_>>(),
        "metadata": {
            "timestamp": "2026-01-01T00:00:00Z", "tools": { "components": [] },
            "component": {
                "type": "operating-system", "bom-ref": "image", "name": "rap", "version": found.info.version,
                "hashes": hash(&found.sha256),
                "properties": [
                    { "name": "rap:build-id", "value": found.info.build_id },
                    { "name": "rap:unsigned-digest", "value": found.unsigned_digest },
                ],
            },
        },
    })
}

/// The program that the UKI's sections were added to, unsigned.
fn stub(uki: &[u8], program: &Program<'_>) -> anyhow::Result<Vec<u8>> {
    let own = program
        .sections
        .len()
        .checked_sub(ADDED)
        .context("too few sections")?;
    ensure!(
        program.sections[own].name == ".osrel",
        "the sections are in another order"
    );
    let mut stub = uki[..program.sections[own].raw.start].to_vec();
    let pe = u32::from_le_bytes(stub[0x3c..0x40].try_into()?) as usize;
    stub[pe + 6..pe + 8].copy_from_slice(&u16::try_from(own)?.to_le_bytes());
    // The directory's entry for the signature.
    stub[pe + 24 + 112 + 32..pe + 24 + 112 + 40].fill(0);
    Ok(stub)
}

/// Makes a change where the path is; a new one goes before the very last file, the sentinel.
fn apply(archives: &mut [Vec<Entry>], change: &Change) {
    let (path, kind) = match change {
        Change::File(path, content) => (*path, Some(Kind::File(content.clone()))),
        Change::Link(path, target) => (*path, Some(Kind::Link((*target).to_owned()))),
        Change::Without(path) => (*path, None),
    };
    let mut mode = 0o644;
    let mut place = None;
    for (number, entries) in archives.iter_mut().enumerate() {
        if let Some(at) = entries.iter().position(|entry| entry.path == path) {
            mode = entries.remove(at).mode;
            place = Some((number, at));
        }
    }
    let Some(kind) = kind else { return };
    let (number, at) = place.unwrap_or_else(|| {
        let last = archives.len().saturating_sub(1);
        (
            last,
            archives
                .last()
                .map_or(0, |entries| entries.len().saturating_sub(1)),
        )
    });
    let entry = Entry {
        path: path.to_owned(),
        mode: if matches!(kind, Kind::Link(_)) {
            0o777
        } else {
            mode
        },
        kind,
        reason: String::new(),
    };
    if let Some(entries) = archives.get_mut(number) {
        entries.insert(at, entry);
    }
}

//! Composing the image: parts, core and kernel become the initramfs, the UKI and the disk. Pure: bytes in, bytes out.
//!
//! The order of the initramfs is the order of the parts, then the core's archive: what changes most often is at the
//! end, and the sentinel is the very last file.

use std::collections::BTreeSet;

use rap_core::boot::disk::{self, DiskError, Place};
use rap_core::boot::fat::Volume;
use rap_core::boot::slot::{self, Label, SlotError};
use rap_core::build_info::BuildInfo;

use crate::hermetic::Core;
use rap_core::digest::Hasher;
use serde::{Deserialize, Serialize};

use crate::cpio::{self, CpioError};
use crate::fips;
use crate::payload::{Entry, Kind, Part};
use crate::uki::{self, UkiError};

/// Where the list of parts and packages is in the image.
pub const CONTENTS: &str = "etc/rap/packages.json";
/// The owner of the core's part.
pub const CORE: &str = "rap";
/// [`rap_core::paths::UPDATE_ROOT`] as a path of the initramfs.
pub const UPDATE_ROOT: &str = "etc/rap/update-root.json";
/// [`rap_core::paths::SENTINEL`] as a path of the initramfs.
const SENTINEL: &str = ".complete";
const REVISION: u32 = 2;

/// Why an image cannot be composed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Two parts have the same path.
    #[error("`{path}` is in {first} and again in {second}; leave it out of one of them")]
    Twice {
        /// The path.
        path: String,
        /// The owner that came first.
        first: String,
        /// The other owner.
        second: String,
    },
    /// The build time is beyond what an archive can say.
    #[error("the build time {0} is not between 1970 and 2106")]
    Time(u64),
    /// The initramfs.
    #[error("cannot write the initramfs")]
    Initramfs(#[source] CpioError),
    /// The UKI.
    #[error("cannot make the unified kernel image")]
    Uki(#[source] UkiError),
    /// A slot.
    #[error("cannot make the slot")]
    Slot(#[source] SlotError),
    /// The disk.
    #[error("cannot make the disk image")]
    Disk(#[source] DiskError),
}

/// A package something of the image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What is in an image, as the image itself says: `etc/rap/packages.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The owners of the archives, in their order.
    pub parts: Vec<String>,
    /// The packages, by name.
    pub packages: Vec<Package>,
}

/// Everything an image is made from.
#[derive(Debug)]
pub struct Ingredients {
    /// Version, overlays, build time and the rest; the build id is computed here and replaces what is there.
    pub info: BuildInfo,
    /// The files of packages and overlays, in the order of their archives.
    pub parts: Vec<Part>,
    /// The packages they come from, by name.
    pub packages: Vec<Package>,
    /// The TUF root the image trusts; without one it cannot update itself.
    pub update_root: Option<Vec<u8>>,
    /// Our own programs.
    pub core: Core,
    /// The kernel.
    pub kernel: Vec<u8>,
    /// Its release, as `uname -r` will say.
    pub kernel_version: String,
    /// Its command line.
    pub command_line: String,
    /// systemd's stub.
    pub stub: Vec<u8>,
    /// EFI Boot Guard.
    pub loader: Vec<u8>,
    /// Seconds until the loader's watchdog resets a boot that does not get to init; 0 arms none.
    pub watchdog_seconds: u16,
}

/// A composed image.
#[derive(Debug)]
pub struct Image {
    /// What it says of itself.
    pub info: BuildInfo,
    /// `RAP.EFI`; unsigned when it was just composed.
    pub uki: Vec<u8>,
    /// What it is made of, in the order in which it lies in the UKI.
    pub shares: Vec<Share>,
    /// The TUF root in it.
    pub update_root: Option<Vec<u8>>,
}

/// How much of the UKI something is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// What.
    pub name: String,
    /// Bytes of it.
    pub bytes: usize,
}

/// Composes the image.
///
/// # Errors
/// When a path is there twice, or what the ingredients give breaks a format's rules.
pub fn compose(ingredients: &Ingredients) -> Result<Image, ImageError> {
    let info = BuildInfo {
        build_id: build_id(ingredients),
        ..ingredients.info.clone()
    };
    let time = u32::try_from(info.built).map_err(|_| ImageError::Time(info.built))?;
    let core = core_part(ingredients, &info);
    let parts = || ingredients.parts.iter().chain([&core]);
    refuse_twice(parts())?;

    let mut shares = vec![
        share("stub", ingredients.stub.len()),
        share("kernel", ingredients.kernel.len()),
    ];
    let mut writer = cpio::Writer::new(time);
    for part in parts() {
        let before = writer.len();
        writer.archive(part).map_err(ImageError::Initramfs)?;
        shares.push(share(&part.owner, writer.len() - before));
    }
    let uki = uki::compose(&uki::Ingredients {
        stub: &ingredients.stub,
        os_release: &os_release(&info),
        command_line: &ingredients.command_line,
        kernel_version: &ingredients.kernel_version,
        kernel: &ingredients.kernel,
        initramfs: &writer.finish(),
    })
    .map_err(ImageError::Uki)?;
    let update_root = ingredients.update_root.clone();
    Ok(Image {
        info,
        uki,
        shares,
        update_root,
    })
}

/// The fresh disk's volumes: the loader, slot A with the image, confirmed, and a vacant slot B.
///
/// # Errors
/// When the loader or the UKI does not fit.
pub fn volumes<'a>(
    loader: &'a [u8],
    uki: &'a [u8],
    watchdog_seconds: u16,
) -> Result<Vec<(Place, Volume<'a>)>, ImageError> {
    let environment = Label::A.confirmed(REVISION, watchdog_seconds);
    let slot = slot::slot_image(uki, Label::A, &environment).map_err(ImageError::Slot)?;
    let vacant = slot::slot_image(&[], Label::B, &Label::B.vacant()).map_err(ImageError::Slot)?;
    let esp = disk::esp(loader).map_err(ImageError::Disk)?;
    Ok(vec![
        (Place::Esp, esp),
        (Place::SlotA, slot),
        (Place::SlotB, vacant),
    ])
}

/// SHA-256 over everything the image is made from, each piece preceded by its length.
fn build_id(ingredients: &Ingredients) -> String {
    let mut hash = Hasher::new();
    let mut piece = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    let info = BuildInfo {
        build_id: String::new(),
        ..ingredients.info.clone()
    };
    piece(&json(&info));
    for part in &ingredients.parts {
        piece(part.owner.as_bytes());
        for entry in &part.entries {
            piece(entry.path.as_bytes());
            piece(&entry.mode.to_le_bytes());
            match &entry.kind {
                Kind::Directory => piece(b"d"),
                Kind::File(content) => piece(content),
                Kind::Link(target) => piece(target.as_bytes()),
            }
        }
    }
    piece(&json(&ingredients.packages));
    piece(ingredients.update_root.as_deref().unwrap_or_default());
    for (name, program) in &ingredients.core {
        piece(name.as_bytes());
        piece(program);
    }
    for bytes in [&ingredients.kernel, &ingredients.stub, &ingredients.loader] {
        piece(bytes);
    }
    piece(ingredients.command_line.as_bytes());
    piece(&ingredients.watchdog_seconds.to_le_bytes());
    hash.finish().to_string()
}

fn core_part(ingredients: &Ingredients, info: &BuildInfo) -> Part {
    let parts = ingredients
        .parts
        .iter()
        .map(|part| part.owner.clone())
        .chain([CORE.to_owned()])
        .collect();
    let contents = Contents {
        parts,
        packages: ingredients.packages.clone(),
    };
    let known: BTreeSet<&str> = ingredients
        .parts
        .iter()
        .flat_map(|part| &part.entries)
        .map(|entry| entry.path.as_str())
        .collect();
    let folders = ["etc", "etc/rap", "usr", "usr/bin"]
        .into_iter()
        .filter(|folder| !known.contains(folder));
    let entry = |path: &str, mode, kind| Entry {
        path: path.to_owned(),
        mode,
        kind,
        reason: core_reason(path)
            .unwrap_or("holds the appliance's own files")
            .to_owned(),
    };
    let mut entries: Vec<Entry> = folders
        .map(|folder| entry(folder, 0o755, Kind::Directory))
        .collect();
    entries.extend([
        entry("etc/rap/build.json", 0o644, Kind::File(json(info))),
        entry(CONTENTS, 0o644, Kind::File(json(&contents))),
        entry("init", 0o777, Kind::Link("usr/bin/rap".to_owned())),
        entry("usr/bin/rapctl", 0o777, Kind::Link("rap".to_owned())),
    ]);
    if let Some(module) = fips::module(&ingredients.parts) {
        entries.push(entry(
            fips::CONFIGURATION,
            0o644,
            Kind::File(fips::configuration(module)),
        ));
    }
    if let Some(root) = &ingredients.update_root {
        entries.push(entry(UPDATE_ROOT, 0o644, Kind::File(root.clone())));
    }
    for (name, program) in &ingredients.core {
        entries.push(entry(
            &format!("usr/bin/{name}"),
            0o755,
            Kind::File(program.clone()),
        ));
    }
    entries.push(entry(SENTINEL, 0o444, Kind::File(Vec::new())));
    Part {
        owner: CORE.to_owned(),
        entries,
    }
}

/// Why a file of the core's part is there.
#[must_use]
pub fn core_reason(path: &str) -> Option<&'static str> {
    Some(match path {
        "etc/rap/build.json" => "what the image says of itself",
        CONTENTS => "what the image is made from, for `rap-image verify`",
        fips::CONFIGURATION => {
            "the tunnel uses OpenSSL's FIPS provider alone, and this is the checksum of its module"
        }
        UPDATE_ROOT => "whose updates the image takes: root.json of the directory given by --keys",
        "init" => "the kernel starts it as the first process",
        "usr/bin/rap" => "the appliance's program: process 1, the network, rapctl",
        "usr/bin/rap-tls" => "the appliance's services that speak TLS",
        "usr/bin/rapctl" => "the appliance's program under the name of its control command",
        SENTINEL => "the last file: init refuses to run without it, because then others are missing too",
        _ => return None,
    })
}

fn refuse_twice<'a>(parts: impl Iterator<Item = &'a Part>) -> Result<(), ImageError> {
    let mut owners = std::collections::BTreeMap::new();
    for part in parts {
        for entry in &part.entries {
            if let Some(first) = owners.insert(entry.path.as_str(), part.owner.as_str()) {
                let (first, second) = (first.to_owned(), part.owner.clone());
                return Err(ImageError::Twice {
                    path: entry.path.clone(),
                    first,
                    second,
                });
            }
        }
    }
    Ok(())
}

fn os_release(info: &BuildInfo) -> String {
    let BuildInfo {
        version, build_id, ..
    } = info;
    format!(
        "ID=rap\nNAME=\"RAP\"\nPRETTY_NAME=\"RAP {version}\"\nVERSION_ID={version}\nBUILD_ID={build_id}\n"
    )
}

fn share(name: &str, bytes: usize) -> Share {
    Share {
        name: name.to_owned(),
        bytes,
    }
}

/// Plain data of ours, as JSON on lines of its own; such types cannot fail to serialize.
fn json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn ingredients() -> Ingredients {
        let file = |path: &str| Entry {
            path: path.to_owned(),
            mode: 0o644,
            kind: Kind::File(b"x".to_vec()),
            reason: String::new(),
        };
        Ingredients {
            info: BuildInfo {
                version: "0.1.0".to_owned(),
                build_id: "to be replaced".to_owned(),
                built: 1_700_000_000,
                overlays: vec!["base".to_owned()],
                fips: true,
                development: false,
            },
            parts: vec![Part {
                owner: "hello 1.0".to_owned(),
                entries: vec![file("hello")],
            }],
            packages: vec![Package {
                name: "hello".to_owned(),
                version: "1.0".to_owned(),
            }],
            update_root: None,
            core: Core::from([("rap", b"core".to_vec())]),
            kernel: b"kernel".to_vec(),
            kernel_version: "6.12".to_owned(),
            command_line: "panic=-1".to_owned(),
            stub: crate::uki::tests::stub(),
            loader: b"loader".to_vec(),
            watchdog_seconds: 60,
        }
    }

    #[test]
    fn the_sentinel_is_the_very_last_file() {
        let image = compose(&ingredients()).unwrap();
        let initramfs = uki::Program::parse(&image.uki)
            .unwrap()
            .required(".initrd")
            .unwrap();
        let archives = cpio::read(initramfs).unwrap();
        let owners = image
            .shares
            .iter()
            .map(|share| share.name.as_str())
            .collect::<Vec<_>>();
        assert_eq!(owners, ["stub", "kernel", "hello 1.0", "rap"]);
        assert_eq!(archives.len(), 2);
        assert_eq!(
            format!("/{}", archives[1].last().unwrap().path),
            rap_core::paths::SENTINEL
        );
    }

    #[test]
    fn the_root_of_updates_is_where_the_box_looks_for_it() {
        let mut with = ingredients();
        with.update_root = Some(b"{}".to_vec());
        let image = compose(&with).unwrap();
        let initramfs = uki::Program::parse(&image.uki)
            .unwrap()
            .required(".initrd")
            .unwrap();
        let entries = cpio::read(initramfs).unwrap().concat();
        let root = entries
            .iter()
            .find(|entry| format!("/{}", entry.path) == rap_core::paths::UPDATE_ROOT)
            .unwrap();
        assert_eq!(root.kind, Kind::File(b"{}".to_vec()));
        assert_eq!(image.update_root.as_deref(), Some(&b"{}"[..]));
    }

    #[test]
    fn the_build_id_follows_from_everything_and_from_nothing_else() {
        let id = |change: &dyn Fn(&mut Ingredients)| {
            let mut changed = ingredients();
            change(&mut changed);
            compose(&changed).unwrap().info.build_id
        };
        let same = id(&|_| ());
        assert_eq!(same.len(), 64);
        assert_eq!(id(&|with| with.info.build_id = "other".to_owned()), same);
        let changes: [&dyn Fn(&mut Ingredients); 7] = [
            &|with| with.update_root = Some(b"{}".to_vec()),
            &|with| drop(with.core.insert("rap-tls", Vec::new())),
            &|with| with.kernel.push(0),
            &|with| with.command_line.push('x'),
            &|with| with.parts[0].entries[0].mode = 0o600,
            &|with| with.info.built += 1,
            &|with| with.packages[0].version.push('1'),
        ];
        for (number, change) in changes.iter().enumerate() {
            assert_ne!(id(change), same, "change {number}");
        }
    }

    #[test]
    fn a_path_in_two_parts_names_both() {
        let mut twice = ingredients();
        twice.parts.push(Part {
            owner: "other 2".to_owned(),
            entries: twice.parts[0].entries.clone(),
        });
        let error = compose(&twice).unwrap_err().to_string();
        assert_eq!(
            error,
            "`hello` is in hello 1.0 and again in other 2; leave it out of one of them"
        );
    }
}

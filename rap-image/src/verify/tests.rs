use std::os::unix::fs::FileExt;

use super::*;
use crate::image::{self, compose, volumes};
use crate::output::Staging;
use crate::uki;

/// An image on disk, and the UKI in it.
pub(crate) fn example() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let mut ingredients = image::tests::ingredients();
    ingredients.loader = uki::tests::stub();
    let image = compose(&ingredients).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut staging = Staging::new(folder.path()).unwrap();
    let volumes = volumes(&ingredients.loader, &image.uki, 60).unwrap();
    let volumes: Vec<_> = volumes.iter().map(|(place, volume)| (*place, volume)).collect();
    staging.disk("disk.img", &volumes).unwrap();
    staging.file("rap.efi", &image.uki).unwrap();
    staging.publish().unwrap();
    let path = folder.path().join("disk.img");
    (folder, path, image.uki)
}

/// What reading says after some bytes of the disk were changed.
fn after(offset: u64, bytes: &[u8]) -> VerifyError {
    let (_folder, path, _) = example();
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(bytes, offset).unwrap();
    read(&path).unwrap_err()
}

#[test]
fn what_was_built_is_found() {
    let (folder, path, uki) = example();
    let found = read(&path).unwrap();
    assert_eq!(found.partitions.len(), 5);
    assert_eq!(
        (found.slots[0].revision, found.slots[0].state.as_str()),
        (2, "ok")
    );
    assert_eq!((found.slots[1].revision, found.slots[1].uki_bytes), (0, 0));
    assert_eq!(found.uki.bytes, uki.len());
    assert_eq!(found.uki.parts[0].owner, "hello 1.0");
    assert_eq!(found.uki.parts[0].paths, ["hello"]);
    assert_eq!(found.uki.packages[0].name, "hello");
    let alone = read(&folder.path().join("rap.efi")).unwrap();
    assert_eq!(alone.uki.unsigned_digest, found.uki.unsigned_digest);
    assert!(
        found
            .to_string()
            .contains("part       hello 1.0  1 files, 1 bytes"),
        "{found}"
    );
}

#[test]
fn a_strangers_image_is_explained() {
    let root = br#"{"signed":{"_type":"root","version":3,"expires":"2030-01-01T00:00:00Z",
        "roles":{"root":{"keyids":["a","b","c"],"threshold":2}}},"signatures":[]}"#;
    let mut ingredients = image::tests::ingredients();
    let said = |ingredients: &image::Ingredients| {
        let uki = read_uki(&compose(ingredients).unwrap().uki).unwrap();
        let found = Found {
            installer: None,
            partitions: Vec::new(),
            loader: None,
            slots: Vec::new(),
            uki,
        };
        found.to_string()
    };
    let text = said(&ingredients);
    assert!(text.contains("updates    none: no root of trust"), "{text}");
    assert!(
        text.contains("made       for use, with the FIPS module"),
        "{text}"
    );
    assert!(
        text.contains("/usr/bin/rap  4 bytes, does not say which crates"),
        "{text}"
    );
    ingredients.info.development = true;
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let crates = crate::auditable::inventory("0rap-core v1 (/x)", "0rap-core v1 (/x)").unwrap();
    let program = crate::auditable::attach(&program, &crates.encode().unwrap()).unwrap();
    ingredients.core = crate::hermetic::Core::from([("rap", program)]);
    let mut entry = ingredients.parts[0].entries[0].clone();
    entry.path = UPDATE_ROOT.to_owned();
    entry.kind = Kind::File(root.to_vec());
    ingredients.parts[0].entries.insert(0, entry);
    let text = said(&ingredients);
    assert!(
        text.contains("by root 3, which expires \"2030-01-01T00:00:00Z\"; \"root\" 2 of 3"),
        "{text}"
    );
    assert!(
        text.contains("made       for development only: with the host's tools"),
        "{text}"
    );
    assert!(
        text.contains(" bytes, 1 crates; ") && text.contains("rustc version"),
        "{text}"
    );
}

#[test]
fn packages_of_another_lock_are_named() {
    let (_folder, path, _) = example();
    let uki = read(&path).unwrap().uki;
    let lock = |version: &str| {
        let text = format!(
            "version = 1\nsuite = []\n[[package]]\nname = \"hello\"\nversion = \"{version}\"\narchive = \"main\"\npath = \"a\"\n\
             sha256 = \"{}\"\nsize = 1\ngroups = [\"image\"]\n",
            Sha256::of(b"x")
        );
        let place = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(place.path(), text).unwrap();
        crate::lock::Lock::read(place.path()).unwrap()
    };
    assert_eq!(uki.not_locked(&lock("1.0")), Vec::<String>::new());
    assert_eq!(
        uki.not_locked(&lock("1.1")),
        ["hello 1.0 is in the image, 1.1 in the lock"]
    );
}

#[test]
fn a_truncated_image_says_so() {
    let (folder, path, _) = example();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(100 << 20)
        .unwrap();
    assert!(matches!(read(&path), Err(VerifyError::Truncated { .. })));
    let uki = folder.path().join("rap.efi");
    let file = File::options().write(true).open(&uki).unwrap();
    file.set_len(file.metadata().unwrap().len() - 4096).unwrap();
    assert!(matches!(read(&uki), Err(VerifyError::Uki(UkiError::Size { .. }))));
    std::fs::write(&uki, "a text").unwrap();
    assert!(matches!(read(&uki), Err(VerifyError::Neither(_))));
    assert!(matches!(read(Path::new("/nowhere")), Err(VerifyError::Read(..))));
}

#[test]
fn damage_is_told_apart() {
    let slot = Table::fresh().partition(disk::Place::SlotA).offset();
    let uki_bytes = u64::try_from(example().2.len()).unwrap();
    let layout = rap_core::boot::slot::Layout::of(uki_bytes).unwrap();
    let partition = "rap-a";
    let environment = after(slot + layout.environment.start + 2000, b"x");
    assert!(matches!(environment, VerifyError::Environment(name, _) if name == partition));
    let sentinel = after(slot + layout.uki.end - 4096, &[0; 4096]);
    assert!(matches!(sentinel, VerifyError::Initramfs(_)), "{sentinel}");
    let table = after(slot + 32 * 512 + 400 * 512, b"x");
    assert!(
        matches!(
            table,
            VerifyError::Differs {
                partition: "rap-a",
                ..
            }
        ),
        "{table}"
    );
    let boot_sector = after(slot, &[0; 512]);
    assert!(
        matches!(
            boot_sector,
            VerifyError::FileSystem {
                partition: "rap-a",
                ..
            }
        ),
        "{boot_sector}"
    );
}

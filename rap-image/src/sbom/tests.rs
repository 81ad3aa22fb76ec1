//! A small image with a package, a program and two crates, one of them with C code in it.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use rap_core::build_info::BuildInfo;

use super::*;
use crate::archive::Archive;
use crate::auditable::Use;
use crate::deb::tests::{Piece, deb_of};
use crate::image;
use crate::lock::{Group, Package};

const COPYRIGHT: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n\
                         Files: *\nLicense: GPL-2+\n\nFiles: b\nLicense: Expat or ISC\n";
const ZSTD: &str =
    "#define ZSTD_VERSION_MAJOR    1\n#define ZSTD_VERSION_MINOR    5\n#define ZSTD_VERSION_RELEASE  7\n";

struct World {
    place: tempfile::TempDir,
    lock: Lock,
    store: Store,
    registry: Registry,
    uki: FoundUki,
}

impl World {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let store = Store::open(&place.path().join("store")).unwrap();
        let hello = deb_of(&[Piece::File(
            "usr/share/doc/hello/copyright",
            0o644,
            COPYRIGHT.as_bytes(),
        )]);
        let linked = deb_of(&[Piece::Link("usr/share/doc/libhello1", "hello")]);
        let free = deb_of(&[Piece::File(
            "usr/share/doc/free/copyright",
            0o644,
            b"Do what you like.",
        )]);
        let packages = vec![
            locked(
                &store,
                "hello",
                "1:1.0-1+b2",
                "pool/main/h/hello/hello_1.0-1+b2_amd64.deb",
                &hello,
            ),
            locked(
                &store,
                "libhello1",
                "1.0-1",
                "pool/main/h/hello/libhello1_1.0-1_amd64.deb",
                &linked,
            ),
            locked(&store, "free", "3", "pool/main/f/free/free_3_all.deb", &free),
        ];
        let names = packages.iter().map(|package| image::Package {
            name: package.name.clone(),
            version: package.version.clone(),
        });
        let uki = uki(names.collect());
        let manifest = "[package]\nname = \"x\"\nlicense = \"MIT/Apache-2.0\"\n";
        let plain = crate_of(place.path(), "plain", "1.2.3", &[("Cargo.toml", manifest)]);
        let zstd = crate_of(
            place.path(),
            "zstd-sys",
            "2.0.0+zstd.1.5.7",
            &[("Cargo.toml", manifest), ("zstd/lib/zstd.h", ZSTD)],
        );
        let lock = format!(
            "version = 4\n[[package]]\nname = \"rap-core\"\nversion = \"0.1.0\"\n\
             [[package]]\nname = \"netfw\"\nversion = \"0.1.0\"\n\
             [[package]]\nname = \"plain\"\nversion = \"1.2.3\"\nchecksum = \"{plain}\"\n\
             [[package]]\nname = \"zstd-sys\"\nversion = \"2.0.0+zstd.1.5.7\"\nchecksum = \"{zstd}\"\n"
        );
        std::fs::write(place.path().join("Cargo.lock"), lock).unwrap();
        Self {
            registry: Registry::open(place.path(), place.path()).unwrap(),
            lock: Lock::new(Vec::new(), packages),
            store,
            uki,
            place,
        }
    }

    fn make(&self) -> Result<Bom, SbomError> {
        let origin = Origin {
            lock: &self.lock,
            store: &self.store,
            registry: &self.registry,
        };
        make(&self.uki, &origin)
    }
}

fn locked(store: &Store, name: &str, version: &str, path: &str, content: &[u8]) -> Package {
    let sha256 = Sha256::of(content);
    let place = store.path(&sha256);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(place, content).unwrap();
    Package {
        name: name.to_owned(),
        version: version.to_owned(),
        archive: Archive::Main,
        path: path.to_owned(),
        sha256,
        size: content.len() as u64,
        groups: [Group::Image].into(),
    }
}

/// Puts a crate into the registry below `place` and returns its checksum.
fn crate_of(place: &Path, name: &str, version: &str, files: &[(&str, &str)]) -> Sha256 {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        tar.append_data(
            &mut header,
            format!("{name}-{version}/{path}"),
            content.as_bytes(),
        )
        .unwrap();
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar.into_inner().unwrap()).unwrap();
    let bytes = gzip.finish().unwrap();
    let folder = place.join("registry/cache/somewhere");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{name}-{version}.crate")), &bytes).unwrap();
    Sha256::of(&bytes)
}

fn krate(name: &str, version: &str, source: &str, kind: Use, dependencies: &[usize]) -> Crate {
    Crate {
        name: name.to_owned(),
        version: version.to_owned(),
        source: source.to_owned(),
        kind,
        dependencies: dependencies.to_vec(),
        root: name == "rap-core",
    }
}

fn uki(packages: Vec<image::Package>) -> FoundUki {
    let inventory = Inventory {
        packages: vec![
            krate("cc", "1.0.0", "crates.io", Use::Build, &[]),
            krate("netfw", "0.1.0", "local", Use::Runtime, &[2]),
            krate("plain", "1.2.3", "crates.io", Use::Runtime, &[]),
            krate("rap-core", "0.1.0", "local", Use::Runtime, &[1, 4]),
            krate("zstd-sys", "2.0.0+zstd.1.5.7", "crates.io", Use::Runtime, &[0]),
        ],
    };
    FoundUki {
        bytes: 1,
        sha256: Sha256::of(b"uki").to_string(),
        unsigned_digest: Sha256::of(b"unsigned").to_string(),
        signed_by: None,
        sections: Vec::new(),
        command_line: String::new(),
        kernel_version: "6.12".to_owned(),
        info: BuildInfo {
            version: "0.1.0".to_owned(),
            build_id: Sha256::of(b"build").to_string(),
            built: 1_700_000_000,
            overlays: vec!["base".to_owned(), "qemu".to_owned()],
            fips: true,
            development: false,
        },
        parts: Vec::new(),
        packages,
        programs: vec![FoundProgram {
            path: "usr/bin/rap".to_owned(),
            bytes: 4,
            sha256: Sha256::of(b"program").to_string(),
            compilers: vec!["rustc version 1.95.0 (abc 2026-01-01)".to_owned()],
            crates: Some(inventory),
        }],
        update_root: None,
    }
}

fn part<'a>(bom: &'a Bom, reference: &str) -> &'a Component {
    let found = bom
        .components
        .iter()
        .find(|component| component.bom_ref == reference);
    found.unwrap_or_else(|| panic!("{reference} is not in {:?}", references(bom)))
}

fn references(bom: &Bom) -> Vec<&str> {
    bom.components
        .iter()
        .map(|component| component.bom_ref.as_str())
        .collect()
}

fn licence(component: &Component) -> String {
    serde_json::to_value(&component.licenses).unwrap()[0].to_string()
}

#[test]
fn every_part_is_named_with_what_is_known_of_it() {
    let world = World::new();
    let bom = world.make().unwrap();
    assert_eq!(
        references(&bom),
        [
            "c:zstd-sys@2.0.0+zstd.1.5.7/zstd",
            "crate:netfw@0.1.0",
            "crate:plain@1.2.3",
            "crate:std@1.95.0",
            "crate:zstd-sys@2.0.0+zstd.1.5.7",
            "deb:free",
            "deb:hello",
            "deb:libhello1",
            "program:rap",
        ]
    );
    let hello = part(&bom, "deb:hello");
    assert_eq!(
        hello.purl.as_deref(),
        Some("pkg:deb/debian/hello@1:1.0-1%2Bb2?arch=amd64&distro=trixie")
    );
    assert_eq!(
        licence(hello),
        r#"{"expression":"GPL-2.0-or-later AND (MIT OR ISC)"}"#
    );
    assert_eq!(
        hello.hashes[0].content,
        world.lock.package("hello").unwrap().sha256.to_string()
    );
    let linked = part(&bom, "deb:libhello1");
    assert_eq!(
        licence(linked),
        licence(hello),
        "its folder of documents is a link to hello's"
    );
    assert!(linked.purl.as_deref().unwrap().ends_with("&upstream=hello"));
    let free = part(&bom, "deb:free");
    assert_eq!(licence(free), r#"{"license":{"name":"NOASSERTION"}}"#);
    assert_eq!(
        free.property("rap:copyright-sha256"),
        Some(Sha256::of(b"Do what you like.").to_string().as_str())
    );
    assert!(free.purl.as_deref().unwrap().contains("arch=all"));
    let zstd = part(&bom, "c:zstd-sys@2.0.0+zstd.1.5.7/zstd");
    assert_eq!(zstd.purl.as_deref(), Some("pkg:github/facebook/zstd@v1.5.7"));
    assert_eq!(
        licence(part(&bom, "crate:plain@1.2.3")),
        r#"{"expression":"MIT OR Apache-2.0"}"#
    );
    assert_eq!(
        part(&bom, "crate:netfw@0.1.0").purl,
        None,
        "a namesake in a registry is another crate"
    );
    assert_eq!(bom.metadata.timestamp, "2023-11-14T22:13:20Z");
}

#[test]
fn what_needs_what_follows_the_program_down_to_the_c_code() {
    let bom = World::new().make().unwrap();
    let needs = |of: &str| {
        let found = bom.dependencies.iter().find(|dependency| dependency.of == of);
        found
            .unwrap()
            .depends_on
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        needs("image"),
        ["deb:free", "deb:hello", "deb:libhello1", "program:rap"]
    );
    assert_eq!(
        needs("program:rap"),
        [
            "crate:netfw@0.1.0",
            "crate:std@1.95.0",
            "crate:zstd-sys@2.0.0+zstd.1.5.7"
        ]
    );
    assert_eq!(needs("crate:netfw@0.1.0"), ["crate:plain@1.2.3"]);
    assert_eq!(
        needs("crate:zstd-sys@2.0.0+zstd.1.5.7"),
        ["c:zstd-sys@2.0.0+zstd.1.5.7/zstd"],
        "and not what only its build script needs"
    );
}

#[test]
fn the_same_image_gives_the_same_bytes_and_another_another_serial_number() {
    let world = World::new();
    let json = world.make().unwrap().to_json().unwrap();
    assert_eq!(json, World::new().make().unwrap().to_json().unwrap());
    let mut other = World::new();
    other.uki.sha256 = Sha256::of(b"other").to_string();
    let serial = |json: &[u8]| {
        let value: serde_json::Value = serde_json::from_slice(json).unwrap();
        value["serialNumber"].as_str().unwrap().to_owned()
    };
    assert!(serial(&json).starts_with("urn:uuid:"));
    assert_ne!(serial(&json), serial(&other.make().unwrap().to_json().unwrap()));
}

#[test]
fn an_image_of_another_commit_names_what_is_not_in_this_one() {
    let said = |world: &World| format!("{:#}", anyhow::Error::from(world.make().unwrap_err()));
    let mut world = World::new();
    world.uki.packages[0].version = "9".to_owned();
    let text = said(&world);
    assert!(
        text.contains("hello 9") && text.contains("another lock"),
        "{text}"
    );
    let mut world = World::new();
    let crates = world.uki.programs[0].crates.as_mut().unwrap();
    crates.packages[2].version = "1.2.4".to_owned();
    let text = said(&world);
    assert!(
        text.contains("plain 1.2.4") && text.contains("another commit"),
        "{text}"
    );
    let mut world = World::new();
    world.uki.programs[0].crates = None;
    assert!(
        said(&world).contains("/usr/bin/rap does not say"),
        "{}",
        said(&world)
    );
    world.uki.programs.clear();
    assert!(said(&world).contains("none of our programs"), "{}", said(&world));
}

#[test]
fn a_crate_that_is_not_the_locked_one_is_not_believed() {
    let said = |world: &World| format!("{:#}", anyhow::Error::from(world.make().unwrap_err()));
    let world = World::new();
    let path = world
        .place
        .path()
        .join("registry/cache/somewhere/plain-1.2.3.crate");
    std::fs::write(&path, "changed").unwrap();
    assert!(said(&world).contains("Cargo.lock says"), "{}", said(&world));
    std::fs::remove_file(&path).unwrap();
    assert!(said(&world).contains("cargo fetch"), "{}", said(&world));
    let world = World::new();
    let text = ZSTD.replace("MINOR", "OTHER");
    let name = "zstd-sys-2.0.0+zstd.1.5.7";
    let hash = crate_of(
        world.place.path(),
        "zstd-sys",
        "2.0.0+zstd.1.5.7",
        &[
            ("Cargo.toml", "[package]\nname = \"x\"\n"),
            ("zstd/lib/zstd.h", &text),
        ],
    );
    let lock = std::fs::read_to_string(world.place.path().join("Cargo.lock")).unwrap();
    let (before, _) = lock.rsplit_once("checksum").unwrap();
    std::fs::write(
        world.place.path().join("Cargo.lock"),
        format!("{before}checksum = \"{hash}\"\n"),
    )
    .unwrap();
    let registry = Registry::open(world.place.path(), world.place.path()).unwrap();
    let world = World { registry, ..world };
    assert!(
        said(&world).contains("the version of the C code `zstd`"),
        "{name}: {}",
        said(&world)
    );
}

#[test]
fn a_bill_is_held_against_its_image_and_no_other() {
    let world = World::new();
    let path = world.place.path().join("sbom.cdx.json");
    std::fs::write(&path, world.make().unwrap().to_json().unwrap()).unwrap();
    let bom = read(&path).unwrap();
    assert_eq!(compare(&world.uki, &bom), []);
    let mut other = World::new().uki;
    other.sha256 = Sha256::of(b"other").to_string();
    other.packages.remove(0);
    other.packages[0].version = "2".to_owned();
    other.programs[0].crates.as_mut().unwrap().packages.remove(2);
    let said: Vec<String> = compare(&other, &bom).iter().map(ToString::to_string).collect();
    let expected = [
        "SHA-256: the image has",
        "deb:libhello1@2 is in the image, and not",
        "crate:plain@1.2.3 is in the bill",
        "deb:hello@1:1.0-1+b2 is in the bill",
        "deb:libhello1@1.0-1 is in the bill",
    ];
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with(expected), "{said}: {expected}");
    }
    std::fs::write(&path, "{}").unwrap();
    assert!(matches!(read(&path), Err(SbomError::Foreign(_))));
}

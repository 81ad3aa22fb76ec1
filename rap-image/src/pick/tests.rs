//! Picking from fabricated packages whose ELF files are this machine's own kind, written byte by byte.

use std::collections::BTreeSet;
use std::io::Write as _;

use super::*;
use crate::archive::Archive;
use crate::deb::tests::{Piece, deb_of};
use crate::lock::Package;
use crate::overlay::{Boot, Lab, Overlay, Wanted};
use crate::testing::{elf, kernel_module};
use rap_core::digest::Sha256;

struct Case {
    store: Store,
    packages: Vec<Package>,
    base: Overlay,
    _folder: tempfile::TempDir,
}

impl Case {
    /// A store with a kernel of three modules, a loader and a stub; nothing wanted yet.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let base = Overlay {
            name: "base".to_owned(),
            folder: folder.path().to_owned(),
            ..Overlay::default()
        };
        let mut case = Self {
            store,
            packages: Vec::new(),
            base,
            _folder: folder,
        };
        let module = |depends: &str| {
            let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
            xz.write_all(&kernel_module(depends)).unwrap();
            xz.finish().unwrap()
        };
        let modules = "./usr/lib/modules/6.1";
        case.package(
            "linux",
            Group::Kernel,
            &[
                Piece::File("./boot/vmlinuz-6.1", 0o644, b"kernel"),
                Piece::File(
                    &format!("{modules}/modules.builtin"),
                    0o644,
                    b"kernel/built-in.ko\n",
                ),
                Piece::File(
                    &format!("{modules}/kernel/fs/fs.ko.xz"),
                    0o644,
                    &module("depends=lib-x,built_in\0"),
                ),
                Piece::File(
                    &format!("{modules}/kernel/lib/lib-x.ko.xz"),
                    0o644,
                    &module("depends=\0"),
                ),
                Piece::File(
                    &format!("{modules}/kernel/dog.ko.xz"),
                    0o644,
                    &module("softdep=pre: lib_x gone\0"),
                ),
            ],
        );
        case.package(
            "boot",
            Group::Boot,
            &[
                Piece::File("./l", 0o644, b"loader"),
                Piece::File("./s", 0o644, b"stub"),
            ],
        );
        case
    }

    fn package(&mut self, name: &str, group: Group, pieces: &[Piece<'_>]) {
        let deb = deb_of(pieces);
        let sha256 = Sha256::of(&deb);
        let path = self.store.path(&sha256);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &deb).unwrap();
        self.packages.push(Package {
            name: name.to_owned(),
            version: "1".to_owned(),
            archive: Archive::Main,
            path: format!("pool/{name}.deb"),
            sha256,
            size: deb.len() as u64,
            groups: BTreeSet::from([group]),
        });
    }

    fn image(&mut self, name: &str, pieces: &[Piece<'_>]) {
        self.package(name, Group::Image, pieces);
    }

    fn want(&mut self, package: &str, files: &[&str]) {
        let files = files.iter().map(ToString::to_string).collect();
        self.base.packages.insert(
            package.to_owned(),
            Wanted {
                files,
                without: Vec::new(),
            },
        );
    }

    fn pick(&self) -> Result<Picked, Error> {
        let of = |file: &str| PackageFile {
            package: "boot".to_owned(),
            file: file.to_owned(),
        };
        let stack = Stack {
            overlays: vec![self.base.clone()],
            kernel: "linux".to_owned(),
            boot: Boot {
                loader: of("l"),
                stub: of("s"),
            },
            lab: Lab {
                code: of("l"),
                vars: of("l"),
                secure_code: of("l"),
            },
        };
        let suite = crate::lock::Suite {
            name: "trixie".to_owned(),
            date: "2026-11-21T09:15:44Z".parse().unwrap(),
            sha256: Sha256::of(b""),
        };
        pick(
            &stack,
            &Lock::new(vec![suite], self.packages.clone()),
            &self.store,
        )
    }

    fn refused(&self) -> String {
        self.pick().unwrap_err().to_string()
    }
}

/// `owner: path` of everything that is no folder.
fn paths(picked: &Picked) -> Vec<String> {
    let entries = picked
        .parts
        .iter()
        .flat_map(|part| part.entries.iter().map(move |entry| (part, entry)));
    let files = entries.filter(|(_, entry)| entry.kind != Kind::Directory);
    files
        .map(|(part, entry)| format!("{}: {}", part.owner, entry.path))
        .collect()
}

fn text<'a>(picked: &'a Picked, path: &str) -> &'a str {
    let entry = picked
        .parts
        .iter()
        .flat_map(|part| &part.entries)
        .find(|entry| entry.path == path)
        .unwrap();
    let Kind::File(content) = &entry.kind else {
        panic!("{path} is no file")
    };
    std::str::from_utf8(content).unwrap()
}

#[test]
fn libraries_follow_through_links_and_packages() {
    let mut case = Case::new();
    let program = elf(Some("/lib64/ld.so"), &["liba.so.1"]);
    case.image(
        "p",
        &[
            Piece::File("./usr/bin/p", 0o755, &program),
            Piece::File("./usr/bin/unwanted", 0o755, b"x"),
        ],
    );
    let lib = "./usr/lib/x86_64-linux-gnu";
    case.image(
        "liba",
        &[
            Piece::Link(&format!("{lib}/liba.so.1"), "liba.so.1.2"),
            Piece::File(&format!("{lib}/liba.so.1.2"), 0o644, &elf(None, &["libb.so"])),
        ],
    );
    case.image("libb", &[Piece::File("./lib/libb.so", 0o644, &elf(None, &[]))]);
    case.image(
        "libc",
        &[
            Piece::Link("./lib64/ld.so", "/lib/ld-real.so"),
            Piece::File("./lib/ld-real.so", 0o755, &elf(None, &[])),
        ],
    );
    case.want("p", &["usr/bin/p"]);
    let picked = case.pick().unwrap();
    assert_eq!(
        paths(&picked),
        [
            "liba 1: usr/lib/x86_64-linux-gnu/liba.so.1",
            "liba 1: usr/lib/x86_64-linux-gnu/liba.so.1.2",
            "libb 1: usr/lib/libb.so",
            "libc 1: usr/lib/ld-real.so",
            "libc 1: usr/lib64/ld.so",
            "p 1: usr/bin/p",
            "generated: etc/group",
            "generated: etc/passwd",
            "generated: etc/rap/modules",
        ]
    );
    let reasons: Vec<_> = picked
        .parts
        .iter()
        .flat_map(|part| &part.entries)
        .map(|entry| entry.reason.as_str())
        .collect();
    assert!(
        reasons.contains(&"library of usr/lib/x86_64-linux-gnu/liba.so.1.2"),
        "{reasons:?}"
    );
    assert_eq!(
        (picked.kernel.as_slice(), picked.kernel_version.as_str()),
        (&b"kernel"[..], "6.1")
    );
    assert_eq!(
        (picked.loader.as_slice(), picked.stub.as_slice()),
        (&b"loader"[..], &b"stub"[..])
    );
    assert_eq!(
        unmet(&picked.parts, "usr/bin/rap", &elf(None, &["libb.so", "libz.so"])).unwrap(),
        ["usr/lib/x86_64-linux-gnu/libz.so"]
    );
}

#[test]
fn every_folder_is_in_the_first_part_before_its_files() {
    let mut case = Case::new();
    case.image("p", &[Piece::File("./usr/share/p/x", 0o644, b"x")]);
    case.want("p", &["usr/share/p/x"]);
    case.base.directories.insert("tmp".to_owned(), 0o1777);
    let picked = case.pick().unwrap();
    let first: Vec<_> = picked.parts[0]
        .entries
        .iter()
        .map(|entry| (entry.path.as_str(), entry.mode))
        .collect();
    assert_eq!(picked.parts[0].owner, "layout");
    assert!(
        first.starts_with(&[
            ("etc", 0o755),
            ("etc/rap", 0o755),
            ("tmp", 0o1777),
            ("usr", 0o755)
        ]),
        "{first:?}"
    );
    let later = picked.parts[1..].iter().flat_map(|part| &part.entries);
    assert!(later.into_iter().all(|entry| entry.kind != Kind::Directory));
}

#[test]
fn modules_are_ordered_decompressed_and_watchdogs_come_first() {
    let mut case = Case::new();
    case.base.modules = vec!["fs".to_owned()];
    case.base.watchdogs = vec!["dog".to_owned()];
    let picked = case.pick().unwrap();
    let kernel = "/usr/lib/modules/6.1/kernel";
    let expected = format!("{kernel}/lib/lib-x.ko\n{kernel}/dog.ko\n{kernel}/fs/fs.ko\n");
    assert_eq!(text(&picked, "etc/rap/modules"), expected);
    assert!(
        picked
            .parts
            .iter()
            .flat_map(|part| &part.entries)
            .all(|entry| entry.path != "etc/rap/installer-modules")
    );
    let part = picked.parts.iter().find(|part| part.owner == "linux 1").unwrap();
    assert_eq!(part.entries[1].path, "usr/lib/modules/6.1/kernel/fs/fs.ko");
    assert_eq!(
        part.entries[1].kind,
        Kind::File(kernel_module("depends=lib-x,built_in\0"))
    );
}

#[test]
fn what_only_the_installer_loads_is_in_a_list_of_its_own() {
    let mut case = Case::new();
    case.base.modules = vec!["fs".to_owned()];
    case.base.installer_modules = vec!["fs".to_owned(), "dog".to_owned()];
    let picked = case.pick().unwrap();
    let kernel = "/usr/lib/modules/6.1/kernel";
    let own = format!("{kernel}/lib/lib-x.ko\n{kernel}/fs/fs.ko\n");
    assert_eq!(text(&picked, "etc/rap/modules"), own);
    assert_eq!(
        text(&picked, "etc/rap/installer-modules"),
        format!("{kernel}/dog.ko\n")
    );
}

#[test]
fn what_is_missing_is_named_with_who_wants_it() {
    let mut case = Case::new();
    case.image(
        "p",
        &[
            Piece::File("./usr/bin/p", 0o755, &elf(None, &["libgone.so"])),
            Piece::Link("./l", "gone"),
        ],
    );
    for (files, expected) in [
        (
            "usr/bin/p",
            "usr/bin/p needs \"libgone.so\", which no locked package of the image has; add its package to the overlay \
             that wants usr/bin/p",
        ),
        (
            "usr/sbin/p",
            "package p 1 has no \"usr/sbin/p\", wanted by overlays/base; it has usr/bin/p",
        ),
        (
            "l",
            "l is a link whose target \"gone\" is in none of the locked packages of the image",
        ),
    ] {
        case.want("p", &[files]);
        assert_eq!(case.refused(), expected);
    }
    case.base.packages.clear();
    case.base.modules = vec!["nix".to_owned()];
    assert_eq!(
        case.refused(),
        "the kernel has no module \"nix\", wanted by overlays/base; check its spelling"
    );
    case.base.modules.clear();
    case.want("q", &["x"]);
    assert_eq!(
        case.refused(),
        "the lock does not name package \"q\"; an overlay changed: run `rap-image lock`"
    );
}

#[test]
fn a_truncated_package_is_named() {
    let mut case = Case::new();
    case.image("p", &[Piece::File("./usr/bin/p", 0o755, &[7; 9000])]);
    case.want("p", &["usr/bin/p"]);
    // As if Debian itself had published half a file: hash and size of the lock fit.
    let package = case.packages.last_mut().unwrap();
    let deb = std::fs::read(case.store.path(&package.sha256)).unwrap();
    let half = &deb[..deb.len() - 30];
    package.sha256 = Sha256::of(half);
    let path = case.store.path(&package.sha256);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, half).unwrap();
    let error = case.pick().unwrap_err();
    assert_eq!(error.to_string(), "cannot open package p 1");
    assert!(
        matches!(error, Error::Package(_, deb::Error::Read(_))),
        "{error:?}"
    );
}

#[test]
fn an_overlay_replaces_a_packages_file_but_packages_may_not_differ() {
    let mut case = Case::new();
    case.image("p", &[Piece::File("./etc/x", 0o644, b"theirs")]);
    case.image("q", &[Piece::File("./etc/x", 0o644, b"others")]);
    case.want("p", &["etc/x"]);
    let root = case.base.folder.join("rootfs/etc");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("x"), "ours").unwrap();
    assert_eq!(text(&case.pick().unwrap(), "etc/x"), "ours");
    case.want("q", &["etc/x"]);
    assert_eq!(
        case.refused(),
        "etc/x is in p 1 and in q 1; let only one overlay have it"
    );
}

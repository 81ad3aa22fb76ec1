use std::io::Write as _;

use super::unpack::unpack;
use super::*;

/// What a fabricated package contains.
pub(crate) enum Piece<'a> {
    Folder(&'a str),
    File(&'a str, u32, &'a [u8]),
    Link(&'a str, &'a str),
    Hard(&'a str, &'a str),
}

/// A tar whose paths are written raw, so that hostile ones can be made.
pub(crate) fn tar_of(pieces: &[Piece<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for piece in pieces {
        let (path, kind, mode, content, target) = match piece {
            Piece::Folder(path) => (path, tar::EntryType::Directory, 0o755, &b""[..], ""),
            Piece::File(path, mode, content) => (path, tar::EntryType::Regular, *mode, *content, ""),
            Piece::Link(path, target) => (path, tar::EntryType::Symlink, 0o777, &b""[..], *target),
            Piece::Hard(path, target) => (path, tar::EntryType::Link, 0o755, &b""[..], *target),
        };
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut ar = MAGIC.to_vec();
    for (name, content) in members {
        writeln!(
            ar,
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`",
            0,
            0,
            0,
            100_644,
            content.len()
        )
        .unwrap();
        ar.extend_from_slice(content);
        if content.len() % 2 == 1 {
            ar.push(b'\n');
        }
    }
    ar
}

/// A package compressed as Debian does it today.
pub(crate) fn deb_of(pieces: &[Piece<'_>]) -> Vec<u8> {
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&tar_of(pieces)).unwrap();
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", b"odd"),
        ("data.tar.xz", &xz.finish().unwrap()),
    ])
}

#[test]
fn all_three_compressions_are_read() {
    let tar = tar_of(&[Piece::File("./usr/bin/x", 0o755, b"x")]);
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&tar).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&tar).unwrap();
    for (name, content) in [
        ("data.tar.xz", xz.finish().unwrap()),
        ("data.tar.zst", zstd::encode_all(&tar[..], 1).unwrap()),
        ("data.tar.gz", gz.finish().unwrap()),
    ] {
        let package = ar(&[
            ("debian-binary", b"2.0\n"),
            ("control.tar.xz", b"odd"),
            (name, &content),
        ]);
        let mut found = Vec::new();
        decompress(&package[..], &mut found).unwrap();
        assert_eq!(found, tar, "{name}");
    }
}

#[test]
fn damaged_packages_are_refused() {
    let whole = deb_of(&[Piece::File("./usr/bin/x", 0o755, &[7; 5000])]);
    let refused = |package: &[u8]| decompress(package, &mut io::sink()).unwrap_err();
    assert!(matches!(refused(b"PK"), Error::NotAPackage));
    assert!(matches!(refused(&whole[..70]), Error::Truncated(_)));
    assert!(matches!(refused(&whole[..100]), Error::Truncated(_)));
    assert!(matches!(refused(&whole[..whole.len() - 40]), Error::Read(_)));
    assert_eq!(
        refused(&ar(&[("debian-binary", b"2.0\n"), ("data.tar.bz2", b"")])).to_string(),
        "the package has no data.tar.xz, data.tar.zst or data.tar.gz (members: debian-binary, data.tar.bz2)"
    );
}

#[test]
fn paths_are_cleaned_and_merged() {
    for (raw, expected) in [
        ("./", ""),
        ("./usr/bin/", "usr/bin"),
        (
            "lib/x86_64-linux-gnu/libc.so.6",
            "usr/lib/x86_64-linux-gnu/libc.so.6",
        ),
        ("./bin", "usr/bin"),
        ("./library/x", "library/x"),
        ("a//b/./c", "a/b/c"),
    ] {
        assert_eq!(clean(raw.as_bytes()).unwrap(), expected, "{raw}");
    }
    for hostile in ["/etc/passwd", "../x", "a/../../b", "a\0b"] {
        assert!(
            matches!(clean(hostile.as_bytes()), Err(Error::HostilePath(_))),
            "{hostile}"
        );
    }
    assert!(matches!(clean(b"\xff"), Err(Error::HostilePath(_))));
}

#[test]
fn contents_are_listed_and_read() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&tar_of(&[
        Piece::Folder("./lib/"),
        Piece::File("./lib/a", 0o4755, b"content"),
        Piece::Link("./lib/b", "a"),
        Piece::Hard("./lib/c", "./lib/a"),
    ]))
    .unwrap();
    io::Seek::rewind(&mut file).unwrap();
    let contents = Contents::read(file).unwrap();
    assert_eq!(
        contents.paths().collect::<Vec<_>>(),
        ["usr/lib", "usr/lib/a", "usr/lib/b", "usr/lib/c"]
    );
    assert_eq!(contents.member("usr/lib/a").unwrap().mode, 0o4755);
    assert_eq!(
        contents.member("usr/lib/b").unwrap().kind,
        MemberKind::Link("a".to_owned())
    );
    assert_eq!(contents.content("usr/lib/c").unwrap(), b"content");
    assert!(contents.content("usr/lib").is_err());
}

#[test]
fn unpacking_keeps_modes_and_links_and_replaces() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let first = deb_of(&[
        Piece::Folder("./lib/"),
        Piece::File("./lib/a", 0o755, b"first"),
        Piece::Hard("./lib/b", "./lib/a"),
        Piece::Link("./lib/l", "a"),
    ]);
    let second = deb_of(&[
        Piece::Folder("./usr/lib/"),
        Piece::File("./usr/lib/a", 0o640, b"second"),
    ]);
    unpack(&first[..], &root).unwrap();
    let of = |path: &str| std::fs::symlink_metadata(root.join("usr/lib").join(path)).unwrap();
    assert_eq!(of("a").ino(), of("b").ino());
    assert_eq!(of("a").permissions().mode() & 0o777, 0o755);
    assert!(of("l").is_symlink());
    unpack(&second[..], &root).unwrap();
    assert_eq!(std::fs::read(root.join("usr/lib/a")).unwrap(), b"second");
    assert_eq!(std::fs::read(root.join("usr/lib/b")).unwrap(), b"first");
    assert_eq!(of("a").permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_link_out_of_the_folder_is_not_followed() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = folder.path().canonicalize().unwrap();
    let target = outside.path().to_str().unwrap();
    let package = deb_of(&[Piece::Link("./out", target), Piece::File("./out/x", 0o644, b"x")]);
    assert!(matches!(unpack(&package[..], &root), Err(Error::HostilePath(_))));
    let package = deb_of(&[
        Piece::Link("./out", target),
        Piece::File("./out/new/x", 0o644, b"x"),
    ]);
    assert!(unpack(&package[..], &root).is_err());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

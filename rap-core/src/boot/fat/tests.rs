use std::io::{Cursor, Read};

use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

fn file<'a>(path: &'a str, content: &'a [u8]) -> File<'a> {
    File {
        path,
        content: content.into(),
    }
}

fn flat(volume: &Volume<'_>) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(volume.size).unwrap()];
    for extent in &volume.extents {
        let at = usize::try_from(extent.offset).unwrap();
        bytes[at..at + extent.bytes.len()].copy_from_slice(&extent.bytes);
    }
    bytes
}

fn read_back(volume: &Volume<'_>, path: &str) -> Vec<u8> {
    let system = fatfs::FileSystem::new(Cursor::new(flat(volume)), fatfs::FsOptions::new()).unwrap();
    assert_eq!(system.fat_type(), fatfs::FatType::Fat32);
    let mut content = Vec::new();
    system
        .root_dir()
        .open_file(path)
        .unwrap()
        .read_to_end(&mut content)
        .unwrap();
    content
}

#[test]
fn another_driver_reads_every_file() {
    let big: Vec<u8> = (0..3_000_001_u32).map(|number| number.to_le_bytes()[1]).collect();
    for size in [64 * MIB, 256 * MIB] {
        let files = vec![
            file("EFI/BOOT/BOOTX64.EFI", &big),
            file("EFILABEL", b"x"),
            file("EMPTY.TXT", b""),
        ];
        let volume = compose(size, 7, files).unwrap();
        assert_eq!(read_back(&volume, "EFI/BOOT/BOOTX64.EFI"), big);
        assert_eq!(read_back(&volume, "EFILABEL"), b"x");
        assert_eq!(read_back(&volume, "EMPTY.TXT"), b"");
    }
}

#[test]
fn clusters_are_small_enough_to_be_fat32_and_begin_at_4_kib() {
    for (size, sectors_per_cluster) in [(64 * MIB, 1), (256 * MIB, 4), (1024 * MIB, 16)] {
        let geometry = Geometry::of(size).unwrap();
        assert_eq!(geometry.sectors_per_cluster, sectors_per_cluster);
        assert!(geometry.clusters >= FEWEST_CLUSTERS);
        assert!((geometry.clusters + 2) * 4 <= geometry.sectors_per_table * SECTOR);
        assert_eq!(geometry.table(2) % 4096, 0);
    }
    assert_eq!(Geometry::of(16 * MIB), Err(FatError::VolumeSize(16 * MIB)));
    assert_eq!(
        Geometry::of(64 * MIB + 1),
        Err(FatError::VolumeSize(64 * MIB + 1))
    );
}

#[test]
fn the_checker_finds_nothing_to_say() {
    let content = vec![9; 700_000];
    for size in [64 * MIB, 256 * MIB] {
        let volume = compose(
            size,
            7,
            vec![
                file("A/B/C.DAT", &content),
                file("A/D.DAT", &content),
                file("E", &[]),
            ],
        )
        .unwrap();
        let image = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(image.path(), flat(&volume)).unwrap();
        let Some(output) = program("fsck.fat", &["-n", "-v"], image.path()) else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(
            !said.to_lowercase().contains("wrong") && !said.contains("Free cluster summary"),
            "{said}"
        );
    }
}

/// Runs a program on a file; `None`, and a line, when it is not installed and this is not CI.
fn program(name: &str, arguments: &[&str], file: &std::path::Path) -> Option<std::process::Output> {
    let path = ["/usr/sbin/", "/sbin/", "/usr/bin/"].map(|folder| format!("{folder}{name}"));
    let found = path.iter().find(|path| std::path::Path::new(path).exists());
    assert!(
        found.is_some() || std::env::var_os("CI").is_none(),
        "needs {name}: install dosfstools"
    );
    let Some(found) = found else {
        println!("skipped: needs {name}: install dosfstools");
        return None;
    };
    Some(
        std::process::Command::new(found)
            .args(arguments)
            .arg(file)
            .output()
            .unwrap(),
    )
}

#[test]
fn mistakes_are_named() {
    let name = |path: &str| compose(64 * MIB, 0, vec![file(path, b"")]).unwrap_err();
    for wrong in ["lower.txt", "TOOLONGNAME", "A.LONG", "A.", ".A", "A.B.C", "", "Ä"] {
        assert_eq!(name(wrong), FatError::Name(wrong.to_owned()), "{wrong}");
    }
    let twice = compose(64 * MIB, 0, vec![file("A", b""), file("A", b"")]).unwrap_err();
    assert_eq!(twice, FatError::Twice("A".to_owned()));
    let both = compose(64 * MIB, 0, vec![file("A", b""), file("A/B", b"")]).unwrap_err();
    assert_eq!(both, FatError::Twice("A".to_owned()));
    assert!(matches!(
        places(64 * MIB, &[("A", 64 * MIB)]),
        Err(FatError::Full { .. })
    ));
    let names: Vec<String> = (0..40).map(|number| format!("F{number}")).collect();
    let many: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    assert_eq!(
        places(64 * MIB, &many).unwrap().len(),
        40,
        "a directory of several clusters"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn layout_depends_on_sizes_alone_and_extents_never_overlap(sizes in proptest::collection::vec(0_usize..200_000, 1..20)) {
        let names: Vec<String> = (0..sizes.len()).map(|number| format!("D{}/F{number}", number % 3)).collect();
        let volume_of = |byte: u8| {
            let contents: Vec<Vec<u8>> = sizes.iter().map(|&size| vec![byte; size]).collect();
            let files = names.iter().zip(contents).map(|(path, content)| File { path, content: content.into() }).collect();
            compose(64 * MIB, 0, files).unwrap()
        };
        let (one, two) = (volume_of(1), volume_of(2));
        let shape = |volume: &Volume<'_>| -> Vec<(u64, usize)> {
            volume.extents.iter().map(|extent| (extent.offset, extent.bytes.len())).collect()
        };
        prop_assert_eq!(shape(&one), shape(&two));
        for pair in one.extents.windows(2) {
            prop_assert!(pair[0].offset + pair[0].bytes.len() as u64 <= pair[1].offset);
        }
        for (path, size) in names.iter().zip(&sizes) {
            prop_assert_eq!(read_back(&one, path), vec![1; *size]);
        }
    }
}

use proptest::prelude::*;

use super::super::pace::AtOnce;
use super::*;

fn uki(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| ((at * at) >> 7).to_le_bytes()[0]).collect()
}

fn file(bytes: &[u8]) -> release::File {
    release::File {
        bytes: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    }
}

fn kept(uki: &[u8]) -> (tempfile::TempDir, Keep, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let keep = Keep::new(folder.path());
    keep.make(&file(uki), &mut &*uki, &mut AtOnce).unwrap();
    let path = keep.path(&file(uki));
    (folder, keep, path)
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_block_comes_back() {
    let uki = uki(2_500_000);
    let (_folder, keep, _) = kept(&uki);
    let copy = keep.copy(&file(&uki)).unwrap().unwrap();
    let again: Vec<u8> = (0..3).flat_map(|block| copy.block(block).unwrap()).collect();
    assert!(again == uki);
    assert_eq!(copy.uki(), file(&uki));
    assert_eq!(copy.digests().nth(2), Some(Sha256::of(&uki[2 << 20..])));
    assert!(matches!(copy.block(3), Err(KeepError::Block { block: 3 })));
    assert!(keep.copy(&file(&uki[1..])).unwrap().is_none());
}

#[test]
fn damage_costs_the_block_it_is_in_and_an_index_has_a_second() {
    let uki = uki(2_500_000);
    let (_folder, keep, path) = kept(&uki);
    let index = index_bytes(uki.len() as u64);
    flip(&path, index + 10);
    flip(&path, 20);
    let copy = keep.copy(&file(&uki)).unwrap().unwrap();
    assert_eq!(
        copy.block(0).unwrap_err().to_string(),
        "block 0 of the kept copy is damaged"
    );
    assert!(copy.block(1).unwrap() == uki[1 << 20..2 << 20]);
    let last = fs::metadata(&path).unwrap().len();
    flip(&path, usize::try_from(last).unwrap() - 1);
    let error = keep.copy(&file(&uki)).unwrap_err();
    assert!(matches!(error, KeepError::Index { .. }), "{error}");
}

#[test]
fn another_image_is_not_kept_and_what_is_left_of_it_is_swept() {
    let (folder, keep, path) = kept(&uki(100_000));
    let other = uki(50_000);
    for wrong in [&other[1..], &other[..49_000]] {
        let error = keep.make(&file(&other), &mut &*wrong, &mut AtOnce).unwrap_err();
        assert!(matches!(error, KeepError::Digest), "{error}");
    }
    assert!(keep.copy(&file(&other)).unwrap().is_none());
    assert!(folder.path().join(PARTIAL).exists());
    keep.retain(&[file(&uki(100_000))]).unwrap();
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1);
    keep.retain(&[]).unwrap();
    assert!(!path.exists());
}

proptest! {
    #[test]
    fn an_index_reads_back_and_any_change_of_it_is_seen(
        length in 1_u64..5 << 20, at in any::<proptest::sample::Index>(), bit in 0..8_u32,
    ) {
        let blocks = (0..blocks_of(length) as u64)
            .map(|n| Block { offset: n * 7, bytes: n, sha256: Sha256::of(&[1]) })
            .collect();
        let index = Index { uki: release::File { bytes: length, sha256: Sha256::of(&[2]) }, blocks };
        let mut bytes = index.encode();
        prop_assert_eq!(bytes.len(), index_bytes(length));
        prop_assert_eq!(Index::parse(&bytes), Some(index));
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert_eq!(Index::parse(&bytes), None);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut sealed = bytes.clone();
        sealed.splice(..sealed.len().min(8), *MAGIC);
        let own = Sha256::of(&sealed);
        sealed.extend(own.as_bytes());
        fuzz_index(&sealed);
        fuzz_index(&bytes);
    }
}

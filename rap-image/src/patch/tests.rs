use std::io::Read;

use proptest::prelude::*;
use rap_core::release::Over;

use super::kernel::{KernelError, find};
use super::*;
use crate::uki;

/// A kernel as Linux makes it around a payload.
fn bz_image(payload: &[u8]) -> Vec<u8> {
    let mut kernel = vec![0xcc; 2 * 512 + 100];
    kernel[0x1f1] = 1;
    kernel[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
    kernel[0x248..0x24c].copy_from_slice(&100_u32.to_le_bytes());
    kernel[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    kernel.extend(payload);
    kernel.extend(b"what is behind the payload");
    kernel
}

/// A packed kernel with its length behind it.
fn payload(packed: &[u8], unpacked: &[u8]) -> Vec<u8> {
    [packed, &u32::try_from(unpacked.len()).unwrap().to_le_bytes()].concat()
}

fn image(kernel: &[u8], initramfs: &[u8]) -> Vec<u8> {
    uki::compose(&uki::Ingredients {
        stub: &uki::tests::stub(),
        os_release: "ID=rap\n",
        command_line: "panic=-1",
        kernel_version: "6.12",
        kernel,
        initramfs,
    })
    .unwrap()
}

/// Bytes that do not compress, different for each seed.
fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    (0..length).map(|_| next()).collect()
}

fn as_debian(unpacked: &[u8]) -> Vec<u8> {
    bz_image(&payload(&apply::pack(unpacked).unwrap(), unpacked))
}

fn otherwise(unpacked: &[u8], level: i32) -> Vec<u8> {
    bz_image(&payload(
        &zstd::bulk::compress(unpacked, level).unwrap(),
        unpacked,
    ))
}

fn applied(made: &Made, old: &[u8], new: &[u8]) {
    let pieces = made.pieces.concat();
    let mut out = Vec::new();
    apply::patched(&made.patch, pieces.as_slice(), Cursor::new(old), file(new))
        .unwrap()
        .read_to_end(&mut out)
        .unwrap();
    assert!(out == new);
}

#[test]
fn a_new_kernel_is_patched_unpacked_and_raw() {
    // Two halves change places: packed, nothing is the same; unpacked, all is.
    let halves = [noise(1, 60_000), noise(2, 200_000)];
    let (old_kernel, new_kernel) = (halves.concat(), [&halves[1][..], b"new", &halves[0]].concat());
    let words = |kernel: &[u8]| {
        kernel
            .iter()
            .flat_map(|byte| [b'k', *byte & 15])
            .collect::<Vec<_>>()
    };
    let old = image(&as_debian(&words(&old_kernel)), b"initramfs");
    let new = image(&as_debian(&words(&new_kernel)), b"initramfs, another");
    let patches = between(&old, &new).unwrap();
    assert!(patches.raw_only.is_none());
    let kinds: Vec<_> = patches.made.iter().map(|made| made.patch.over).collect();
    assert_eq!(kinds, [Over::UnpackedKernel, Over::Raw]);
    let [unpacked, raw] = &patches.made[..] else {
        panic!()
    };
    assert!(
        unpacked.bytes() < 3000 && unpacked.bytes() * 10 < raw.bytes(),
        "{}, {}",
        unpacked.bytes(),
        raw.bytes()
    );
    assert!(unpacked.patch.memory_mib > 800 && raw.patch.memory_mib == 22);
    for made in &patches.made {
        assert_eq!(made.patch.from, Sha256::of(&old));
        applied(made, &old, &new);
    }
}

#[test]
fn a_patch_is_cut_into_pieces_and_the_same_each_time() {
    let kernel = otherwise(b"kernel", 3);
    let old = image(&kernel, b"");
    let new = image(&kernel, &noise(3, PATCH_PIECE + 1000));
    let patches = between(&old, &new).unwrap();
    assert!(matches!(patches.raw_only, Some(RawOnly::SameKernel)));
    let [raw] = &patches.made[..] else { panic!() };
    let lengths: Vec<_> = raw.pieces.iter().map(Vec::len).collect();
    assert!(matches!(lengths[..], [PATCH_PIECE, 1000..2500]), "{lengths:?}");
    let named: Vec<_> = raw.pieces.iter().map(|piece| file(piece)).collect();
    assert_eq!(raw.patch.pieces, named);
    let again = between(&old, &new).unwrap();
    assert_eq!(again.made[0].pieces, raw.pieces);
}

#[test]
fn without_a_way_over_the_kernel_there_is_the_raw_patch_and_a_reason() {
    let old = image(&otherwise(b"old kernel", 3), b"");
    let cases = [
        (
            otherwise(b"new kernel", 3),
            "the box would pack the new kernel to other bytes",
        ),
        (
            bz_image(b"\x1f\x8b\x08 gzip"),
            "the new kernel is not unpacked: its payload is no zstd frame",
        ),
        (
            b"an ELF kernel".to_vec(),
            "the new kernel is not unpacked: section `.linux` is no bzImage",
        ),
    ];
    for (kernel, why) in cases {
        let new = image(&kernel, b"");
        let patches = between(&old, &new).unwrap();
        let reason = patches.raw_only.unwrap().to_string();
        assert!(reason.starts_with(why), "{reason}");
        let [raw] = &patches.made[..] else { panic!() };
        applied(raw, &old, &new);
    }
    let error = between(&old, b"no image").unwrap_err();
    assert_eq!(error.to_string(), "the new image is none");
}

#[test]
fn a_kernel_that_lies_of_its_payload_is_refused() {
    let good = otherwise(b"kernel", 3);
    let changed = |at: usize, bytes: &[u8]| {
        let mut kernel = good.clone();
        kernel[at..at + bytes.len()].copy_from_slice(bytes);
        find(&image(&kernel, b"")).unwrap_err()
    };
    assert!(find(&image(&good, b"")).is_ok());
    let length = 2 * 512 + 100 + payload(&zstd::bulk::compress(b"kernel", 3).unwrap(), b"kernel").len();
    assert!(matches!(changed(0x202, b"hDRs"), KernelError::NotBzImage));
    assert!(matches!(changed(0x206, &[7, 2]), KernelError::NotBzImage));
    assert!(matches!(changed(0x248, &[0xff; 4]), KernelError::Outside { .. }));
    assert!(matches!(changed(0x24c, &[0xff; 4]), KernelError::Outside { .. }));
    assert!(matches!(changed(0x248, &[90]), KernelError::NotZstd));
    assert!(matches!(
        changed(0x1f1, &[0]),
        KernelError::Outside { .. } | KernelError::NotZstd
    ));
    assert!(matches!(changed(length - 4, &[7]), KernelError::Unpack(_)));
    assert!(matches!(changed(length - 1, &[0x7f]), KernelError::TooLarge(_)));
}

#[test]
fn a_file_is_made_of_nothing_and_nothing_of_a_file() {
    for (old, new) in [(&b""[..], &b"new"[..]), (b"old", b""), (b"", b"")] {
        let made = made(old, old, new, new, &Header { kernel: None }).unwrap();
        applied(&made, old, new);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Pieces of the old file in another order, changed here and there, among new bytes.
    #[test]
    fn any_file_is_made_of_any_other(
        old in proptest::collection::vec(0..4_u8, 0..3000),
        cuts in proptest::collection::vec((0..1000_usize, 0..1000_usize, any::<u8>()), 0..12),
        between in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut new = Vec::new();
        for (from, length, change) in cuts {
            let from = old.len() * from / 1000;
            let cut = &old[from..old.len().min(from + length)];
            new.extend(cut);
            if let Some(byte) = new.last_mut() {
                *byte ^= change;
            }
            new.extend(&between);
        }
        let made = made(&old, &old, &new, &new, &Header { kernel: None }).unwrap();
        applied(&made, &old, &new);
    }
}

/// The real one, as the lock names it: the patches over unpacked kernels stand on this.
#[test]
fn debians_kernel_is_packed_again_to_the_very_bytes() {
    use crate::lock::{Group, Lock};
    let overlays = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../overlays");
    let lock = Lock::read(&overlays.join("image.lock")).unwrap();
    let store = crate::store::Store::of_user().unwrap();
    let package = lock.group(Group::Kernel)[0].clone();
    if !store.path(&package.sha256).exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "{} is not in the store",
            package.name
        );
        return println!(
            "skipped: needs {} in the store (rap-image build fetches it)",
            package.name
        );
    }
    let tar = store
        .tar(&package.sha256, |file, out| crate::deb::decompress(file, out))
        .unwrap();
    let contents = crate::deb::Contents::read(tar).unwrap();
    let path = contents
        .paths()
        .find(|path| path.starts_with("boot/vmlinuz-"))
        .unwrap()
        .to_owned();
    let uki = image(&contents.content(&path).unwrap(), b"");
    let place = find(&uki).unwrap();
    assert!(
        apply::pack(&place.unpacked).unwrap() == place.packed(&uki),
        "{} is packed otherwise",
        package.name
    );
}

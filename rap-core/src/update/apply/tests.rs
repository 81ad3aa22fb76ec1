use std::io::{Cursor, Write};

use liblzma::stream::{Check, Filters, LzmaOptions};
use liblzma::write::XzEncoder;
use proptest::prelude::*;

use crate::release::Over;

use super::*;

/// A patch in the making.
#[derive(Default, Clone, Debug)]
struct Body(Vec<u8>);

impl Body {
    fn step(mut self, seek: i64, differences: &[u8], copy: &[u8]) -> Self {
        let (add, new) = (differences.len() as u64, copy.len() as u64);
        Instruction { seek, add, copy: new }.write(&mut self.0);
        self.0.extend(differences);
        self.0.extend(copy);
        self
    }

    fn under(&self, header: &Header) -> Vec<u8> {
        [header.bytes(), packed(&self.0, WINDOW)].concat()
    }

    fn raw(&self) -> Vec<u8> {
        self.under(&RAW)
    }
}

const RAW: Header = Header { kernel: None };

fn packed(body: &[u8], window: u32) -> Vec<u8> {
    let mut options = LzmaOptions::new_preset(1).unwrap();
    options.dict_size(window);
    let stream = Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::None).unwrap();
    let mut encoder = XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn file(bytes: &[u8]) -> File {
    File {
        bytes: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    }
}

fn said(over: Over) -> Patch {
    Patch {
        from: Sha256::of(OLD),
        over,
        memory_mib: 2048,
        pieces: Vec::new(),
    }
}

/// What comes out, or why it does not.
fn apply(over: Over, patch: &[u8], old: &[u8], new: File) -> Result<Vec<u8>, ApplyError> {
    out(patched(&said(over), patch, Cursor::new(old), new)?)
}

fn out(mut made: impl Read) -> Result<Vec<u8>, ApplyError> {
    let mut out = Vec::new();
    match made.read_to_end(&mut out) {
        Ok(_) => Ok(out),
        Err(error) => {
            assert!(ApplyError::within(&error).is_some(), "{error:?}");
            Err(error.downcast().unwrap())
        }
    }
}

const OLD: &[u8] = b"the image that runs, which is old";
const NEW: &[u8] = b"the image that comes, which is new";

fn example() -> Body {
    Body::default()
        .step(0, &[0; 15], b"comes")
        .step(4, &[0; 11], b"new")
}

fn raw(body: &Body) -> String {
    apply(Over::Raw, &body.raw(), OLD, file(NEW))
        .unwrap_err()
        .to_string()
}

#[test]
fn a_patch_makes_the_new_image() {
    let patch = example().raw();
    assert_eq!(apply(Over::Raw, &patch, OLD, file(NEW)).unwrap(), NEW);
    assert_eq!(memory(&Header::read(&mut patch.as_slice()).unwrap()), 22 << 20);
}

#[test]
fn a_patch_cut_short_anywhere_makes_nothing() {
    let patch = example().raw();
    for length in 0..patch.len() {
        let error = apply(Over::Raw, &patch[..length], OLD, file(NEW)).unwrap_err();
        assert!(matches!(error, ApplyError::Short { .. }), "{length}: {error:?}");
    }
}

#[test]
fn a_changed_byte_never_makes_another_image() {
    let patch = example().raw();
    for at in 0..patch.len() {
        for bit in 0..8 {
            let mut changed = patch.clone();
            changed[at] ^= 1 << bit;
            if let Ok(made) = apply(Over::Raw, &changed, OLD, file(NEW)) {
                assert_eq!(made, NEW, "byte {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn instructions_stay_within_both_images_and_move_on() {
    let cases = [
        (
            Body::default().step(0, &[], &[]),
            "byte 0 of what it makes: an instruction that makes nothing",
        ),
        (
            Body::default().step(-1, &[0], &[]),
            "goes outside of the image that runs",
        ),
        (
            Body::default().step(33, &[0], &[]),
            "goes outside of the image that runs",
        ),
        (
            Body::default().step(34, &[], b"x"),
            "goes outside of the image that runs",
        ),
        (
            Body::default().step(i64::MIN, &[0], &[]),
            "goes outside of the image that runs",
        ),
        (
            Body::default().step(0, &[0; 34], &[]),
            "goes outside of the image that runs",
        ),
        (
            Body::default().step(0, &[], &[0; 35]),
            "makes more than the image has",
        ),
        (
            example().step(0, &[], b"x"),
            "go on after the image's end, at byte 34",
        ),
        (Body::default().step(0, &[], b"new"), "ends at byte 3 of 34"),
        (
            Body::default().step(0, &[], NEW).step(0, &[], &[]),
            "go on after the image's end",
        ),
        (
            Body::default().step(0, &[], OLD).step(0, &[], b"x"),
            "what was made has SHA-256",
        ),
    ];
    for (body, expected) in cases {
        let message = raw(&body);
        assert!(message.contains(expected), "{message}; expected {expected}");
    }
    let endless = Body([&[0xff; 9][..], &[1, 1, 1]].concat());
    assert!(raw(&endless).contains("goes outside"), "{}", raw(&endless));
    let more = Body([&[0][..], &[0xff; 9], &[1], &[0xff; 9], &[1]].concat());
    assert!(raw(&more).contains("makes more than the image has"));
}

#[test]
fn a_decoder_takes_no_more_memory_than_was_said() {
    let patch = [RAW.bytes(), packed(&example().0, 64 << 20)].concat();
    let error = apply(Over::Raw, &patch, OLD, file(NEW)).unwrap_err();
    assert!(matches!(error, ApplyError::Pieces(_)), "{error:?}");
}

#[test]
fn a_header_is_held_against_both_images() {
    let kernel = |change: &dyn Fn(&mut Kernel)| {
        let stretch = Stretch {
            at: 1,
            packed: 2,
            unpacked: 3,
        };
        let mut kernel = Kernel {
            old: stretch,
            new: stretch,
            packed: Sha256::of(b""),
        };
        change(&mut kernel);
        Body::default().under(&Header { kernel: Some(kernel) })
    };
    let cases: [(Vec<u8>, &str); 8] = [
        (
            b"BSDIFF40".repeat(4),
            "begins with \"BSDIFF40\"; expected \"RAPPATCH\"",
        ),
        (
            [&b"RAPPATCH\x02\0\0\0"[..], &[0; 9]].concat(),
            "begins with format 2",
        ),
        (
            [&b"RAPPATCH\x01\0\0\0"[..], &[7; 9]].concat(),
            "begins with kind 117901063",
        ),
        (RAW.bytes(), "begins with a patch of kind Raw"),
        (
            kernel(&|kernel| kernel.old.at = 34),
            "the kernel's place is 34, expected at most 33",
        ),
        (
            kernel(&|kernel| kernel.old.packed = 33),
            "packed length is 33, expected at most 32",
        ),
        (
            kernel(&|kernel| kernel.new.packed = u64::MAX),
            "expected at most 33",
        ),
        (
            kernel(&|kernel| kernel.old.unpacked = KERNEL_LIMIT + 1),
            "expected at most 268435456",
        ),
    ];
    for (patch, expected) in cases {
        let error = apply(Over::UnpackedKernel, &patch, OLD, file(NEW))
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}; expected {expected}");
    }
    let little = Patch {
        memory_mib: 800,
        ..said(Over::UnpackedKernel)
    };
    let error = patched(&little, kernel(&|_| ()).as_slice(), Cursor::new(OLD), file(NEW)).err();
    let error = error.map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("that the memory to apply it is"), "{error}");
    let unpackable = apply(Over::UnpackedKernel, &kernel(&|_| ()), OLD, file(NEW)).unwrap_err();
    assert!(matches!(unpackable, ApplyError::Unpack(_)), "{unpackable:?}");
}

/// Two images around kernels, and the patch from one to the other.
struct Kernels {
    old: Vec<u8>,
    new: Vec<u8>,
    header: Header,
    body: Body,
}

fn kernels(old: &[u8], new: &[u8]) -> Kernels {
    let (before, after) = (b"stub".as_slice(), b"initramfs and signature".as_slice());
    let (old_packed, new_packed) = (pack(old).unwrap(), pack(new).unwrap());
    let stretch = |packed: &[u8], kernel: &[u8]| Stretch {
        at: 4,
        packed: packed.len() as u64,
        unpacked: kernel.len() as u64,
    };
    let kernel = Kernel {
        old: stretch(&old_packed, old),
        new: stretch(&new_packed, new),
        packed: Sha256::of(&new_packed),
    };
    let same = old.len().min(new.len());
    let differences = new.iter().zip(old).map(|(new, old)| new.wrapping_sub(*old));
    Kernels {
        header: Header { kernel: Some(kernel) },
        // The first step leads over the kernel's border.
        body: Body::default()
            .step(0, &[vec![0; 4], differences.collect()].concat(), &new[same..])
            .step((old.len() - same).try_into().unwrap(), &[0; 23], &[]),
        old: [before, &old_packed, after].concat(),
        new: [before, &new_packed, after].concat(),
    }
}

#[test]
fn a_kernel_that_grows_or_shrinks_is_packed_again() {
    let (short, long) = ([7; 90_000], [[8; 70_000].as_slice(), &[9; 300_000]].concat());
    for (old, new) in [(short.as_slice(), long.as_slice()), (&long, &short)] {
        let Kernels {
            old,
            new,
            header,
            body,
        } = kernels(old, new);
        let patch = body.under(&header);
        let made = apply(Over::UnpackedKernel, &patch, &old, file(&new)).unwrap();
        assert!(made == new);
        assert!(memory(&header) > kernel::TABLES);
    }
}

#[test]
fn a_kernel_that_is_not_the_new_one_is_found_out_before_what_follows_it() {
    let Kernels {
        old,
        new,
        mut header,
        body,
    } = kernels(&[7; 9000], &[8; 9000]);
    header.kernel.as_mut().unwrap().packed = Sha256::of(b"other");
    let mut made = patched(
        &said(Over::UnpackedKernel),
        Cursor::new(body.under(&header)),
        Cursor::new(old),
        file(&new),
    )
    .unwrap();
    let mut out = Vec::new();
    let error = made.read_to_end(&mut out).unwrap_err();
    assert!(
        matches!(ApplyError::within(&error), Some(ApplyError::Packed)),
        "{error:?}"
    );
    assert!(out.len() <= new.len() - 23);
    let again = made.read(&mut [0; 9]).unwrap_err();
    assert!(
        matches!(ApplyError::within(&again), Some(ApplyError::Pieces(_))),
        "{again:?}"
    );
}

fn framed(parts: &[&[u8]]) -> Vec<u8> {
    parts
        .iter()
        .flat_map(|part| zstd::bulk::compress(part, 1).unwrap())
        .collect()
}

#[test]
fn frames_make_the_whole_image() {
    let image = [vec![1; 1 << 20], vec![2; 1 << 20], vec![3; 5]].concat();
    let parts: Vec<&[u8]> = image.chunks(1 << 20).collect();
    let whole = framed(&parts);
    let made = |pieces: &[u8]| out(frames(pieces, file(&image)).unwrap());
    assert!(made(&whole).unwrap() == image);
    for length in 0..whole.len() {
        let error = made(&whole[..length]).unwrap_err();
        assert!(matches!(error, ApplyError::Short { .. }), "{length}: {error:?}");
    }
    assert!(matches!(
        made(&framed(&[&image, b"x"])),
        Err(ApplyError::Pieces(_) | ApplyError::Long(_))
    ));
    let longer = [whole.clone(), framed(&[b"x"])].concat();
    assert!(matches!(made(&longer), Err(ApplyError::Long(2_097_157))));
    let other = framed(&[parts[1], parts[0], parts[2]]);
    assert!(matches!(made(&other), Err(ApplyError::Digest { .. })));
}

#[test]
fn a_frame_with_a_large_window_is_refused() {
    let image = vec![1; 3 << 20];
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(22).unwrap();
    encoder.write_all(&image).unwrap();
    let pieces = encoder.finish().unwrap();
    let error = out(frames(pieces.as_slice(), file(&image)).unwrap()).unwrap_err();
    assert!(matches!(error, ApplyError::Pieces(_)), "{error:?}");
}

/// Where a step takes from, in thousandths of the old file, and how much; what it changes and adds.
type Step = (usize, usize, u8, Vec<u8>);

proptest! {
    #[test]
    fn any_steps_make_what_they_say(
        old in proptest::collection::vec(any::<u8>(), 0..300),
        steps in proptest::collection::vec(
            (0..1000_usize, 0..400_usize, any::<u8>(), proptest::collection::vec(any::<u8>(), 1..40)),
            1..20,
        ),
        at_once in 1..50_usize,
    ) {
        let (mut new, mut body, mut stands) = (Vec::new(), Body::default(), 0);
        for (place, length, difference, copy) in steps as Vec<Step> {
            let from = old.len() * place / 1000;
            let taken = &old[from..old.len().min(from + length)];
            new.extend(taken.iter().map(|byte| byte.wrapping_add(difference)));
            new.extend(&copy);
            let seek = i64::try_from(from).unwrap() - i64::try_from(stands).unwrap();
            body = body.step(seek, &vec![difference; taken.len()], &copy);
            stands = from + taken.len();
        }
        let patch = body.raw();
        let mut made = patched(&said(Over::Raw), patch.as_slice(), Cursor::new(&old), file(&new)).unwrap();
        let (mut out, mut buffer) = (Vec::<u8>::new(), vec![0; at_once]);
        loop {
            match made.read(&mut buffer).unwrap() {
                0 => break,
                n => out.extend(&buffer[..n]),
            }
        }
        prop_assert_eq!(out, new);
    }
}

use super::*;

/// A small PE32+ program like systemd's stub: two sections at 512-byte alignment.
pub(crate) fn stub() -> Vec<u8> {
    let mut bytes = vec![0; 0x800];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, b"MZ");
    put(0x3c, &[0x40]);
    put(0x40, b"PE\0\0");
    put(0x46, &[2, 0]);
    put(0x54, &[240, 0]);
    put(0x58, &[0x0b, 0x02]);
    put(0x78, &4096_u32.to_le_bytes());
    put(0x7c, &512_u32.to_le_bytes());
    put(0x90, &0x3000_u32.to_le_bytes());
    put(0x94, &0x400_u32.to_le_bytes());
    for (header, name, address, at) in [
        (0x148, b".text\0\0\0", 0x1000_u32, 0x400_u32),
        (0x170, b".sbat\0\0\0", 0x2000, 0x600),
    ] {
        put(header, name);
        put(header + 8, &0x180_u32.to_le_bytes());
        put(header + 12, &address.to_le_bytes());
        put(header + 16, &0x200_u32.to_le_bytes());
        put(header + 20, &at.to_le_bytes());
    }
    bytes[0x400..0x580].fill(0xcc);
    bytes[0x600..0x608].copy_from_slice(b"sbat,1,x");
    bytes
}

fn example(stub: &[u8]) -> Result<Vec<u8>, UkiError> {
    compose(&Ingredients {
        stub,
        os_release: "ID=rap\n",
        command_line: "panic=-1",
        kernel_version: "6.12",
        kernel: &[0x11; 10_000],
        initramfs: &[0x22; 5_001],
    })
}

#[test]
fn sections_follow_each_other_without_a_gap() {
    let bytes = example(&stub()).unwrap();
    let uki = Program::parse(&bytes).unwrap();
    uki.check().unwrap();
    let shape: Vec<_> = uki
        .sections
        .iter()
        .map(|section| (section.name.as_str(), section.raw.clone(), section.address))
        .collect();
    assert_eq!(
        shape,
        [
            (".text", 0x1000..0x2000, 0x1000),
            (".sbat", 0x2000..0x3000, 0x2000),
            (".osrel", 0x3000..0x4000, 0x3000),
            (".cmdline", 0x4000..0x5000, 0x4000),
            (".uname", 0x5000..0x6000, 0x5000),
            (".linux", 0x6000..0x9000, 0x6000),
            (".initrd", 0x9000..0xb000, 0x9000),
        ]
    );
    assert_eq!(bytes.len(), 0xb000);
    assert_eq!(uki.content(".initrd"), Some(&[0x22; 5_001][..]));
    assert_eq!(&uki.content(".sbat").unwrap()[..8], b"sbat,1,x");
}

#[test]
fn an_extended_image_is_as_if_it_had_been_composed_so() {
    let bytes = example(&stub()).unwrap();
    let wanted = compose(&Ingredients {
        stub: &stub(),
        os_release: "ID=rap\n",
        command_line: "panic=-1 rap.install",
        kernel_version: "6.12",
        kernel: &[0x11; 10_000],
        initramfs: &[&[0x22; 5_001][..], b"more"].concat(),
    });
    let wanted = wanted.unwrap();
    assert!(extended(&bytes, "rap.install", b"more").unwrap() == wanted);
    // A signature of the image is none of the other.
    let mut signed = bytes.clone();
    let (entry, length) = (0x40 + 24 + 112 + 32, u32::try_from(bytes.len()).unwrap());
    signed[entry..entry + 4].copy_from_slice(&length.to_le_bytes());
    signed[entry + 4..entry + 8].copy_from_slice(&16_u32.to_le_bytes());
    signed.extend([7; 16]);
    assert!(extended(&signed, "rap.install", b"more").unwrap() == wanted);
    assert_eq!(extended(&stub(), "x", b""), Err(UkiError::Missing(".osrel")));
}

#[test]
fn another_parser_agrees() {
    use object::{Object, ObjectSection};
    let bytes = example(&stub()).unwrap();
    let file = object::File::parse(bytes.as_slice()).unwrap();
    let linux = file.section_by_name(".linux").unwrap();
    assert_eq!(linux.data().unwrap(), [0x11; 10_000]);
}

#[test]
fn the_digest_covers_everything_but_the_signature() {
    let bytes = example(&stub()).unwrap();
    let digest = |bytes: &[u8]| Program::parse(bytes).unwrap().authenticode();
    let unsigned = digest(&bytes);
    let mut signed = bytes.clone();
    let (entry, length) = (0x40 + 24 + 112 + 32, u32::try_from(bytes.len()).unwrap());
    signed[entry..entry + 4].copy_from_slice(&length.to_le_bytes());
    signed[entry + 4..entry + 8].copy_from_slice(&16_u32.to_le_bytes());
    signed.extend([7; 16]);
    assert_eq!(digest(&signed), unsigned);
    assert!(Program::parse(&signed).unwrap().is_signed());
    Program::parse(&signed).unwrap().check().unwrap();
    for at in [0x100, 0x1000, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert_ne!(digest(&flipped), unsigned, "byte {at}");
    }
}

#[test]
fn damage_is_told_apart() {
    let bytes = example(&stub()).unwrap();
    let parsed = |bytes: &[u8]| Program::parse(bytes).and_then(|program| program.check());
    assert!(matches!(
        parsed(&bytes[..bytes.len() - 1]),
        Err(UkiError::Size { .. })
    ));
    let longer = [bytes.as_slice(), b"x"].concat();
    assert!(matches!(parsed(&longer), Err(UkiError::Size { .. })));
    assert!(matches!(parsed(b"no program"), Err(UkiError::NotPe(_))));
    assert!(matches!(parsed(&bytes[..0x60]), Err(UkiError::NotPe(_))));
    assert!(matches!(parsed(&stub()), Err(UkiError::Layout { .. })));
    let mut crowded = stub();
    crowded[0x46] = 12;
    assert!(matches!(
        example(&crowded),
        Err(UkiError::NoRoom { .. } | UkiError::Size { .. } | UkiError::NotPe(_))
    ));
}

#[test]
fn headers_cut_short_and_a_signature_over_them_are_refused() {
    let whole = stub();
    let mut cut = whole[..0x100].to_vec();
    cut[0x46] = 0;
    let message = |bytes: &[u8]| Program::parse(bytes).unwrap_err().to_string();
    assert!(Program::parse(&whole[..0x800]).is_ok());
    assert!(message(&cut[..0xe8]).contains("ends within its headers"));
    let mut signed = whole;
    let entry = 0x40 + 24 + 112 + 32;
    signed[entry..entry + 4].copy_from_slice(&0x40_u32.to_le_bytes());
    signed[entry + 4..entry + 8].copy_from_slice(&0x700_u32.to_le_bytes());
    assert!(message(&signed).contains("over its headers"));
}

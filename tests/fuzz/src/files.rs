//! What instruments say of their data files, and the files found on the disk.

use std::sync::Arc;
use std::time::Duration;

use rap_core::digest::Sha256;
use rap_core::forward::files::{Config, FileName, Key, MediaType, Range, Shelf, State, Upload};
use rap_core::forward::inbox::{self, range::Slice};
use rap_core::forward::log::Storage;

use super::forward::Memory;

const PAGE: usize = 4096;

pub(crate) fn name(bytes: &[u8]) {
    if let Ok(name) = FileName::from_header(bytes) {
        let text = name.as_str();
        assert!((1..=255).contains(&text.len()) && ![".", ".."].contains(&text));
        assert!(!text.contains(['/', '\\', '\0', '\n', '\u{202e}']) && !text.chars().any(char::is_control));
        assert_eq!(FileName::from_header(name.to_header().as_bytes()), Ok(name));
    }
}

/// `Range` of an agent up to the first line's end, for a file of as many bytes as the rest is long.
pub(crate) fn slice(bytes: &[u8]) {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(bytes.len());
    let size = (bytes.len() - end) as u64;
    let value = String::from_utf8_lossy(&bytes[..end]);
    for size in [size, u64::MAX] {
        if let Ok(slice) = Slice::parse(&value, size, inbox::PIECE) {
            assert!((1..=inbox::PIECE).contains(&slice.length) && slice.last() < size);
        }
    }
}

/// What a disk says of the orders of the inbox.
pub(crate) fn inbox(bytes: &[u8]) {
    let _ = inbox::is_known(bytes);
}

/// `Content-Range` up to the first line's end, then the digest, then the media type.
pub(crate) fn range(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut lines = text.split('\n');
    if let Ok(range) = lines.next().unwrap_or_default().parse::<Range>() {
        assert!(range.length() <= range.total() && range.total() > 0);
        assert_eq!(range.to_string().parse(), Ok(range));
    }
    if let Ok(digest) = lines.next().unwrap_or_default().parse::<Sha256>() {
        assert!(text.contains(&digest.to_string()));
    }
    if let Ok(media) = lines.next().unwrap_or_default().parse::<MediaType>() {
        assert!(text.contains(media.as_str()) && media.as_str().is_ascii());
    }
}

/// A file a shelf may find: opened, gone on with, sent and opened again, whatever it holds. The checksums of the
/// description and the marks are set right when the input does not begin with 0.
pub(crate) fn shelf(bytes: &[u8]) {
    let (right, bytes) = match bytes.split_first() {
        Some((first, rest)) => (*first != 0, rest),
        None => return,
    };
    let mut file = bytes.to_vec();
    if right && file.len() >= PAGE {
        seal(&mut file);
    }
    let memory = Memory::default();
    memory.put("file-000001", file);
    memory.put("delivered", bytes.iter().rev().take(256).copied().collect());
    for _ in 0..2 {
        let mut shelf = open(&memory);
        for _ in 0..64 {
            if !shelf.work() {
                break;
            }
        }
        // A file of the input that is whole is what it says.
        if let Some(errand) = shelf.next(1 << 20, Duration::ZERO)
            && errand.range.length() == errand.file.size
        {
            assert_eq!(errand.bytes.len() as u64, errand.file.size);
            let key = Key {
                source: errand.file.source.clone(),
                digest: errand.file.digest,
            };
            let holding = shelf
                .ask(&key, errand.file.size, Duration::ZERO)
                .expect("it is there");
            assert_eq!((holding.have, holding.state), (errand.file.size, State::Kept));
        }
        fresh(&mut shelf);
        assert!(shelf.status().used <= 1 << 20 || shelf.status().waiting + shelf.status().partial > 0);
    }
}

fn open(memory: &Memory) -> Shelf {
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let config = Config {
        room: u64::MAX,
        ports: 1,
        ..Config::default()
    };
    Shelf::open(storage, config, Arc::new(|| 0), Duration::ZERO).expect("opens whatever the content is")
}

/// Beside what was found a new file is taken and kept.
fn fresh(shelf: &mut Shelf) {
    let bytes = b"fresh";
    let key = Key {
        source: "/fuzz/fresh".to_owned(),
        digest: Sha256::of(bytes),
    };
    let upload = Upload {
        key: &key,
        size: bytes.len() as u64,
        first: 0,
        bytes,
        name: Some(&FileName::new("fresh".to_owned()).expect("a name")),
        media: &MediaType::default(),
        received: 1,
    };
    // A part of the input may claim all the room there is.
    if let Ok(holding) = shelf.put(&upload, Duration::ZERO) {
        assert_eq!(holding.have, bytes.len() as u64);
    }
}

/// Sets the checksums of the description and of both marks right.
fn seal(file: &mut [u8]) {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    let length = u32::from_le_bytes([file[8], file[9], file[10], file[11]]) as usize;
    if let Some(end) = length.checked_add(12).filter(|end| *end <= 2048) {
        file[..4].copy_from_slice(b"RPD1");
        let check = crc.checksum(&file[8..end]);
        file[4..8].copy_from_slice(&check.to_le_bytes());
    }
    for at in [2048, 3072] {
        let mark = &file[at..at + 512];
        let [have, first] =
            [16, 24].map(|at| u64::from_le_bytes(mark[at..at + 8].try_into().expect("eight")));
        let tail = usize::try_from(first)
            .ok()
            .zip(usize::try_from(have).ok())
            .and_then(|(first, have)| file.get(PAGE.checked_add(first)?..PAGE.checked_add(have)?));
        if let Some(check) = tail.map(|tail| crc.checksum(tail)) {
            file[at + 40..at + 44].copy_from_slice(&check.to_le_bytes());
        }
        file[at..at + 4].copy_from_slice(b"RPM1");
        let check = crc.checksum(&file[at + 8..at + 512]);
        file[at + 4..at + 8].copy_from_slice(&check.to_le_bytes());
    }
}

//! What comes from instruments and from the service centre, and the log found on the disk.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use rap_core::forward::Lane;
use rap_core::forward::event::{self, Event, Format, Limits, binary, json};
use rap_core::forward::log::{Barrier, Config, Log, NewRecord, Storage};
use rap_core::site::triggers::Pointer;

const SOURCE: &str = "/lab/port1";

pub(crate) fn event(bytes: &[u8]) {
    if let Ok(events) = event::parse(bytes, Format::Single, SOURCE, &Limits::default()) {
        assert_eq!(events.len(), 1);
        check(&events[0]);
    }
}

pub(crate) fn batch(bytes: &[u8]) {
    if let Ok(events) = event::parse(bytes, Format::Batch, SOURCE, &Limits::default()) {
        assert!((1..=256).contains(&events.len()));
        events.iter().for_each(check);
    }
}

/// Lines `NAME: VALUE` up to an empty one, then the body. The first line is the content type, if it is not empty.
pub(crate) fn binary_event(bytes: &[u8]) {
    let (head, body) = match bytes.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&bytes[..at], &bytes[at + 2..]),
        None => (bytes, &b""[..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let kind = lines
        .next()
        .and_then(|kind| std::str::from_utf8(kind).ok())
        .filter(|kind| !kind.is_empty());
    let headers = lines.filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b':')?;
        Some((std::str::from_utf8(&line[..at]).ok()?, &line[at + 1..]))
    });
    if let Ok(event) = binary::parse(headers, kind, body, SOURCE, &Limits::default()) {
        check(&event);
    }
}

/// The invariants of an [`Event`].
fn check(event: &Event) {
    assert!((1..=256).contains(&event.id.len()) && !event.id.chars().any(char::is_control));
    assert!(event.json.iter().all(|byte| *byte >= 0x20));
    let value: serde_json::Value = serde_json::from_slice(&event.json).expect("another parser takes it");
    assert_eq!(value["source"], SOURCE);
    assert_eq!(value["id"], event.id.as_str());
    assert_eq!(value["type"], event.kind.as_str());
    let object = value.as_object().expect("an object");
    assert!(object.keys().all(|name| !name.starts_with("rap")));
    assert_eq!((value["priority"] == "alert"), event.lane == Lane::Alert);
}

pub(crate) fn content_type(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Format::of_content_type(text);
    }
}

/// A pointer up to the first line's end, then the JSON it points into.
pub(crate) fn json_pointer(bytes: &[u8]) {
    let at = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(bytes.len());
    let (pointer, body) = (&bytes[..at], bytes.get(at + 1..).unwrap_or_default());
    let Some(pointer) = std::str::from_utf8(pointer)
        .ok()
        .and_then(|text| text.parse::<Pointer>().ok())
    else {
        return;
    };
    let Ok(compact) = json::compact(body, 32) else {
        return;
    };
    assert!(compact.len() <= body.len());
    let found = json::find(&compact, pointer.tokens());
    let whole: serde_json::Value = serde_json::from_str(&compact).expect("another parser takes it");
    let expected = whole.pointer(&pointer.to_string());
    // The other parser's numbers are rounded, so it reads what we found too.
    let found = found.map(|text| serde_json::from_str::<serde_json::Value>(text).expect("a value"));
    assert_eq!(found.as_ref(), expected);
}

pub(crate) fn receipt(bytes: &[u8]) {
    let key = "0123456789abcdef0123456789abcdef";
    if rap_core::forward::is_receipt(bytes, key, 7) {
        let value: serde_json::Value = serde_json::from_slice(bytes).expect("a receipt is JSON");
        assert_eq!(
            (value["receipt"].as_str(), value["events"].as_u64()),
            (Some(key), Some(7))
        );
    }
}

/// `Retry-After` on the first line, `Date` on the second.
pub(crate) fn retry_after(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (value, date) = text.split_once('\n').unwrap_or((text, ""));
    let asked = rap_core::forward::retry_after(value, date);
    assert!(asked.is_none_or(|asked| asked.as_secs() <= 3600), "{asked:?}");
}

/// The `Accept-Encoding` of each 415 in a row, a line each: there is an end, and what was refused is not tried twice.
pub(crate) fn accept_encoding(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let tried = rap_core::forward::codings_tried(text.lines());
    let mut once = tried.clone();
    once.sort_unstable();
    once.dedup();
    assert!(tried.len() <= 3 && once.len() == tried.len(), "{tried:?}");
}

/// Files a log may find: opened, read, written to and opened again, whatever they hold.
pub(crate) fn log(bytes: &[u8]) {
    const SEGMENT: usize = 4096;
    let config = Config {
        segment: SEGMENT as u64,
        total: 4 * SEGMENT as u64,
    };
    let memory = Memory::default();
    for (index, chunk) in frames(bytes).chunks(SEGMENT).take(4).enumerate() {
        let mut segment = chunk.to_vec();
        segment.resize(SEGMENT, 0);
        memory.put(&format!("segment-{index:04}"), segment);
    }
    for lane in Lane::ALL {
        let cursor = bytes.iter().rev().take(128).copied().collect();
        memory.put(&format!("cursor-{}", lane.as_str()), cursor);
    }
    let mut log = Log::open(Box::new(memory.clone()), config).expect("opens whatever the content is");
    for lane in Lane::ALL {
        // In which order is not asked: frames in no order with good checksums are not damage, but somebody's work.
        let _ = log.peek(lane, 16, 1 << 16);
    }
    let record = NewRecord {
        source: SOURCE.to_owned(),
        id: "fresh".to_owned(),
        received: 1,
        event: br#"{"id":"fresh"}"#.to_vec(),
    };
    let stored = log.append(Lane::Alert, vec![record]).is_ok();
    drop(log);
    let mut log = Log::open(Box::new(memory), config).expect("opens again");
    let mut found = false;
    for _ in 0..64 {
        let Ok(batch) = log.peek(Lane::Alert, 256, 1 << 20) else {
            break;
        };
        if batch.records.is_empty() {
            break;
        }
        found |= batch.records.iter().any(|record| record.id == "fresh");
        if log.advance(Lane::Alert, &batch).is_err() {
            break;
        }
    }
    assert!(
        found || !stored,
        "what was stored durably is there after opening again"
    );
}

/// The input as it is when it begins with 0; else as frames whose headers and checksums are right:
/// `u8 length * 2, u8 owner and kind, u8 generation, u8 sequence, payload`.
fn frames(bytes: &[u8]) -> Vec<u8> {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    let Some((1.., mut rest)) = bytes.split_first().map(|(first, rest)| (*first, rest)) else {
        return bytes.to_vec();
    };
    let mut log = Vec::new();
    while let [length, kind, generation, seq, after @ ..] = rest {
        let length = (usize::from(*length) * 2).min(after.len());
        let (payload, next) = after.split_at(length);
        rest = next;
        let mut header = [0_u8; 32];
        header[..4].copy_from_slice(b"RPF1");
        header[4..8].copy_from_slice(&u32::try_from(length).unwrap_or(0).to_le_bytes());
        (header[12], header[13], header[16], header[24]) = (kind & 3, kind >> 2 & 7, *generation, *seq);
        let mut digest = crc.digest();
        digest.update(&header[..8]);
        digest.update(&header[12..]);
        digest.update(payload);
        header[8..12].copy_from_slice(&digest.finalize().to_le_bytes());
        log.extend_from_slice(&header);
        log.extend_from_slice(payload);
        log.resize(log.len().next_multiple_of(8), 0);
    }
    log
}

/// A disk in memory on which everything is durable at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Memory {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> T {
        act(&mut self.0.lock().expect("one thread"))
    }

    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        self.with(|files| files.insert(name.to_owned(), bytes));
    }

    fn file<T>(&self, name: &str, act: impl FnOnce(&mut Vec<u8>) -> T) -> io::Result<T> {
        self.with(|files| files.get_mut(name).map(act))
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl Storage for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.with(|files| files.keys().cloned().collect()))
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.put(name, Vec::new());
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let bytes = self
            .with(|files| files.remove(from))
            .ok_or(io::ErrorKind::NotFound)?;
        self.put(to, bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.with(|files| files.remove(name).map(drop))
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self, _why: Barrier) -> io::Result<()> {
        Ok(())
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        self.file(name, |bytes| bytes.len() as u64)
    }

    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file(name, |bytes| {
            let there = bytes.get(index(offset)..).unwrap_or_default();
            let length = there.len().min(buffer.len());
            buffer[..length].copy_from_slice(&there[..length]);
            length
        })
    }

    fn write(&self, name: &str, offset: u64, new: &[u8]) -> io::Result<()> {
        assert!(offset < 1 << 20, "a log stays within its files");
        self.file(name, |bytes| {
            let end = index(offset) + new.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[index(offset)..end].copy_from_slice(new);
        })
    }

    fn sync(&self, _name: &str, _why: Barrier) -> io::Result<()> {
        Ok(())
    }

    fn free_space(&self) -> io::Result<u64> {
        Ok(1 << 20)
    }
}

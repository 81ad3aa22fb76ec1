//! What the box finds on its disk and hears from its services.

use std::path::Path;

use rap_core::boot::disk::{Disk, DiskError, Table};
use rap_core::boot::entry::{Entry, Found, ORDER, wanted};
use rap_core::boot::environment::{Environment, State, with_revision, with_state};
use rap_core::boot::uki::{HEAD, Headers, LONGEST, RELEASE_LIMIT, Release};
use rap_core::install::Order;
use rap_core::notify::{Channel, ReceiveError};
use rap_core::provision;
use rap_core::site::Site;
use rustix::net::{SendFlags, send};

pub(crate) fn site(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Err(mistakes) = Site::parse(text, Path::new("site.toml")) {
        assert!(!mistakes.list.is_empty());
        assert!(!mistakes.to_string().is_empty());
    }
}

pub(crate) fn provision(bytes: &[u8]) {
    let _ = provision::unpack(bytes);
}

/// The environment's bytes, as long as it must be; its checksum is right unless the first byte is 0.
pub(crate) fn environment(bytes: &[u8]) {
    const LENGTH: usize = 132_104;
    let mut whole = bytes.get(1..).unwrap_or_default().to_vec();
    if let Some(1..) = bytes.first() {
        whole.resize(LENGTH, 0);
        let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&whole[..LENGTH - 4]);
        whole[LENGTH - 4..].copy_from_slice(&sum.to_le_bytes());
    }
    if let Ok(found) = Environment::decode(&whole) {
        let again = found.encode().expect("what was read can be written");
        assert_eq!(Environment::decode(&again).expect("and read again"), found);
        let changed = with_revision(&whole, 7).expect("a sound environment");
        let changed = with_state(&changed, State::Ok).unwrap_or(changed);
        assert!(Environment::decode(&changed).is_ok_and(|changed| changed.revision == 7));
    }
}

/// The head of a program, then what its `.osrel` says.
pub(crate) fn installed_uki(bytes: &[u8]) {
    let mut head = [0; HEAD];
    let length = bytes.len().min(HEAD);
    head[..length].copy_from_slice(&bytes[..length]);
    if let Ok(headers) = Headers::parse(&head) {
        assert!(headers.bytes <= LONGEST && headers.release.end <= LONGEST);
        assert!(headers.release.end - headers.release.start <= RELEASE_LIMIT);
    }
    let _ = Release::parse(bytes);
}

/// What firmware has: the order, then entries, each with a byte before it that says how long it is.
pub(crate) fn boot_entry(bytes: &[u8]) {
    let mut found = Found::default();
    let (order, mut rest) = bytes.split_at(bytes.len().min(8));
    found.take(ORDER, order);
    for number in 0..16 {
        let Some((length, more)) = rest.split_first() else {
            break;
        };
        let (content, more) = more.split_at(usize::from(*length).min(more.len()));
        let _ = Entry::decode(content);
        found.take(&format!("Boot{number:04X}"), content);
        rest = more;
    }
    let wanted = wanted(&Table::fresh());
    for (name, content) in found.missing(&wanted) {
        found.take(&name, &content);
    }
    assert!(found.missing(&wanted).is_empty());
}

/// The index of a kept copy; its digest is right unless the first byte is 0.
pub(crate) fn kept_copy(bytes: &[u8]) {
    let mut index = bytes.get(1..).unwrap_or_default().to_vec();
    if let Some(1..) = bytes.first() {
        let own = rap_core::digest::Sha256::of(&index);
        index.extend(own.as_bytes());
    }
    rap_core::update::slots::keep::fuzz_index(&index);
}

/// What an installer is told; one that is taken is written again as it was read.
pub(crate) fn installer_order(bytes: &[u8]) {
    if let Ok(order) = Order::parse(bytes) {
        assert_eq!(Order::parse(&order.encode()).unwrap(), order);
    }
}

/// The first sectors of a disk of 64 KiB; the table's checksums are right unless the first byte is 0.
pub(crate) fn gpt(bytes: &[u8]) {
    let mut disk = bytes.get(1..).unwrap_or_default().to_vec();
    disk.resize(64 * 1024, 0);
    if let Some(1..) = bytes.first() {
        seal(&mut disk);
    }
    let length = disk.len() as u64;
    if let Ok(table) = Table::read(&Bytes(&disk), length) {
        let _ = (table.file_system_made(), table.with_file_system_made());
        let _ = table.grown(1 << 31);
    }
}

/// UEFI 2.10 §5.3.2: the entries' checksum at 88 of the header, the header's own at 16.
fn seal(disk: &mut [u8]) {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let entries = crc.checksum(&disk[1024..1024 + 128 * 128]);
    let header = &mut disk[512..1024];
    header[..16].copy_from_slice(b"EFI PART\0\0\x01\0\x5c\0\0\0");
    header[24..32].copy_from_slice(&1_u64.to_le_bytes());
    header[72..80].copy_from_slice(&2_u64.to_le_bytes());
    header[80..84].copy_from_slice(&128_u32.to_le_bytes());
    header[84..88].copy_from_slice(&128_u32.to_le_bytes());
    header[88..92].copy_from_slice(&entries.to_le_bytes());
    header[16..20].fill(0);
    let own = crc.checksum(&header[..92]);
    header[16..20].copy_from_slice(&own.to_le_bytes());
}

struct Bytes<'a>(&'a [u8]);

impl Disk for Bytes<'_> {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), DiskError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let there = self.0.get(start..).and_then(|rest| rest.get(..bytes.len()));
        let there = there.ok_or(DiskError::Io {
            action: "read",
            offset,
            bytes: bytes.len(),
            source: std::io::ErrorKind::UnexpectedEof.into(),
        })?;
        bytes.copy_from_slice(there);
        Ok(())
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> Result<(), DiskError> {
        Err(DiskError::NoTable)
    }

    fn flush(&self) -> Result<(), DiskError> {
        Ok(())
    }
}

/// One packet of a service to init.
pub(crate) fn notify(bytes: &[u8]) {
    let (channel, service) = Channel::pair().expect("a pair of sockets");
    if bytes.is_empty() || send(&service, bytes, SendFlags::empty()).is_err() {
        return;
    }
    match channel.receive() {
        Ok(Some(_)) | Err(ReceiveError::Malformed { .. }) => {}
        other => panic!("{other:?}"),
    }
}

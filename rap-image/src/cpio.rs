//! The initramfs: uncompressed newc archives, one after another, each with its own end.
//!
//! The kernel unpacks any number of them in order (`Documentation/driver-api/early-userspace/buffer-format.rst`).
//! Everything is owned by root, every time is the same, inode numbers count on from archive to archive (the kernel
//! joins files of equal number, mode and device *within* one archive only, but a reader should not have to know):
//! the bytes follow from the entries alone. Each member begins at a multiple of 4.

use crate::payload::{Entry, Kind, Part};

const MAGIC: &str = "070701";
const HEADER: usize = 110;
const TRAILER: &str = "TRAILER!!!";
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const KIND: u32 = 0o170_000;

/// Why bytes are not archives of ours.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CpioError {
    /// A file is 4 GiB or larger, which newc cannot say.
    #[error("`{0}` is 4 GiB or larger: a newc archive cannot hold it")]
    TooLarge(String),
    /// The bytes end within a member.
    #[error("the initramfs ends at byte {0}, in the middle of a file: it was cut off")]
    Truncated(usize),
    /// There is no header where one must be.
    #[error("no cpio header at byte {0} of the initramfs: it is damaged")]
    Header(usize),
    /// A member that this builder does not write.
    #[error("the initramfs has a member of mode {mode:o} named `{path}`, which is none this builder writes")]
    Member {
        /// Its name.
        path: String,
        /// Its mode.
        mode: u32,
    },
}

/// Writes archives.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    next_inode: u32,
    time: u32,
}

impl Writer {
    /// A writer whose members are all of `time`, in seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn new(time: u32) -> Self {
        Self {
            bytes: Vec::new(),
            next_inode: 1,
            time,
        }
    }

    /// Appends one archive.
    ///
    /// # Errors
    /// When a file is too large.
    pub fn archive(&mut self, part: &Part) -> Result<(), CpioError> {
        for entry in &part.entries {
            let (kind, content) = match &entry.kind {
                Kind::Directory => (DIRECTORY, &[][..]),
                Kind::File(content) => (FILE, content.as_slice()),
                Kind::Link(target) => (LINK, target.as_bytes()),
            };
            let links = if kind == DIRECTORY { 2 } else { 1 };
            let inode = self.next_inode;
            self.next_inode += 1;
            self.member(&entry.path, [inode, kind | entry.mode, links, self.time], content)?;
        }
        self.member(TRAILER, [0, 0, 1, 0], &[])
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The archives.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn member(&mut self, path: &str, about: [u32; 4], content: &[u8]) -> Result<(), CpioError> {
        let [inode, mode, links, time] = about;
        let size = u32::try_from(content.len()).map_err(|_| CpioError::TooLarge(path.to_owned()))?;
        let name_size = u32::try_from(path.len() + 1).map_err(|_| CpioError::TooLarge(path.to_owned()))?;
        // inode, mode, uid, gid, links, time, size, device (2), its own device (2), name's size, checksum
        let fields = [inode, mode, 0, 0, links, time, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend(MAGIC.bytes());
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Reads archives back: for each, its entries, without reasons.
///
/// # Errors
/// When the bytes are cut off, damaged, or hold a member this builder does not write.
pub fn read(bytes: &[u8]) -> Result<Vec<Vec<Entry>>, CpioError> {
    let mut archives = Vec::new();
    let mut entries = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (path, mode, content, next) = member(bytes, at)?;
        at = next;
        if path == TRAILER {
            archives.push(std::mem::take(&mut entries));
            continue;
        }
        let kind = match mode & KIND {
            DIRECTORY => Kind::Directory,
            FILE => Kind::File(content.to_vec()),
            LINK => Kind::Link(String::from_utf8_lossy(content).into_owned()),
            _ => return Err(CpioError::Member { path, mode }),
        };
        entries.push(Entry {
            path,
            mode: mode & !KIND,
            kind,
            reason: String::new(),
        });
    }
    if entries.is_empty() {
        Ok(archives)
    } else {
        Err(CpioError::Truncated(at))
    }
}

/// One member at `at`: its name, mode, content, and where the next one begins.
fn member(bytes: &[u8], at: usize) -> Result<(String, u32, &[u8], usize), CpioError> {
    let header = bytes
        .get(at..at + HEADER)
        .ok_or(CpioError::Truncated(bytes.len()))?;
    let field = |number: usize| -> Result<u32, CpioError> {
        let digits = &header[6 + 8 * number..14 + 8 * number];
        let digits = std::str::from_utf8(digits).map_err(|_| CpioError::Header(at))?;
        u32::from_str_radix(digits, 16).map_err(|_| CpioError::Header(at))
    };
    if &header[..6] != MAGIC.as_bytes() {
        return Err(CpioError::Header(at));
    }
    let length =
        |number| field(number).and_then(|size| usize::try_from(size).map_err(|_| CpioError::Header(at)));
    let (name_size, size) = (length(11)?, length(6)?);
    let name_end = at + HEADER + name_size;
    let name = bytes
        .get(at + HEADER..name_end)
        .ok_or(CpioError::Truncated(bytes.len()))?;
    let name = name.strip_suffix(&[0]).ok_or(CpioError::Header(at))?;
    let content_at = name_end.next_multiple_of(4);
    let content = bytes
        .get(content_at..content_at + size)
        .ok_or(CpioError::Truncated(bytes.len()))?;
    let name = String::from_utf8(name.to_vec()).map_err(|_| CpioError::Header(at))?;
    Ok((name, field(1)?, content, (content_at + size).next_multiple_of(4)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(path: &str, mode: u32, kind: Kind) -> Entry {
        Entry {
            path: path.to_owned(),
            mode,
            kind,
            reason: String::new(),
        }
    }

    fn part(entries: Vec<Entry>) -> Part {
        Part {
            owner: "test".to_owned(),
            entries,
        }
    }

    fn written(parts: &[Part]) -> Vec<u8> {
        let mut writer = Writer::new(1_700_000_000);
        for part in parts {
            writer.archive(part).unwrap();
        }
        writer.finish()
    }

    fn example() -> Vec<Part> {
        vec![
            part(vec![
                entry("usr", 0o755, Kind::Directory),
                entry("usr/a", 0o644, Kind::File(b"hello".to_vec())),
            ]),
            part(vec![entry("init", 0o777, Kind::Link("usr/a".to_owned()))]),
        ]
    }

    #[test]
    fn the_bytes_are_newc() {
        let bytes = written(&example());
        let first = "07070100000001000041ed0000000000000000000000026553f100\
                     0000000000000000000000000000000000000000\
                     0000000400000000usr\0\0\0";
        assert_eq!(String::from_utf8_lossy(&bytes[..first.len()]), first);
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(
            bytes.windows(10).filter(|window| window == b"TRAILER!!!").count(),
            2
        );
    }

    #[test]
    fn damage_is_told_apart() {
        let bytes = written(&example());
        assert!(matches!(
            read(&bytes[..bytes.len() - 200]),
            Err(CpioError::Truncated(_))
        ));
        assert!(matches!(read(&bytes[..130]), Err(CpioError::Truncated(_))));
        let mut flipped = bytes.clone();
        flipped[0] = b'x';
        assert_eq!(read(&flipped), Err(CpioError::Header(0)));
        let device = written(&[part(vec![entry("dev/x", 0o020_600, Kind::Directory)])]);
        assert!(matches!(
            read(&device),
            Err(CpioError::Member { mode: 0o060_600, .. })
        ));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..9)) {
            let entries = contents.into_iter().enumerate()
                .map(|(number, content)| entry(&format!("f{number}"), 0o600, Kind::File(content))).collect();
            let parts = [part(entries), part(vec![])];
            let read = read(&written(&parts)).unwrap();
            prop_assert_eq!(read, parts.map(|part| part.entries).to_vec());
        }

        #[test]
        fn no_bytes_make_it_panic(cut in 0_usize..600, at in 0_usize..600, byte: u8) {
            let mut bytes = written(&example());
            let index = at % bytes.len();
            bytes[index] = byte;
            bytes.truncate(cut);
            let _ = read(&bytes);
        }
    }
}

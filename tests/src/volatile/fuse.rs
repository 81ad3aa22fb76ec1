//! The kernel's side of a file system in user space, as much of it as one file needs.
//!
//! The rules and numbers are those of `include/uapi/linux/fuse.h` (protocol 7.31): a request is a header of 40 bytes
//! and what belongs to its kind, an answer a header of 16 bytes and a body; all numbers in the machine's own order.
//! The root of the file system is not a directory but the file itself, so that no name is ever asked for.
//!
//! Invariant: a request that is too short for its kind is refused, and nothing here can panic on one.

/// The only node: the root, which is the file.
const ROOT: u64 = 1;
/// `struct fuse_in_header`.
const REQUEST_HEADER: usize = 40;
/// `struct fuse_write_in`.
const WRITE_HEADER: usize = 40;
/// The largest write; the kernel is told.
const LARGEST_WRITE: u32 = 1 << 20;
/// What the buffer for one request must hold.
pub(super) const REQUEST: usize = LARGEST_WRITE as usize + 4096;
/// The largest read answered.
const LARGEST_READ: u32 = 1 << 20;

/// `FUSE_BIG_WRITES`, `FUSE_MAX_PAGES`: writes of [`LARGEST_WRITE`]. Without `FUSE_WRITEBACK_CACHE`: the kernel keeps
/// no write back.
const ABILITIES: u32 = 1 << 5 | 1 << 22;
const MAJOR: u32 = 7;
const MINOR: u32 = 31;
/// `FOPEN_KEEP_CACHE`: what was read stays in the page cache; nobody else changes the file.
const KEEP_CACHE: u32 = 1 << 1;
/// A regular file for its owner.
const MODE: u32 = 0o100_600;

/// What the kernel is told when something cannot be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Refusal {
    /// `EIO`
    Io = 5,
    /// `EINVAL`
    Invalid = 22,
    /// `ENOSYS`: the kernel does not ask again, and does without.
    Unknown = 38,
}

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ask<'a> {
    Init {
        read_ahead: u32,
    },
    Attributes,
    Open,
    Read {
        offset: u64,
        size: u32,
    },
    Write {
        offset: u64,
        data: &'a [u8],
    },
    Sync,
    /// A file was closed; the file system goes.
    Nothing,
    /// Something that is not answered.
    Silence,
    /// Something that this file cannot do.
    Unknown,
    /// Too short for its kind, or larger than agreed.
    Malformed,
}

/// One request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    /// What the answer must name.
    pub(super) unique: u64,
    pub(super) ask: Ask<'a>,
}

impl<'a> Request<'a> {
    /// `None` when not even the header is whole.
    pub(super) fn parse(packet: &'a [u8]) -> Option<Self> {
        let kind = u32_at(packet, 4)?;
        let unique = u64_at(packet, 8)?;
        let node = u64_at(packet, 16)?;
        let body = packet.get(REQUEST_HEADER..)?;
        let ask = match kind {
            // FORGET, INTERRUPT, BATCH_FORGET
            2 | 36 | 42 => Ask::Silence,
            26 => u32_at(body, 8).map_or(Ask::Malformed, |read_ahead| Ask::Init { read_ahead }),
            _ if node != ROOT && kind != 38 => Ask::Unknown,
            3 => Ask::Attributes,
            14 => Ask::Open,
            15 => read(body).unwrap_or(Ask::Malformed),
            16 => write(body).unwrap_or(Ask::Malformed),
            20 => Ask::Sync,
            // RELEASE, FLUSH, DESTROY
            18 | 25 | 38 => Ask::Nothing,
            _ => Ask::Unknown,
        };
        Some(Self { unique, ask })
    }
}

fn read<'a>(body: &[u8]) -> Option<Ask<'a>> {
    let (offset, size) = (u64_at(body, 8)?, u32_at(body, 16)?);
    (size <= LARGEST_READ).then_some(Ask::Read { offset, size })
}

fn write(body: &[u8]) -> Option<Ask<'_>> {
    let (offset, size) = (u64_at(body, 8)?, u32_at(body, 16)?);
    let data = body.get(WRITE_HEADER..)?;
    (data.len() == usize::try_from(size).ok()?).then_some(Ask::Write { offset, data })
}

/// `struct fuse_init_out`.
pub(super) fn agreed(read_ahead: u32) -> Vec<u8> {
    let mut body = Vec::with_capacity(64);
    for number in [MAJOR, MINOR, read_ahead, ABILITIES] {
        body.extend(number.to_ne_bytes());
    }
    // Requests in the background, and from how many of them on it is called congested.
    for number in [64_u16, 48] {
        body.extend(number.to_ne_bytes());
    }
    body.extend(LARGEST_WRITE.to_ne_bytes());
    // Times count in steps of a nanosecond.
    body.extend(1_u32.to_ne_bytes());
    body.extend(u16::try_from(LARGEST_WRITE / 4096).unwrap_or(32).to_ne_bytes());
    body.resize(64, 0);
    body
}

/// `struct fuse_attr_out` for a file of `size` bytes.
pub(super) fn attributes(size: u64) -> Vec<u8> {
    // Valid for an hour: nobody else changes them.
    let mut body = 3600_u64.to_ne_bytes().to_vec();
    body.extend([0; 8]);
    for number in [ROOT, size, size / 512, 0, 0, 0] {
        body.extend(number.to_ne_bytes());
    }
    // Nanoseconds (3), mode, links, user, group, device, block size, flags.
    for number in [0, 0, 0, MODE, 1, 0, 0, 0, 4096_u32, 0] {
        body.extend(number.to_ne_bytes());
    }
    body
}

/// `struct fuse_open_out`.
pub(super) fn opened() -> Vec<u8> {
    let mut body = vec![0; 8];
    body.extend(KEEP_CACHE.to_ne_bytes());
    body.extend([0; 4]);
    body
}

/// `struct fuse_write_out`.
pub(super) fn written(bytes: usize) -> Vec<u8> {
    let mut body = u32::try_from(bytes).unwrap_or(0).to_ne_bytes().to_vec();
    body.extend([0; 4]);
    body
}

/// The whole answer to request `unique`.
pub(super) fn answer(unique: u64, body: Result<Vec<u8>, Refusal>) -> Vec<u8> {
    let (error, body) = match body {
        Ok(body) => (0, body),
        Err(refusal) => (-(refusal as i32), Vec::new()),
    };
    let length = u32::try_from(16 + body.len()).unwrap_or(16);
    let mut packet = length.to_ne_bytes().to_vec();
    packet.extend(error.to_ne_bytes());
    packet.extend(unique.to_ne_bytes());
    packet.extend(body);
    packet
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(REQUEST_HEADER + body.len()).unwrap();
        let mut packet = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        packet.extend([7_u64.to_ne_bytes(), ROOT.to_ne_bytes()].concat());
        packet.resize(REQUEST_HEADER, 0);
        packet.extend(body);
        packet
    }

    #[test]
    fn a_write_has_its_data_whole_or_is_refused() {
        let mut body = [0_u64.to_ne_bytes(), 4096_u64.to_ne_bytes()].concat();
        body.extend(3_u32.to_ne_bytes());
        body.resize(WRITE_HEADER, 0);
        body.extend(b"abc");
        let whole = packet(16, &body);
        let ask = Ask::Write {
            offset: 4096,
            data: b"abc",
        };
        assert_eq!(Request::parse(&whole), Some(Request { unique: 7, ask }));
        for length in 0..whole.len() {
            let ask = Request::parse(&whole[..length]).map(|request| request.ask);
            let refused = if length < REQUEST_HEADER {
                None
            } else {
                Some(Ask::Malformed)
            };
            assert_eq!(ask, refused, "{length} bytes");
        }
    }

    #[test]
    fn what_the_file_cannot_do_is_said() {
        let packets = [1, 43, 2].map(|kind| packet(kind, &[]));
        let asked = packets
            .each_ref()
            .map(|packet| Request::parse(packet).unwrap().ask);
        // LOOKUP, FALLOCATE; FORGET is not answered at all.
        assert_eq!(asked, [Ask::Unknown, Ask::Unknown, Ask::Silence]);
        assert_eq!(
            answer(7, Err(Refusal::Unknown)),
            [
                16_u32.to_ne_bytes(),
                (-38_i32).to_ne_bytes(),
                7_u32.to_ne_bytes(),
                [0; 4]
            ]
            .concat()
        );
    }

    #[test]
    fn answers_are_as_long_as_the_kernel_expects() {
        assert_eq!(agreed(0).len(), 64);
        assert_eq!(attributes(1 << 20).len(), 104);
        assert_eq!(opened().len(), 16);
        assert_eq!(written(512).len(), 8);
    }
}

//! The server's side of the network block device protocol, as much as QEMU needs of it.
//!
//! The rules are those of the NBD project's `doc/proto.md`: fixed newstyle negotiation, one export of any name,
//! simple replies, READ, WRITE (with FUA), FLUSH, DISC.

use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use super::SECTOR;
use super::cache::Cache;

const MAGIC: u64 = 0x4e42_444d_4147_4943;
const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;

/// Handshake flags: fixed newstyle, no zeroes after the export's description.
const HANDSHAKE: u16 = 0b11;
/// Transmission flags: has flags, accepts FLUSH, accepts FUA.
const EXPORT: u16 = 0b1101;
/// The largest request served; QEMU keeps to it because it is told.
const LARGEST: u32 = 32 << 20;

const ACK: u32 = 1;
const INFO: u32 = 3;
const UNSUPPORTED: u32 = (1 << 31) + 1;
const EINVAL: u32 = 22;
const EIO: u32 = 5;

/// Serves one client until it disconnects.
pub(super) fn serve(stream: &UnixStream, cache: &Mutex<Cache>) -> io::Result<()> {
    let mut wire = Wire {
        reader: BufReader::new(stream),
        writer: stream,
    };
    let size = cache.lock().unwrap_or_else(PoisonError::into_inner).size();
    if wire.negotiate(size)? {
        while wire.request(cache)? {}
    }
    Ok(())
}

struct Wire<'a> {
    reader: BufReader<&'a UnixStream>,
    writer: &'a UnixStream,
}

impl Wire<'_> {
    /// Answers options until the client has chosen the export; false when it gave up.
    fn negotiate(&mut self, size: u64) -> io::Result<bool> {
        let mut hello = [MAGIC.to_be_bytes(), OPTION_MAGIC.to_be_bytes()].concat();
        hello.extend(HANDSHAKE.to_be_bytes());
        self.writer.write_all(&hello)?;
        let client_flags = self.u32()?;
        loop {
            if self.u64()? != OPTION_MAGIC {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "not an NBD option"));
            }
            let option = self.u32()?;
            let length = self.u32()?;
            io::copy(&mut (&mut self.reader).take(length.into()), &mut io::sink())?;
            match option {
                // EXPORT_NAME: no reply header, transmission follows.
                1 => {
                    let mut answer = size.to_be_bytes().to_vec();
                    answer.extend(EXPORT.to_be_bytes());
                    if client_flags & 0b10 == 0 {
                        answer.extend([0; 124]);
                    }
                    self.writer.write_all(&answer)?;
                    return Ok(true);
                }
                // ABORT
                2 => {
                    self.option_reply(option, ACK, &[])?;
                    return Ok(false);
                }
                // INFO and GO; only GO begins the transmission.
                6 | 7 => {
                    self.describe(option, size)?;
                    if option == 7 {
                        return Ok(true);
                    }
                }
                _ => self.option_reply(option, UNSUPPORTED, &[])?,
            }
        }
    }

    /// NBD_INFO_EXPORT and NBD_INFO_BLOCK_SIZE.
    fn describe(&mut self, option: u32, size: u64) -> io::Result<()> {
        let mut export = 0_u16.to_be_bytes().to_vec();
        export.extend(size.to_be_bytes());
        export.extend(EXPORT.to_be_bytes());
        self.option_reply(option, INFO, &export)?;
        let mut blocks = 3_u16.to_be_bytes().to_vec();
        for bytes in [u32::try_from(SECTOR).unwrap_or(512), 4096, LARGEST] {
            blocks.extend(bytes.to_be_bytes());
        }
        self.option_reply(option, INFO, &blocks)?;
        self.option_reply(option, ACK, &[])
    }

    fn option_reply(&mut self, option: u32, kind: u32, data: &[u8]) -> io::Result<()> {
        let mut reply = OPTION_REPLY.to_be_bytes().to_vec();
        let length = u32::try_from(data.len()).map_err(io::Error::other)?;
        for field in [option, kind, length] {
            reply.extend(field.to_be_bytes());
        }
        reply.extend(data);
        self.writer.write_all(&reply)
    }

    /// Serves one request; false when the client says goodbye or is gone.
    fn request(&mut self, cache: &Mutex<Cache>) -> io::Result<bool> {
        let magic = match self.u32() {
            Ok(magic) => magic,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        };
        let flags = u16::from_be_bytes(self.array()?);
        let command = u16::from_be_bytes(self.array()?);
        let (cookie, offset, length) = (self.u64()?, self.u64()?, self.u32()?);
        if magic != REQUEST || length > LARGEST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not an NBD request, or far too long",
            ));
        }
        // WRITE is the only request with data behind it, which must be read even when it is refused.
        let mut data = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        if command == 1 {
            self.reader.read_exact(&mut data)?;
        }
        let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
        let done = match command {
            2 => return Ok(false),
            0 | 1 if !cache.covers(offset, length.into()) => Err(EINVAL),
            0 => cache.read(offset, &mut data).map_err(|_| EIO),
            1 if flags & 1 == 1 => cache.write_through(offset, &data).map_err(|_| EIO),
            1 => cache.write(offset, &data).map_err(|_| EIO),
            3 => cache.flush().map_err(|_| EIO),
            _ => Err(EINVAL),
        };
        drop(cache);
        let answer = if command == 0 && done.is_ok() {
            &data[..]
        } else {
            &[]
        };
        self.reply(done.err().unwrap_or(0), cookie, answer)?;
        Ok(true)
    }

    fn reply(&mut self, error: u32, cookie: u64, data: &[u8]) -> io::Result<()> {
        let mut reply = Vec::with_capacity(16 + data.len());
        reply.extend(REPLY.to_be_bytes());
        reply.extend(error.to_be_bytes());
        reply.extend(cookie.to_be_bytes());
        reply.extend(data);
        self.writer.write_all(&reply)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

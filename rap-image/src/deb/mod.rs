//! Debian packages as files: an `ar` archive (deb(5)) whose member `data.tar.xz`, `.zst` or `.gz` holds the content.
//!
//! Nothing is installed and no maintainer script is ever read. Every path is checked before it is used: relative, no
//! `..`, UTF-8; and moved to where merged-/usr puts it (`lib/x` → `usr/lib/x`).

mod contents;
mod unpack;

use std::io::{self, Read, Write};
use std::path::PathBuf;

pub use contents::{Contents, Member, MemberKind};
pub use unpack::{MERGED, unpack_all};

/// Why a package could not be opened or unpacked. The caller names the package.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is no `ar` archive.
    #[error("not a Debian package: it does not begin with {:?}", "!<arch>")]
    NotAPackage,
    /// The file ends too early.
    #[error("the package is truncated: {0}")]
    Truncated(&'static str),
    /// There is no `data.tar.…` we can read.
    #[error("the package has no data.tar.xz, data.tar.zst or data.tar.gz (members: {0})")]
    NoData(String),
    /// Reading or decompressing failed.
    #[error("the package cannot be read")]
    Read(#[source] io::Error),
    /// A member's path would leave the folder it is unpacked in.
    #[error("the package has a hostile path {0:?}")]
    HostilePath(String),
    /// A kind of member we do not know, such as a device.
    #[error("{0:?} is neither a file, a folder nor a link")]
    UnknownKind(String),
    /// Writing what was unpacked failed.
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] io::Error),
    /// Unpacking one of several packages failed.
    #[error("cannot unpack {0}")]
    Package(String, #[source] Box<Error>),
    /// The store could not give the package.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
}

const MAGIC: &[u8; 8] = b"!<arch>\n";

/// The content of a package as a tar stream, decompressed while it is read.
///
/// # Errors
/// When it is no package, is truncated before its content, or compressed in a way Debian does not use.
pub fn data<'a>(mut package: impl Read + 'a) -> Result<Box<dyn Read + 'a>, Error> {
    let mut magic = [0; MAGIC.len()];
    package.read_exact(&mut magic).map_err(|_| Error::NotAPackage)?;
    if magic != *MAGIC {
        return Err(Error::NotAPackage);
    }
    let mut seen = Vec::new();
    while let Some((name, size)) = member(&mut package)? {
        let content = package.by_ref().take(size);
        match name.as_str() {
            "data.tar.xz" => {
                return Ok(Box::new(liblzma::read::XzDecoder::new_multi_decoder(
                    package.take(size),
                )));
            }
            "data.tar.zst" => {
                let decoder = zstd::Decoder::new(package.take(size)).map_err(Error::Read)?;
                return Ok(Box::new(decoder));
            }
            "data.tar.gz" => return Ok(Box::new(flate2::read::GzDecoder::new(package.take(size)))),
            _ => skip(content, size)?,
        }
        skip(package.by_ref().take(size % 2), size % 2)?;
        seen.push(name);
    }
    Err(Error::NoData(seen.join(", ")))
}

/// Writes [`data`] of `package` to `out`, for the store's cache.
///
/// # Errors
/// As [`data`], and when its compressed stream is damaged or truncated.
pub fn decompress(package: impl Read, out: &mut dyn Write) -> Result<(), Error> {
    io::copy(&mut data(package)?, out).map_err(Error::Read)?;
    Ok(())
}

/// An `ar` member's header: its name and size; `None` at the end of the archive.
///
/// `name[16] mtime[12] uid[6] gid[6] mode[8] size[10] "`\n"`, all text padded with spaces.
fn member(package: &mut impl Read) -> Result<Option<(String, u64)>, Error> {
    let mut header = Vec::with_capacity(60);
    package
        .by_ref()
        .take(60)
        .read_to_end(&mut header)
        .map_err(Error::Read)?;
    if header.is_empty() {
        return Ok(None);
    }
    if header.len() < 60 {
        return Err(Error::Truncated("it ends in an ar header"));
    }
    // Cut by bytes: a hostile header may have a longer character across a field's end.
    let name = String::from_utf8_lossy(&header[..16]);
    let size = std::str::from_utf8(&header[48..58]).map(str::trim_end).ok();
    let size = size.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let size = size.and_then(|text| text.parse().ok());
    let size = size.ok_or(Error::Truncated("an ar header has no size"))?;
    Ok(Some((name.trim_end().trim_end_matches('/').to_owned(), size)))
}

fn skip(mut content: impl Read, size: u64) -> Result<(), Error> {
    let skipped = io::copy(&mut content, &mut io::sink()).map_err(Error::Read)?;
    if skipped < size {
        Err(Error::Truncated("it ends in a member"))
    } else {
        Ok(())
    }
}

/// A tar member's path, relative and without `./` and a trailing slash, where merged-/usr puts it. Empty is the root.
fn clean(raw: &[u8]) -> Result<String, Error> {
    let hostile = || Error::HostilePath(String::from_utf8_lossy(raw).into_owned());
    let text = std::str::from_utf8(raw).map_err(|_| hostile())?;
    if text.starts_with('/') || text.contains('\0') {
        return Err(hostile());
    }
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(hostile()),
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    let merged = MERGED
        .iter()
        .any(|folder| path == *folder || path.starts_with(&format!("{folder}/")));
    Ok(if merged { format!("usr/{path}") } else { path })
}

#[cfg(test)]
pub(crate) mod tests;

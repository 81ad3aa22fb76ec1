//! One file over HTTP: `.part`, `Range`, check, sync, rename.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::FlockOperation;

use super::progress::Progress;
use super::{Error, Fetcher};
use crate::store::failed;
use rap_core::digest::Sha256;

/// Tries of one address before the next.
const TRIES: u32 = 3;

/// Where distributions keep the certificates this machine trusts.
const ROOTS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// A client that waits, but not for ever: 30 s for a connection, an answer, or the next bytes.
pub(super) fn agent() -> ureq::Agent {
    use ureq::tls::{PemItem, RootCerts, TlsConfig};
    let pem = ROOTS
        .iter()
        .find_map(|path| fs::read(path).ok())
        .unwrap_or_default();
    let roots: Vec<_> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    let patience = Some(Duration::from_secs(30));
    ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .user_agent(concat!("rap-image/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(patience)
        .timeout_connect(patience)
        .timeout_recv_response(patience)
        .timeout_per_read(patience)
        .build()
        .new_agent()
}

/// A text of at most `limit` bytes.
pub(super) fn text(agent: &ureq::Agent, url: &str, limit: u64) -> Result<String, Error> {
    let mut answer = agent.get(url).call().map_err(|error| transfer(url, error))?;
    match answer.status().as_u16() {
        200 => {}
        404 | 410 => return Err(Error::NoSuchFile(url.to_owned())),
        status => {
            return Err(Error::Status {
                url: url.to_owned(),
                status,
            });
        }
    }
    let mut text = String::new();
    let body = answer.body_mut().as_reader();
    body.take(limit)
        .read_to_string(&mut text)
        .map_err(|source| Error::Transfer {
            url: url.to_owned(),
            source,
        })?;
    Ok(text)
}

impl Fetcher {
    /// Fetches one file of known hash into the store from the first address that has it right.
    pub(super) fn object(
        &self,
        what: &str,
        urls: &[String],
        sha256: &Sha256,
        size: u64,
        progress: &Progress,
    ) -> Result<(), Error> {
        if self.mirrors.is_none() {
            return Err(Error::Offline(what.to_owned()));
        }
        let path = self.store.path(sha256);
        let part_path = path.with_extension("part");
        let mut part = Part::open(&part_path)?;
        // Another process may have fetched it while this one waited for the lock.
        if path.is_file() {
            return Ok(());
        }
        let mut last = Error::NoSuchFile(what.to_owned());
        for url in urls {
            for attempt in 0..TRIES {
                match self.attempt(url, &mut part, sha256, size, progress) {
                    Ok(()) => return part.finish(&path),
                    Err(Error::NoSuchFile(_)) => break,
                    Err(error @ Error::WrongHash { .. }) => {
                        part.clear()?;
                        last = error;
                        break;
                    }
                    Err(error @ Error::Store(_)) => return Err(error),
                    Err(error) => last = error,
                }
                if attempt + 1 < TRIES {
                    std::thread::sleep(self.patience * 2_u32.pow(attempt));
                }
            }
        }
        Err(last)
    }

    /// One request for what is still missing.
    fn attempt(
        &self,
        url: &str,
        part: &mut Part<'_>,
        sha256: &Sha256,
        size: u64,
        progress: &Progress,
    ) -> Result<(), Error> {
        let mut have = part.len()?;
        if have > size {
            have = part.clear()?;
        }
        if have < size {
            let mut request = self.agent.get(url);
            if have > 0 {
                request = request.header("Range", format!("bytes={have}-"));
            }
            let mut answer = request.call().map_err(|error| transfer(url, error))?;
            let resumed = format!("bytes {have}-");
            let continues = answer
                .headers()
                .get("content-range")
                .and_then(|range| range.to_str().ok());
            match answer.status().as_u16() {
                206 if have > 0 && continues.is_some_and(|range| range.starts_with(&resumed)) => {}
                // The server does not know ranges and sends everything.
                200 => have = part.clear()?,
                404 | 410 => return Err(Error::NoSuchFile(url.to_owned())),
                status => {
                    // What is there may be longer than the server's file: the next try begins anew.
                    part.clear()?;
                    return Err(Error::Status {
                        url: url.to_owned(),
                        status,
                    });
                }
            }
            // One byte more than expected tells a longer file.
            let body = answer.body_mut().as_reader().take(size - have + 1);
            part.append(url, body, progress)?;
        }
        let found = part.len()?;
        if found != size {
            return Err(Error::WrongSize {
                url: url.to_owned(),
                expected: size,
                found,
            });
        }
        let found = part.digest()?;
        if found != *sha256 {
            return Err(Error::WrongHash {
                url: url.to_owned(),
                expected: *sha256,
                found,
            });
        }
        Ok(())
    }
}

fn transfer(url: &str, error: ureq::Error) -> Error {
    Error::Transfer {
        url: url.to_owned(),
        source: error.into_io(),
    }
}

/// A file being fetched, locked against other processes that fetch the same.
struct Part<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> Part<'a> {
    fn open(path: &'a Path) -> Result<Self, Error> {
        let folder = path.parent().unwrap_or(path);
        fs::create_dir_all(folder).map_err(failed("make the folder", folder))?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(failed("open", path))?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| failed("lock", path)(error.into()))?;
        Ok(Self { path, file })
    }

    fn len(&self) -> Result<u64, Error> {
        Ok(self.file.metadata().map_err(failed("read", self.path))?.len())
    }

    /// Empties it; its new length.
    fn clear(&mut self) -> Result<u64, Error> {
        self.file.set_len(0).map_err(failed("write", self.path))?;
        Ok(0)
    }

    fn append(&mut self, url: &str, mut body: impl Read, progress: &Progress) -> Result<(), Error> {
        self.file
            .seek(SeekFrom::End(0))
            .map_err(failed("write", self.path))?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(Error::Transfer {
                        url: url.to_owned(),
                        source,
                    });
                }
            };
            self.file
                .write_all(&buffer[..read])
                .map_err(failed("write", self.path))?;
            progress.add(read as u64);
        }
    }

    fn digest(&mut self) -> Result<Sha256, Error> {
        self.file.rewind().map_err(failed("read", self.path))?;
        let (digest, _) = Sha256::of_reader(&mut self.file).map_err(failed("read", self.path))?;
        Ok(digest)
    }

    /// Gives it its name, which says that it is whole and right.
    fn finish(self, path: &Path) -> Result<(), Error> {
        self.file.sync_all().map_err(failed("write", self.path))?;
        fs::rename(self.path, path).map_err(failed("rename", self.path))?;
        Ok(())
    }
}

//! Takes what the provision partition holds into the data partition, and wipes it.
//!
//! Order, so that a power cut anywhere leaves either the archive or everything taken from it: the identity's files,
//! the site, each durably; keys for firmware; then the first sector is wiped and flushed, which says that it was taken;
//! then the rest. Doing it again after a cut gives the same.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::provision::{Parcel, SESSION_FILES, is_proxy_password, unpack};
use crate::site::Site;

use super::durable::{self, Owner};
use super::{InitError, made, paths_below};

const SECTOR: usize = 512;
/// What the box shows the instruments.
const SERVER: [&str; 2] = ["ingest.crt", "ingest.key"];

/// The device or file that holds a provision partition.
pub(super) trait Medium: Read + Write + Seek {
    /// Returns when everything written is on the medium.
    fn flush_medium(&mut self) -> io::Result<()>;
}

impl Medium for std::fs::File {
    fn flush_medium(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// Whose the identity's files are; besides them root alone can read them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Readers {
    /// Of keys and certificates.
    pub(super) keys: Owner,
    /// Of the key and certificate towards the instruments.
    pub(super) server: Owner,
    /// Of the proxies' passwords.
    pub(super) passwords: Owner,
    /// Of what remote sessions need.
    pub(super) sessions: Owner,
}

/// Takes over the archive on `partition`, if there is one, to below `data`; what is meant for firmware is given to
/// `enrol`. Says whether there was one.
///
/// # Errors
/// A damaged archive and a site with mistakes are refused as a whole, and left where they are: what the box had
/// before stays in force.
pub(super) fn consume(
    partition: &mut impl Medium,
    length: u64,
    data: &Path,
    readers: Option<Readers>,
    enrol: impl FnOnce(&BTreeMap<String, Vec<u8>>),
) -> Result<bool, InitError> {
    let io = |source| InitError::ProvisionIo { source };
    let mut bytes = Vec::new();
    partition.seek(SeekFrom::Start(0)).map_err(io)?;
    Read::take(&mut *partition, length)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    let Some(parcel) = unpack(&bytes).map_err(|source| InitError::Provision { source })? else {
        // A wipe that a power cut stopped is finished now.
        if bytes.iter().any(|byte| *byte != 0) {
            wipe(partition, &mut bytes).map_err(io)?;
        }
        return Ok(false);
    };
    if let Some(text) = &parcel.site {
        Site::parse(text, Path::new("site.toml")).map_err(|source| InitError::ProvisionedSite { source })?;
    }
    keep(&parcel, data, readers)?;
    enrol(&parcel.secure_boot);
    wipe(partition, &mut bytes).map_err(io)?;
    Ok(true)
}

/// The first sector by itself, because only a sector is written wholly or not at all; then everything.
fn wipe(partition: &mut impl Medium, bytes: &mut [u8]) -> io::Result<()> {
    bytes.fill(0);
    for length in [SECTOR.min(bytes.len()), bytes.len()] {
        partition.seek(SeekFrom::Start(0))?;
        partition.write_all(&bytes[..length])?;
        partition.flush_medium()?;
    }
    Ok(())
}

fn keep(parcel: &Parcel, data: &Path, readers: Option<Readers>) -> Result<(), InitError> {
    let below = paths_below(data);
    durable::directory(&below.config, 0o755, None)?;
    // Its files have different readers: all may look for a name they know, nobody but root may list them.
    durable::directory(
        &below.identity,
        0o711,
        readers.map(|_| Owner { user: 0, group: 0 }),
    )?;
    for (name, content) in &parcel.identity {
        let owner = readers.map(|readers| {
            if is_proxy_password(name) {
                readers.passwords
            } else if SERVER.contains(&name.as_str()) {
                readers.server
            } else if SESSION_FILES.contains(&name.as_str()) {
                readers.sessions
            } else {
                readers.keys
            }
        });
        // Where the owner is a service, it reads like the group.
        let mode = if owner.is_some_and(|owner| owner.user != 0) {
            0o440
        } else {
            0o640
        };
        durable::write(&below.identity.join(name), content, mode, owner)?;
    }
    if parcel.identity.contains_key("device.key") {
        made::forget(&below.identity)?;
    }
    if let Some(text) = &parcel.site {
        durable::write(&below.site, text.as_bytes(), 0o644, None)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use crate::site::EXAMPLE;

    use super::*;

    const LENGTH: u64 = 4 << 20;

    fn partition(archive: &[u8]) -> std::fs::File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(archive).unwrap();
        file.set_len(LENGTH).unwrap();
        file
    }

    fn archive(site: &str) -> Vec<u8> {
        pack(site, [("device.key", &b"secret"[..])])
    }

    fn pack<const N: usize>(site: &str, files: [(&str, &[u8]); N]) -> Vec<u8> {
        Parcel {
            site: Some(site.to_owned()),
            identity: files
                .map(|(name, content)| (name.to_owned(), content.to_vec()))
                .into(),
            secure_boot: BTreeMap::from([("PK.auth".to_owned(), b"key".to_vec())]),
        }
        .pack()
    }

    fn consume(
        partition: &mut impl Medium,
        data: &Path,
        readers: Option<Readers>,
    ) -> Result<bool, InitError> {
        super::consume(partition, LENGTH, data, readers, |files| {
            assert_eq!(files["PK.auth"], b"key")
        })
    }

    #[test]
    fn an_archive_is_taken_once_and_wiped() {
        let data = tempfile::tempdir().unwrap();
        let mut file = partition(&archive(EXAMPLE));
        assert!(consume(&mut file, data.path(), None).unwrap());
        let below = paths_below(data.path());
        assert_eq!(std::fs::read_to_string(&below.site).unwrap(), EXAMPLE);
        let key = below.identity.join("device.key");
        assert_eq!(std::fs::read(&key).unwrap(), b"secret");
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o007, 0);
        let mut rest = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut rest).unwrap();
        assert!(rest.len() == 4 << 20 && rest.iter().all(|byte| *byte == 0));
        assert!(!consume(&mut file, data.path(), None).unwrap());
    }

    #[test]
    fn each_file_is_for_the_service_that_needs_it() {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "this test needs root");
            return println!("skipped: needs root");
        }
        let data = tempfile::tempdir().unwrap();
        let files = [
            "device.key",
            "ingest.key",
            "proxy-hospital.password",
            "tunnel.key",
        ]
        .map(|name| (name, &b"s3cret"[..]));
        let mut file = partition(&pack(EXAMPLE, files));
        let group = |group| Owner { user: 0, group };
        let readers = Readers {
            keys: group(901),
            server: Owner {
                user: 905,
                group: 901,
            },
            passwords: group(906),
            sessions: group(903),
        };
        assert!(consume(&mut file, data.path(), Some(readers)).unwrap());
        let identity = paths_below(data.path()).identity;
        let of = |path: &Path| {
            let meta = std::fs::metadata(path).unwrap();
            (meta.uid(), meta.gid(), meta.permissions().mode() & 0o777)
        };
        assert_eq!(of(&identity), (0, 0, 0o711));
        assert_eq!(of(&identity.join("device.key")), (0, 901, 0o640));
        assert_eq!(of(&identity.join("ingest.key")), (905, 901, 0o440));
        assert_eq!(of(&identity.join("proxy-hospital.password")), (0, 906, 0o640));
        assert_eq!(of(&identity.join("tunnel.key")), (0, 903, 0o640));
    }

    #[test]
    fn an_identity_that_is_given_goes_before_what_the_box_made() {
        let data = tempfile::tempdir().unwrap();
        let made = paths_below(data.path()).identity.join(crate::identity::MADE);
        for name in made::FILES {
            let path = made.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "made").unwrap();
        }
        let left = |made: &Path| made::FILES.iter().filter(|name| made.join(name).exists()).count();
        // Passwords and trust may come without an identity.
        let mut partial = partition(&pack(EXAMPLE, [("centre-ca.crt", &b"ca"[..])]));
        assert!(consume(&mut partial, data.path(), None).unwrap());
        assert_eq!(left(&made), made::FILES.len());
        assert!(consume(&mut partition(&archive(EXAMPLE)), data.path(), None).unwrap());
        assert_eq!(left(&made), 0);
    }

    #[test]
    fn a_site_with_mistakes_changes_nothing() {
        let data = tempfile::tempdir().unwrap();
        let mut file = partition(&archive("version = 2\n"));
        let error = consume(&mut file, data.path(), None).unwrap_err();
        assert!(matches!(error, InitError::ProvisionedSite { .. }));
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
        // It was left where it is.
        assert!(consume(&mut file, data.path(), None).is_err());
    }

    #[test]
    fn a_wipe_that_was_cut_is_finished() {
        let data = tempfile::tempdir().unwrap();
        let mut bytes = archive(EXAMPLE);
        bytes[..SECTOR].fill(0);
        let mut file = partition(&bytes);
        assert!(!consume(&mut file, data.path(), None).unwrap());
        let mut rest = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut rest).unwrap();
        assert!(rest.iter().all(|byte| *byte == 0));
    }

    /// A medium whose power fails when it is written to: the wipe does not happen, or half of it does.
    struct Cut(std::io::Cursor<Vec<u8>>);

    impl Read for Cut {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }
    impl Seek for Cut {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    impl Write for Cut {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl Medium for Cut {
        fn flush_medium(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn after_a_cut_before_the_wipe_it_is_taken_again() {
        let data = tempfile::tempdir().unwrap();
        let bytes = archive(EXAMPLE);
        assert!(consume(&mut Cut(io::Cursor::new(bytes.clone())), data.path(), None).is_err());
        assert!(paths_below(data.path()).site.exists());
        assert!(consume(&mut partition(&bytes), data.path(), None).unwrap());
    }
}

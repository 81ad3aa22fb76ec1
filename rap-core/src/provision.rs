//! The provision partition: a site's description and the box's identity on their way into the box.
//!
//! ```text
//! ustar archive: site.toml, identity/NAME …, secure-boot/NAME …     zeros to the end of the partition
//! ```
//!
//! Invariants: [`unpack`] takes nothing but regular files with the names in [`IDENTITY_FILES`] and [`SESSION_FILES`], [`COLLECTOR_CA`], those of
//! [`Variable::file`], passwords of proxies ([`is_proxy_password`]) and `site.toml`, each once and at most [`FILE_LIMIT`] bytes; what
//! [`Parcel::pack`] writes depends on the parcel alone.

use std::collections::BTreeMap;
use std::io::Read as _;

use crate::boot::variable::Variable;

/// The name of the site's description in the archive.
pub const SITE_FILE: &str = "site.toml";
/// The files of an identity, below `identity/` in the archive and below [`crate::paths::IDENTITY`] on the box.
pub const IDENTITY_FILES: [&str; 5] = [
    "centre-ca.crt",
    "device.crt",
    "device.key",
    "ingest.crt",
    "ingest.key",
];

/// The files of an identity that remote sessions need, where the site has a tunnel, or wants a PIN: the key of who may ask,
/// the PIN's hash, and what OpenVPN needs.
pub const SESSION_FILES: [&str; 6] = [
    "service.pub",
    "tunnel-ca.crt",
    "tunnel.crt",
    "tunnel.key",
    "tunnel-crypt.key",
    "consent.pin",
];

/// The authority of the hospital's audit collector, where the site names one and not its fingerprint.
pub const COLLECTOR_CA: &str = "collector-ca.crt";

/// What firmware in setup mode is given, below `secure-boot/` in the archive: the content of its key variables as UEFI's
/// `SetVariable` takes it.
fn secure_boot_files() -> [&'static str; 3] {
    Variable::ALL.map(Variable::file)
}

/// Whether `name` is that of a file with a proxy's password, `proxy-NAME.password`, and NAME one that `site.toml` could
/// give a proxy.
#[must_use]
pub fn is_proxy_password(name: &str) -> bool {
    let proxy = name
        .strip_prefix("proxy-")
        .and_then(|rest| rest.strip_suffix(".password"));
    proxy.is_some_and(crate::site::is_proxy_name)
}

/// The largest file taken, in bytes.
pub const FILE_LIMIT: u64 = 256 * 1024;

/// What a provision partition held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parcel {
    /// The text of `site.toml`, if it was there.
    pub site: Option<String>,
    /// The files below `identity/`, by name.
    pub identity: BTreeMap<String, Vec<u8>>,
    /// The files below `secure-boot/`, by name.
    pub secure_boot: BTreeMap<String, Vec<u8>>,
}

/// Why a provision partition was refused.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// Neither empty nor an archive.
    #[error("the provision partition holds no readable ustar archive; write it again with rap-image")]
    Archive {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An entry that has no business here.
    #[error(
        "the provision partition holds \"{name}\"; expected the files site.toml, identity/{{{},{},{COLLECTOR_CA},proxy-NAME.password}} and \
         secure-boot/{{{}}}, each once",
        IDENTITY_FILES.join(","),
        SESSION_FILES.join(","),
        secure_boot_files().join(",")
    )]
    Unexpected {
        /// Its path, or what stood there.
        name: String,
    },
    /// An entry that is too large.
    #[error("{name} on the provision partition has {size} bytes; at most {FILE_LIMIT} are taken")]
    TooLarge {
        /// Its path.
        name: String,
        /// Its size in bytes.
        size: u64,
    },
    /// A site description that is no text.
    #[error("site.toml on the provision partition is not UTF-8 text")]
    NotText,
}

impl Parcel {
    /// The archive of these files: the same parcel gives the same bytes.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        if let Some(site) = &self.site {
            append(&mut archive, SITE_FILE, site.as_bytes());
        }
        for (folder, files) in [("identity", &self.identity), ("secure-boot", &self.secure_boot)] {
            for (name, content) in files {
                append(&mut archive, &format!("{folder}/{name}"), content);
            }
        }
        // Two blocks of zeros end an archive (POSIX.1-2017 pax, "ustar Interchange Format").
        archive.resize(archive.len() + 1024, 0);
        archive
    }
}

fn append(archive: &mut Vec<u8>, name: &str, content: &[u8]) {
    let mut header = tar::Header::new_ustar();
    // Truncating keeps this total; every known name is far below ustar's 100 bytes.
    let name = &name.as_bytes()[..name.len().min(99)];
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

/// Reads what is on the partition: `None` when it is empty or was taken, which is what a first sector of zeros says.
///
/// # Errors
/// See [`ProvisionError`]; nothing of a partition with a fault is taken.
pub fn unpack(partition: &[u8]) -> Result<Option<Parcel>, ProvisionError> {
    if partition.iter().take(512).all(|byte| *byte == 0) {
        return Ok(None);
    }
    let archive = |source| ProvisionError::Archive { source };
    let mut parcel = Parcel::default();
    let mut reader = tar::Archive::new(partition);
    let mut count = 0_usize;
    for entry in reader.entries().map_err(archive)?.raw(true) {
        let mut entry = entry.map_err(archive)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(ProvisionError::Unexpected { name });
        }
        let size = entry.size();
        if size > FILE_LIMIT {
            return Err(ProvisionError::TooLarge { name, size });
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(archive)?;
        if content.len() as u64 != size {
            return Err(archive(std::io::ErrorKind::UnexpectedEof.into()));
        }
        take(&mut parcel, name, content)?;
        count += 1;
    }
    if count == 0 {
        return Err(archive(std::io::ErrorKind::InvalidData.into()));
    }
    Ok(Some(parcel))
}

/// Whether a file of this name may be below `identity/`.
fn is_of_identity(file: &str) -> bool {
    let known = IDENTITY_FILES.iter().chain(&SESSION_FILES).chain([&COLLECTOR_CA]);
    known.into_iter().any(|known| *known == file) || is_proxy_password(file)
}

fn take(parcel: &mut Parcel, name: String, content: Vec<u8>) -> Result<(), ProvisionError> {
    if name == SITE_FILE && parcel.site.is_none() {
        let text = String::from_utf8(content).map_err(|_| ProvisionError::NotText)?;
        parcel.site = Some(text);
        return Ok(());
    }
    let known = match name.split_once('/') {
        Some(("identity", file)) if is_of_identity(file) => Some((&mut parcel.identity, file)),
        Some(("secure-boot", file)) if secure_boot_files().contains(&file) => {
            Some((&mut parcel.secure_boot, file))
        }
        _ => None,
    };
    match known {
        Some((files, file)) if !files.contains_key(file) => {
            files.insert(file.to_owned(), content);
            Ok(())
        }
        _ => Err(ProvisionError::Unexpected { name }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identity() -> BTreeMap<String, Vec<u8>> {
        let files = IDENTITY_FILES
            .iter()
            .chain(&SESSION_FILES)
            .chain(&[COLLECTOR_CA, "proxy-hospital.password"]);
        files
            .map(|name| ((*name).to_owned(), name.as_bytes().to_vec()))
            .collect()
    }

    fn parcel() -> Parcel {
        Parcel {
            site: Some("version = 1\n".to_owned()),
            identity: identity(),
            secure_boot: BTreeMap::from([("PK.auth".to_owned(), b"key".to_vec())]),
        }
    }

    fn pack(site: &str) -> Vec<u8> {
        let site = Some(site.to_owned());
        Parcel {
            site,
            ..Parcel::default()
        }
        .pack()
    }

    fn partition(mut archive: Vec<u8>) -> Vec<u8> {
        archive.resize(4 << 20, 0);
        archive
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let archive = parcel().pack();
        assert_eq!(archive, parcel().pack());
        assert_eq!(unpack(&partition(archive)).unwrap().unwrap(), parcel());
    }

    #[test]
    fn a_wiped_partition_is_empty() {
        assert!(unpack(&partition(Vec::new())).unwrap().is_none());
    }

    #[test]
    fn a_foreign_file_is_refused() {
        for name in [
            "identity/../../init",
            "/etc/passwd",
            "identity/other.key",
            "identity/proxy-.password",
            "identity/proxy-a/b.password",
            "identity/proxy-direct.password",
            "secure-boot/dbx.auth",
            "secure-boot/",
            "site.toml",
        ] {
            let mut archive = pack("");
            archive.truncate(512);
            append(&mut archive, name, b"x");
            let error = unpack(&partition(archive)).unwrap_err();
            assert!(matches!(&error, ProvisionError::Unexpected { name: n } if n == name));
            assert!(
                error
                    .to_string()
                    .contains("expected the files site.toml, identity/")
            );
        }
    }

    #[test]
    fn a_link_is_refused() {
        let mut archive = Vec::new();
        append(&mut archive, "site.toml", b"");
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes().copy_from_slice(&archive[..512]);
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_cksum();
        archive[..512].copy_from_slice(header.as_bytes());
        assert!(matches!(
            unpack(&partition(archive)),
            Err(ProvisionError::Unexpected { .. })
        ));
    }

    #[test]
    fn a_large_file_is_refused() {
        let archive = pack(&"#".repeat(300_000));
        let error = unpack(&partition(archive)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "site.toml on the provision partition has 300000 bytes; at most 262144 are taken"
        );
    }

    #[test]
    fn noise_is_refused() {
        assert!(matches!(
            unpack(&partition(vec![7; 4096])),
            Err(ProvisionError::Archive { .. })
        ));
        assert!(matches!(unpack(&[1]), Err(ProvisionError::Archive { .. })));
    }

    proptest! {
        #[test]
        fn a_damaged_archive_never_panics_nor_invents(at in 0_usize..4096, bit in 0_u8..8) {
            let mut archive = parcel().pack();
            let at = at % archive.len();
            archive[at] ^= 1 << bit;
            if let Ok(Some(parcel)) = unpack(&archive) {
                let known = |name: &String| is_of_identity(name);
                prop_assert!(parcel.identity.keys().all(known));
            }
        }
    }
}

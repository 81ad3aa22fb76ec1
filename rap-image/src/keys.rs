//! Development keys: everything a box, a service centre and a signer need to work together on a desk.
//!
//! Invariants: every certificate says DEVELOPMENT in its name; the directory is 0700 and every file 0600; a set is
//! written whole (into a directory beside it, then renamed) and never over another one unless forced. Certificates
//! are valid from 2024 to 2054, so that no clock matters in the lab.

mod private;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

pub use private::{PrivateKey, PrivateKeyError};
use rap_qemu::lab::{CENTRE, CENTRE_NAME};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, RsaKeySize, SanType, SerialNumber, SignatureAlgorithm,
};
use tough::schema::RoleType;

use crate::trust::{self, ROOT_FILE, RootError, Signatory, Terms};

/// The name under which agents know a box.
pub const BOX_NAME: &str = "rap.local";

const README: &str = "\
DEVELOPMENT KEYS. Made by `rap-image keys dev`; never commit them, never ship them, trust nothing they sign.

centre-ca.crt, .key        the authority both sides of the delivery trust (ECDSA P-256)
device.crt, .key           a box, as a TLS client of the service centre
centre.crt, .key           the service centre, as a TLS server
ingest.crt, .key           a box, as a TLS server for its instruments' agents
secure-boot-PK, -KEK, -db  UEFI Secure Boot, self-signed RSA-2048 (.crt, .key)
update-root-1, -2, -3      TUF root keys, ed25519, PKCS#8 (.key) and public (.pub)
update-online              TUF targets, snapshot and timestamp key, ed25519
root.json                  TUF root, signed by two of its three keys: what a box trusts whose image was built with --keys
";

/// Seconds since 1970 of 2054-01-01: when everything here ends.
const END: i64 = 2_650_838_400;
/// The root keys; two of them have to sign.
const ROOTS: [&str; 3] = ["update-root-1", "update-root-2", "update-root-3"];
const ONLINE: &str = "update-online";
const TWO: NonZeroU64 = NonZeroU64::MIN.saturating_add(1);

/// Why no keys were made.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There are some.
    #[error("{} exists; remove it, choose another --out, or replace it with --force", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// What would be replaced is no set of development keys.
    #[error("{} holds no development keys (no README that says so), so it is not replaced", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// A key or certificate could not be made.
    #[error("cannot make {name}")]
    Make {
        /// Which.
        name: &'static str,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// The root of updates.
    #[error("cannot make the root of updates")]
    Root(#[from] RootError),
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// One file of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// Its name.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// Makes a whole set of development keys in memory. `ingest` are addresses agents reach the box at.
///
/// # Errors
/// [`KeysError::Make`].
pub fn development(ingest: &[IpAddr]) -> Result<Vec<KeyFile>, KeysError> {
    let mut files = Vec::new();
    push(&mut files, "README", README);
    let (authority, certificate, key) = authority()?;
    push_pair(&mut files, "centre-ca", &certificate, &key);
    let centre = [
        SanType::IpAddress((*CENTRE.ip()).into()),
        dns("centre", CENTRE_NAME)?,
    ];
    let mut served: Vec<SanType> = ingest.iter().copied().map(SanType::IpAddress).collect();
    served.push(dns("ingest", BOX_NAME)?);
    let leaves: [(_, &[SanType], _); 3] = [
        ("device", &[], ExtendedKeyUsagePurpose::ClientAuth),
        ("centre", &centre, ExtendedKeyUsagePurpose::ServerAuth),
        ("ingest", &served, ExtendedKeyUsagePurpose::ServerAuth),
    ];
    for (name, names, purpose) in leaves {
        let (certificate, key) = leaf(name, names, purpose, &authority)?;
        push_pair(&mut files, name, &certificate, &key);
    }
    for name in ["secure-boot-PK", "secure-boot-KEK", "secure-boot-db"] {
        let (certificate, key) = secure_boot(name)?;
        push_pair(&mut files, name, &certificate, &key);
    }
    let mut update = Vec::new();
    for name in ROOTS.into_iter().chain([ONLINE]) {
        let key = generate(name, &rcgen::PKCS_ED25519)?;
        push(&mut files, &format!("{name}.key"), &key.serialize_pem());
        push(&mut files, &format!("{name}.pub"), &key.public_key_pem());
        update.push(Signatory::new(name, PrivateKey::of(key)).map_err(RootError::from)?);
    }
    files.push(KeyFile {
        name: ROOT_FILE.to_owned(),
        content: update_root(&update)?,
    });
    Ok(files)
}

/// The root of updates: the last of `keys` signs releases, two of the others sign roots.
fn update_root(keys: &[Signatory]) -> Result<Vec<u8>, RootError> {
    let (roots, online) = keys.split_at(ROOTS.len());
    let public = |keys: &[Signatory]| keys.iter().map(|key| key.key().clone()).collect::<Vec<_>>();
    let terms = Terms {
        version: NonZeroU64::MIN,
        expires: jiff::Timestamp::from_second(END).unwrap_or(jiff::Timestamp::MAX),
        development: true,
    };
    let online = |role| (role, public(online), NonZeroU64::MIN);
    let roles = [
        (RoleType::Root, public(roots), TWO),
        online(RoleType::Targets),
        online(RoleType::Snapshot),
        online(RoleType::Timestamp),
    ];
    let signed = trust::sign(trust::make(terms, &roles)?, roots.iter().take(2))?;
    Ok(trust::Root::new(signed)?.bytes().to_vec())
}

/// Makes a set of development keys in the directory `out`.
///
/// # Errors
/// When there is one and `force` is not set, or something cannot be made or written; `out` is then as it was.
pub fn write_development(out: &Path, force: bool, ingest: &[IpAddr]) -> Result<(), KeysError> {
    if out.exists() {
        let path = out.to_owned();
        if !force {
            return Err(KeysError::Exists { path });
        }
        let readme = std::fs::read_to_string(out.join("README")).unwrap_or_default();
        if !readme.starts_with("DEVELOPMENT KEYS") {
            return Err(KeysError::Foreign { path });
        }
    }
    let files = development(ingest)?;
    let mut beside = out.as_os_str().to_owned();
    beside.push(format!(".new-{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let result = write_set(&beside, &files).and_then(|()| replace(&beside, out));
    if result.is_err() {
        // Keys of a set that was not finished are of no use to anybody.
        let _ = std::fs::remove_dir_all(&beside);
    }
    result
}

fn write_set(directory: &Path, files: &[KeyFile]) -> Result<(), KeysError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| KeysError::Write { path, source }
    };
    if let Some(parent) = directory.parent() {
        std::fs::create_dir_all(parent).map_err(failed(parent))?;
    }
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(directory)
        .map_err(failed(directory))?;
    for file in files {
        let path = directory.join(&file.name);
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        let written = opened.and_then(|mut open: File| {
            open.write_all(&file.content)?;
            open.sync_all()
        });
        written.map_err(failed(&path))?;
    }
    Ok(())
}

fn replace(new: &Path, out: &Path) -> Result<(), KeysError> {
    let attempt = || {
        if out.exists() {
            std::fs::remove_dir_all(out)?;
        }
        std::fs::rename(new, out)
    };
    attempt().map_err(|source| KeysError::Write {
        path: out.to_owned(),
        source,
    })
}

fn authority() -> Result<(Issuer<'static, KeyPair>, Certificate, KeyPair), KeysError> {
    let name = "centre-ca";
    let make = |source| KeysError::Make { name, source };
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let own = generate(name, &rcgen::PKCS_ECDSA_P256_SHA256)?;
    let copy = KeyPair::from_pem(&own.serialize_pem()).map_err(make)?;
    let certificate = params.self_signed(&own).map_err(make)?;
    Ok((Issuer::new(params, copy), certificate, own))
}

fn leaf(
    name: &'static str,
    names: &[SanType],
    purpose: ExtendedKeyUsagePurpose,
    authority: &Issuer<'_, KeyPair>,
) -> Result<(Certificate, KeyPair), KeysError> {
    let mut params = params(name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = names.to_vec();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    let key = generate(name, &rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = params
        .signed_by(&key, authority)
        .map_err(|source| KeysError::Make { name, source })?;
    Ok((certificate, key))
}

/// Firmware knows RSA-2048 with SHA-256 everywhere and little else (UEFI 2.10 §32.4).
fn secure_boot(name: &'static str) -> Result<(Certificate, KeyPair), KeysError> {
    let make = |source| KeysError::Make { name, source };
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(make)?;
    let mut params = params(name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let certificate = params.self_signed(&key).map_err(make)?;
    Ok((certificate, key))
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("DEVELOPMENT {name}"));
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2054, 1, 1);
    // Positive and at most 20 bytes (RFC 5280 §4.1.2.2).
    let mut serial = uuid::Uuid::new_v4().into_bytes();
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

fn generate(name: &'static str, algorithm: &'static SignatureAlgorithm) -> Result<KeyPair, KeysError> {
    KeyPair::generate_for(algorithm).map_err(|source| KeysError::Make { name, source })
}

fn dns(name: &'static str, host: &str) -> Result<SanType, KeysError> {
    let host = host
        .try_into()
        .map_err(|source| KeysError::Make { name, source })?;
    Ok(SanType::DnsName(host))
}

fn push(files: &mut Vec<KeyFile>, name: &str, content: &str) {
    files.push(KeyFile {
        name: name.to_owned(),
        content: content.as_bytes().to_vec(),
    });
}

fn push_pair(files: &mut Vec<KeyFile>, name: &str, certificate: &Certificate, key: &KeyPair) {
    push(files, &format!("{name}.crt"), &certificate.pem());
    push(files, &format!("{name}.key"), &key.serialize_pem());
}

#[cfg(test)]
mod tests;

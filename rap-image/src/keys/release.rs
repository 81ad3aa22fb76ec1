//! Keys for releases: each role its own, every one encrypted or with whoever keeps it.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tough::schema::RoleType;
use tough::schema::key::Key;

use super::encrypted::encrypt;
use super::make::{generate, secure_boot};
use super::rotate::{Standing, finish};
use super::set::{self, Files, Staged};
use super::{KeysError, NEXT_ROOT, Passphrase, SECURE_BOOT, SERVICE, public_keys};
use crate::trust::{self, RootError, Terms};

/// Which keys sign what in updates, besides the root keys.
const ONLINE: [(&str, RoleType); 3] = [
    ("update-targets", RoleType::Targets),
    ("update-snapshot", RoleType::Snapshot),
    ("update-timestamp", RoleType::Timestamp),
];
/// Years that certificates of Secure Boot are valid. Firmware does not look, other tools do.
const YEARS: i32 = 30;

const README: &str = "\
KEYS FOR RELEASES. Made by `rap-image keys release`; `rap-image keys show` says what each is for.

Every .key is encrypted (PKCS #8, PBES2). Back the directory up, and keep root keys apart from it: take
update-root-N.key away to another place each, and leave update-root-N.pub here. They are needed for `rap-image keys
rotate` only. A box trusts root.json of the image it was first given: whoever loses more root keys than the threshold
allows can never update those boxes again.
";

/// What a set for releases is to be like.
#[derive(Debug, Clone)]
pub struct Release {
    /// Whose they are: the beginning of the names in certificates.
    pub owner: String,
    /// Root keys.
    pub roots: NonZeroU64,
    /// Root keys that have to sign.
    pub threshold: NonZeroU64,
    /// A folder with keys that are made elsewhere: `NAME.pub` or `NAME.crt`, and `NAME.signer` where a program signs.
    pub with: Option<PathBuf>,
    /// Days until the root expires.
    pub days: u32,
    /// This moment.
    pub now: Timestamp,
}

/// Makes a set for releases in the directory `out`.
///
/// # Errors
/// When there is something, a key cannot be made or encrypted, or more root signatures are asked for than there are keys.
pub fn write_release(out: &Path, release: &Release, passphrase: &Passphrase) -> Result<Standing, KeysError> {
    if out.exists() {
        return Err(KeysError::Exists { path: out.to_owned() });
    }
    if release.owner.starts_with("DEVELOPMENT") {
        return Err(KeysError::Owner);
    }
    let mut files = match &release.with {
        Some(with) => set::read(with)?,
        None => Files::new(),
    };
    files.insert("README".to_owned(), README.as_bytes().to_vec());
    let roots: Vec<String> = (1..=release.roots.get())
        .map(|number| format!("update-root-{number}"))
        .collect();
    let online = ONLINE.iter().map(|(name, _)| (*name).to_owned());
    for name in roots.iter().cloned().chain(online).chain([SERVICE.to_owned()]) {
        if !files.contains_key(&format!("{name}.pub")) {
            add(&mut files, &name, passphrase)?;
        }
    }
    let year = i32::from(release.now.to_zoned(jiff::tz::TimeZone::UTC).year());
    for name in SECURE_BOOT {
        if files.contains_key(&format!("{name}.crt")) {
            continue;
        }
        let common_name = format!("{} {name}", release.owner);
        let (certificate, key) = secure_boot(name, &common_name, (year, year + YEARS))?;
        files.insert(format!("{name}.crt"), certificate.pem().into_bytes());
        let key = locked(name, &key.serialize_der(), passphrase)?;
        files.insert(format!("{name}.key"), key);
    }
    let staged = Staged::new(&files, out)?;
    let public = public_keys(staged.path())?;
    let key = |name: &str| -> Result<Key, KeysError> {
        let found = public.get(name).cloned();
        found.ok_or_else(|| KeysError::NoKey(name.to_owned()))
    };
    let of_root: Vec<Key> = roots.iter().map(|name| key(name)).collect::<Result<_, _>>()?;
    let mut roles = vec![(RoleType::Root, of_root, release.threshold)];
    for (name, role) in ONLINE {
        roles.push((role, vec![key(name)?], NonZeroU64::MIN));
    }
    let seconds = release.now.as_second() + i64::from(release.days) * 86_400;
    let terms = Terms {
        version: NonZeroU64::MIN,
        expires: Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX),
        development: false,
    };
    let root = trust::sign(trust::make(terms, &roles)?, []).map_err(RootError::from)?;
    staged.add(NEXT_ROOT, &root.bytes)?;
    finish(staged, passphrase)
}

/// Makes a key, and encrypts it: Ed25519 for updates, P-256 for what boxes are asked.
pub(super) fn add(files: &mut Files, name: &str, passphrase: &Passphrase) -> Result<(), KeysError> {
    let kind = if name == SERVICE {
        &rcgen::PKCS_ECDSA_P256_SHA256
    } else {
        &rcgen::PKCS_ED25519
    };
    let key = generate(name, kind)?;
    files.insert(format!("{name}.pub"), key.public_key_pem().into_bytes());
    files.insert(
        format!("{name}.key"),
        locked(name, &key.serialize_der(), passphrase)?,
    );
    Ok(())
}

fn locked(name: &str, der: &[u8], passphrase: &Passphrase) -> Result<Vec<u8>, KeysError> {
    let pem =
        encrypt(der, passphrase.new_text()?).map_err(|error| KeysError::Encrypt(name.to_owned(), error))?;
    Ok(pem.into_bytes())
}

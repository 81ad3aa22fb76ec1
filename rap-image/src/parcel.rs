//! What a box is given before its first boot: its site, its identity, and the keys its firmware shall have.
//!
//! Invariant: what is in a parcel can be used: the site has no mistakes, no file of the identity is missing, and each key
//! fits its certificate.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rap_core::boot::disk::PROVISION_BYTES;
use rap_core::boot::variable::Variable;
use rap_core::provision::{self, IDENTITY_FILES, is_proxy_password};
use rap_core::site::{Audit, Mistakes, Proxy, Sessions, Site};

use crate::signing::variable::signed;
use crate::signing::{PROGRAM_KEY, Signer, SigningError};

/// The platform key and the key exchange key, among a directory's keys.
const PLATFORM_KEY: &str = "secure-boot-PK";
const EXCHANGE_KEY: &str = "secure-boot-KEK";
/// The time in what firmware is given first; what replaces it later has to be younger.
const FIRST_YEAR: u16 = 2024;

/// Why there is no parcel.
#[derive(Debug, thiserror::Error)]
pub enum ParcelError {
    /// The site's description is wrong.
    #[error("the site's description cannot be used")]
    Site(#[source] Mistakes),
    /// A file cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// A file of the identity is missing.
    #[error("{} is missing; make the development keys: rap-image keys dev", .0.display())]
    NoIdentity(PathBuf),
    /// The password of a proxy is missing.
    #[error("{} is missing; write the password of the proxy's user into it, in one line", .0.display())]
    NoPassword(PathBuf),
    /// A file that a box cannot make itself.
    #[error("the site needs {0}, which a box cannot make itself; give a directory with --identity")]
    Needed(String),
    /// The keys for firmware.
    #[error("the keys for Secure Boot cannot be used")]
    Keys(#[from] SigningError),
    /// The archive does not fit.
    #[error("what the box is given makes {found} bytes; the provision partition has {PROVISION_BYTES}")]
    TooLarge {
        /// Bytes of the archive.
        found: usize,
    },
}

/// What a box is given before its first boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parcel {
    content: provision::Parcel,
}

impl Parcel {
    /// Checks `site`, for a box that makes its keys itself.
    ///
    /// # Errors
    /// All mistakes of the site, or a file that the site needs, which the box cannot make.
    pub fn without_identity(site: &str) -> Result<Self, ParcelError> {
        let parsed = Site::parse(site, Path::new("site.toml")).map_err(ParcelError::Site)?;
        if let Some(name) = needed(&parsed).into_iter().next() {
            return Err(ParcelError::Needed(name));
        }
        let mut parcel = Self::default();
        parcel.content.site = Some(site.to_owned());
        Ok(parcel)
    }

    /// Checks `site` and takes the identity's files from the directory `identity`.
    ///
    /// # Errors
    /// All mistakes of the site, or the first file that is missing: of the identity, or the password of one of the
    /// site's proxies.
    pub fn new(site: &str, identity: &Path) -> Result<Self, ParcelError> {
        let parsed = Site::parse(site, Path::new("site.toml")).map_err(ParcelError::Site)?;
        let mut parcel = Self::default();
        parcel.content.site = Some(site.to_owned());
        let always = IDENTITY_FILES.map(str::to_owned);
        for name in always.into_iter().chain(needed(&parsed)) {
            let path = identity.join(&name);
            let content = std::fs::read(&path).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound if is_proxy_password(&name) => ParcelError::NoPassword(path.clone()),
                io::ErrorKind::NotFound => ParcelError::NoIdentity(path.clone()),
                _ => ParcelError::Read(path.clone(), source),
            })?;
            parcel.content.identity.insert(name, content);
        }
        Ok(parcel)
    }

    /// The same, with the keys of the directory `keys` for firmware that is in setup mode.
    ///
    /// # Errors
    /// When a key is missing or does not fit its certificate.
    pub fn with_secure_boot(mut self, keys: &Path) -> Result<Self, ParcelError> {
        let load = |name| Signer::load(keys, name);
        let (pk, kek, db) = (load(PLATFORM_KEY)?, load(EXCHANGE_KEY)?, load(PROGRAM_KEY)?);
        let each = [
            (Variable::Db, &db, &kek),
            (Variable::Kek, &kek, &pk),
            (Variable::Pk, &pk, &pk),
        ];
        let mut files = BTreeMap::new();
        for (variable, holder, signer) in each {
            let content = signed(variable, holder, signer, FIRST_YEAR)?;
            files.insert(variable.file().to_owned(), content);
        }
        self.content.secure_boot = files;
        Ok(self)
    }

    /// The whole provision partition: the archive, and zeros behind it.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn partition(&self) -> Result<Vec<u8>, ParcelError> {
        let mut content = self.content.pack();
        let found = content.len();
        let size = usize::try_from(PROVISION_BYTES).unwrap_or(usize::MAX);
        if found > size {
            return Err(ParcelError::TooLarge { found });
        }
        content.resize(size, 0);
        Ok(content)
    }
}

/// Files of the identity that this site needs besides certificates and keys.
fn needed(site: &Site) -> Vec<String> {
    let with_user = site.egress.proxies.iter().filter(|proxy| proxy.user.is_some());
    let passwords = with_user.map(Proxy::password_file);
    let sessions = site.sessions.iter().flat_map(Sessions::identity_files);
    let collector = site.audit.iter().filter_map(Audit::identity_file);
    let files = sessions.chain(collector).map(str::to_owned);
    files.chain(passwords).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An identity as far as its files' names go.
    pub(crate) fn identity(place: &Path) -> PathBuf {
        for name in IDENTITY_FILES {
            std::fs::write(place.join(name), name).unwrap();
        }
        place.to_owned()
    }

    #[test]
    fn a_missing_key_names_the_file_and_the_fix() {
        let place = tempfile::tempdir().unwrap();
        let identity = identity(place.path());
        std::fs::remove_file(identity.join("device.key")).unwrap();
        let error = Parcel::new(rap_core::site::EXAMPLE, &identity)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("device.key is missing") && error.contains("rap-image keys dev"),
            "{error}"
        );
    }

    #[test]
    fn a_proxy_with_a_user_needs_its_password() {
        let place = tempfile::tempdir().unwrap();
        let identity = identity(place.path());
        let site = rap_core::site::EXAMPLE.replace("# user =", "user =");
        let error = Parcel::new(&site, &identity).unwrap_err().to_string();
        assert!(error.contains("proxy-hospital.password is missing"), "{error}");
        std::fs::write(identity.join("proxy-hospital.password"), "s3cret\n").unwrap();
        let parcel = provision::unpack(&Parcel::new(&site, &identity).unwrap().partition().unwrap());
        let parcel = parcel.unwrap().expect("a parcel");
        assert_eq!(parcel.identity["proxy-hospital.password"], b"s3cret\n");
    }

    #[test]
    fn a_box_makes_its_keys_and_not_a_proxys_password() {
        let parcel = Parcel::without_identity(rap_core::site::EXAMPLE).unwrap();
        let found = provision::unpack(&parcel.partition().unwrap()).unwrap().unwrap();
        assert!(found.identity.is_empty() && found.site.is_some());
        let site = rap_core::site::EXAMPLE.replace("# user =", "user =");
        let error = Parcel::without_identity(&site).unwrap_err().to_string();
        assert!(
            error.contains("needs proxy-hospital.password") && error.contains("--identity"),
            "{error}"
        );
    }

    #[test]
    fn firmware_is_given_three_keys_each_signed_by_the_one_above() {
        let place = tempfile::tempdir().unwrap();
        let keys = place.path().join("keys");
        crate::keys::write_development(&keys, false, &[]).unwrap();
        let parcel = Parcel::default().with_secure_boot(&keys).unwrap();
        let found = provision::unpack(&parcel.partition().unwrap()).unwrap().unwrap();
        let names: Vec<_> = found.secure_boot.keys().map(String::as_str).collect();
        assert_eq!(names, ["KEK.auth", "PK.auth", "db.auth"]);
        std::fs::remove_file(keys.join("secure-boot-KEK.key")).unwrap();
        let error = Parcel::default().with_secure_boot(&keys).unwrap_err();
        assert!(
            matches!(error, ParcelError::Keys(SigningError::Read(..))),
            "{error}"
        );
    }
}

//! Crates as components: their archives in cargo's registry, each held against the checksum in `Cargo.lock`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use rap_core::digest::Sha256;
use serde::Deserialize;

use super::cyclonedx::{Component, Kind, encoded, property};
use super::native::{NATIVE, Native};
use super::{RUST_LICENCE, licence, reference};

/// Bytes of one file of a crate that is read, at most.
const FILE_LIMIT: u64 = 1 << 20;
/// Bytes of a whole unpacked crate, at most; the largest has 80 MB.
const CRATE_LIMIT: u64 = 1 << 30;

/// Why a crate cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum CrateError {
    /// `Cargo.lock` cannot be read.
    #[error("cannot read {0}")]
    Lock(PathBuf, #[source] io::Error),
    /// `Cargo.lock` is none.
    #[error("{0} is no Cargo.lock")]
    NoLock(PathBuf, #[source] toml::de::Error),
    /// Not in `Cargo.lock`.
    #[error(
        "Cargo.lock does not name it: the image was built from another commit, which is the one to check out"
    )]
    NotLocked,
    /// Not in the registry.
    #[error("it is not in cargo's registry; run `cargo fetch --locked`")]
    Absent,
    /// Its archive cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// It is another one.
    #[error(
        "{path} has the SHA-256 {found}, Cargo.lock says {expected}; remove it and run `cargo fetch --locked`"
    )]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// What it should have.
        expected: Sha256,
        /// What it has.
        found: Sha256,
    },
    /// Its description is missing or wrong.
    #[error("its Cargo.toml cannot be read")]
    Manifest,
    /// A header is not as the table of C code expects.
    #[error(
        "the version of the C code `{name}` is not in its {header}: the crate changed, look at sbom/native.rs"
    )]
    Version {
        /// What code.
        name: &'static str,
        /// Which header.
        header: &'static str,
    },
}

/// The crates of a `Cargo.lock`.
#[derive(Debug)]
pub struct Registry {
    /// Folders with `NAME-VERSION.crate`, one a registry.
    caches: Vec<PathBuf>,
    /// Checksums by name and version; `None` for the repository's own.
    checksums: BTreeMap<(String, String), Option<Sha256>>,
}

#[derive(Deserialize)]
struct CargoLock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<Sha256>,
}

#[derive(Deserialize)]
struct Manifest {
    package: About,
}

#[derive(Deserialize)]
struct About {
    license: Option<String>,
}

impl Registry {
    /// The crates that `repository`'s `Cargo.lock` names, in the registry below `cargo_home`.
    ///
    /// # Errors
    /// When there is no such lock.
    pub fn open(repository: &Path, cargo_home: &Path) -> Result<Self, CrateError> {
        let path = repository.join("Cargo.lock");
        let text = std::fs::read_to_string(&path).map_err(|error| CrateError::Lock(path.clone(), error))?;
        let lock: CargoLock = toml::from_str(&text).map_err(|error| CrateError::NoLock(path, error))?;
        let folders = std::fs::read_dir(cargo_home.join("registry/cache"))
            .into_iter()
            .flatten();
        let mut caches: Vec<PathBuf> = folders.flatten().map(|entry| entry.path()).collect();
        caches.sort();
        let checksum = |locked: Locked| ((locked.name, locked.version), locked.checksum);
        Ok(Self {
            caches,
            checksums: lock.package.into_iter().map(checksum).collect(),
        })
    }

    /// A crate, and behind it the C code in it, unless that is `unused`.
    pub(super) fn describe(
        &self,
        name: &str,
        version: &str,
        is_local: bool,
        unused: bool,
    ) -> Result<Vec<Component>, CrateError> {
        let mut component = Component::new(Kind::Library, &reference(name, version), name, version);
        let known = self.checksums.get(&(name.to_owned(), version.to_owned()));
        let checksum = *known.ok_or(CrateError::NotLocked)?;
        let Some(checksum) = checksum.filter(|_| !is_local) else {
            // Ours; a stranger's crate of the same name in a registry is another one, so it has no package URL.
            component.expression(RUST_LICENCE);
            return Ok(vec![component]);
        };
        let natives: Vec<&Native> = NATIVE.iter().filter(|native| native.krate == name).collect();
        let headers = natives
            .iter()
            .filter_map(|native| native.version.map(|version| version.header));
        let wanted: Vec<&str> = headers.chain(["Cargo.toml"]).collect();
        let files = self.files(name, version, checksum, &wanted)?;
        let manifest = files.get("Cargo.toml").ok_or(CrateError::Manifest)?;
        let manifest: Manifest = toml::from_str(manifest).map_err(|_| CrateError::Manifest)?;
        match manifest.package.license {
            Some(text) => component.expression(&licence::of_crate(&text)),
            None => component.licence_name(licence::NOASSERTION),
        }
        component.hash(&checksum.to_string());
        component.purl = Some(format!("pkg:cargo/{}@{}", encoded(name), encoded(version)));
        if unused {
            component.properties = vec![property("rap:linked", "false")];
            return Ok(vec![component]);
        }
        let natives = natives
            .into_iter()
            .map(|native| native_component(native, version, &files));
        [Ok(component)].into_iter().chain(natives).collect()
    }

    /// The texts of files of a crate, by path below its folder; those that are there.
    fn files(
        &self,
        name: &str,
        version: &str,
        checksum: Sha256,
        wanted: &[&str],
    ) -> Result<BTreeMap<String, String>, CrateError> {
        let archive = format!("{name}-{version}.crate");
        let path = self
            .caches
            .iter()
            .map(|cache| cache.join(&archive))
            .find(|path| path.is_file())
            .ok_or(CrateError::Absent)?;
        let failed = |error| CrateError::Read(path.clone(), error);
        let mut file = File::open(&path).map_err(failed)?;
        let (found, _) = Sha256::of_reader(&mut file).map_err(failed)?;
        if found != checksum {
            return Err(CrateError::Damaged {
                path,
                expected: checksum,
                found,
            });
        }
        file.rewind().map_err(failed)?;
        let folder = format!("{name}-{version}/");
        let mut files = BTreeMap::new();
        let mut tar = tar::Archive::new(GzDecoder::new(file).take(CRATE_LIMIT));
        for entry in tar.entries().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let place = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let Some(below) = place.strip_prefix(&folder).filter(|below| wanted.contains(below)) else {
                continue;
            };
            let mut text = Vec::new();
            entry.take(FILE_LIMIT).read_to_end(&mut text).map_err(failed)?;
            files.insert(below.to_owned(), String::from_utf8_lossy(&text).into_owned());
            if files.len() == wanted.len() {
                break;
            }
        }
        Ok(files)
    }
}

fn native_component(
    native: &Native,
    crate_version: &str,
    files: &BTreeMap<String, String>,
) -> Result<Component, CrateError> {
    let version = match &native.version {
        Some(version) => {
            let text = files.get(version.header).and_then(|text| version.of(text));
            text.ok_or(CrateError::Version {
                name: native.name,
                header: version.header,
            })?
        }
        None => String::new(),
    };
    let bom_ref = format!("c:{}@{crate_version}/{}", native.krate, native.name);
    let mut component = Component::new(Kind::Library, &bom_ref, native.name, &version);
    component.description = Some(format!("C code in the crate {}", native.krate));
    component.expression(native.licence);
    component.purl = Some(format!("{}{version}", native.purl)).filter(|purl| !purl.is_empty());
    Ok(component)
}

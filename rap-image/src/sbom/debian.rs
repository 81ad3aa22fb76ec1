//! A Debian package as a component: what the lock says of it, and its licences from its own `copyright` file.

use super::cyclonedx::{Component, Kind, encoded, property};
use super::{hash_of, licence};
use crate::deb::{self, Contents, MemberKind};
use crate::image;
use crate::lock::{Group, Lock, Package};
use crate::store::Store;

/// Why a package cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The lock has another version, or none.
    #[error("the lock does not name it: the image was built from another lock, which is the one to use")]
    NotLocked,
    /// The package cannot be opened.
    #[error("its file cannot be opened")]
    Deb(#[from] deb::Error),
}

/// Describes a package of an image.
pub(super) fn component(
    package: &image::Package,
    lock: &Lock,
    store: &Store,
) -> Result<Component, PackageError> {
    let locked = |name: &str| lock.packages.iter().find(|locked| locked.name == name);
    let locked_now = locked(&package.name)
        .filter(|locked| locked.version == package.version)
        .ok_or(PackageError::NotLocked)?;
    let mut component = Component::new(
        kind(locked_now),
        &format!("deb:{}", package.name),
        &package.name,
        &package.version,
    );
    component.hash(&locked_now.sha256.to_string());
    let source = source_package(locked_now);
    component.purl = Some(purl(locked_now, source));
    component.properties = vec![property("rap:deb", &locked_now.path)];
    let mut found = copyright(locked_now, store)?;
    if let Copyright::In(other) = &found {
        let other = locked(other).map(|other| copyright(other, store)).transpose()?;
        found = other.unwrap_or(Copyright::Absent);
    }
    match found {
        Copyright::Text(text) => {
            match licence::of_copyright(&String::from_utf8_lossy(&text)) {
                Some(expression) => component.expression(&expression),
                None => component.licence_name(licence::NOASSERTION),
            }
            component
                .properties
                .push(property("rap:copyright-sha256", &hash_of(&text)));
        }
        Copyright::In(_) | Copyright::Absent => component.licence_name(licence::NOASSERTION),
    }
    component.properties.push(property("rap:source", source));
    Ok(component)
}

fn kind(package: &Package) -> Kind {
    if package.groups.contains(&Group::Kernel) {
        Kind::OperatingSystem
    } else if package.groups.contains(&Group::Boot) {
        Kind::Firmware
    } else if package.name.starts_with("lib") {
        Kind::Library
    } else {
        Kind::Application
    }
}

/// The folder that a package lies in is its source package: `pool/main/g/glibc/libc6_….deb`.
fn source_package(package: &Package) -> &str {
    package.path.rsplit('/').nth(1).unwrap_or(&package.name)
}

/// `upstream` is what scanners look vulnerabilities up by, where it is not the package's own name.
fn purl(package: &Package, source: &str) -> String {
    let architecture = package
        .path
        .rsplit_once('_')
        .and_then(|(_, end)| end.strip_suffix(".deb"))
        .unwrap_or("amd64");
    let (name, version) = (encoded(&package.name), encoded(&package.version));
    let mut purl = format!("pkg:deb/debian/{name}@{version}?arch={architecture}&distro=trixie");
    if source != package.name {
        purl.push_str(&format!("&upstream={}", encoded(source)));
    }
    purl
}

/// Where a package's `copyright` is.
enum Copyright {
    /// Here.
    Text(Vec<u8>),
    /// In another package: its folder of documents is a link to that one's (Debian Policy §12.3).
    In(String),
    /// Nowhere.
    Absent,
}

fn copyright(package: &Package, store: &Store) -> Result<Copyright, PackageError> {
    let tar = store.tar(&package.sha256, |file, out| deb::decompress(file, out))?;
    let contents = Contents::read(tar)?;
    let folder = format!("usr/share/doc/{}", package.name);
    let file = format!("{folder}/copyright");
    let linked = |path: &str| match contents.member(path).map(|member| &member.kind) {
        Some(MemberKind::Link(target)) => target
            .trim_start_matches("../")
            .split('/')
            .next()
            .map(str::to_owned),
        _ => None,
    };
    if let Some(MemberKind::File { .. }) = contents.member(&file).map(|member| &member.kind) {
        return Ok(Copyright::Text(contents.content(&file)?));
    }
    Ok(linked(&folder)
        .or_else(|| linked(&file))
        .map_or(Copyright::Absent, Copyright::In))
}

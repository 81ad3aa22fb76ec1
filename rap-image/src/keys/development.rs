//! Development keys: everything a box, a service centre and a signer need to work together on a desk.
//!
//! Invariants: every certificate says DEVELOPMENT in its name, and the root of updates that it is for development; a set is
//! never written over another one unless forced. Certificates are valid from 2024 to 2054, so that no clock matters in the
//! lab.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::Path;

use rap_qemu::lab::{CENTRE, CENTRE_NAME};
use rcgen::{
    BasicConstraints, Certificate, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use tough::schema::RoleType;

use super::make::{generate, params, secure_boot};
use super::{KeyFile, KeysError, PrivateKey, SECURE_BOOT, set};
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
service.key, .pub          signs what the service centre asks of a box (ECDSA P-256)
update-online              TUF targets, snapshot and timestamp key, ed25519
root.json                  TUF root, signed by two of its three keys: what a box trusts whose image was built with --keys
";

/// Seconds since 1970 of 2054-01-01: when everything here ends.
const END: i64 = 2_650_838_400;
/// When every certificate begins and ends.
const YEARS: (i32, i32) = (2024, 2054);
/// The root keys; two of them have to sign.
const ROOT_KEYS: [&str; 3] = ["update-root-1", "update-root-2", "update-root-3"];
const ONLINE: &str = "update-online";
const TWO: NonZeroU64 = NonZeroU64::MIN.saturating_add(1);

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
    for name in SECURE_BOOT {
        let (certificate, key) = secure_boot(name, &common_name(name), YEARS)?;
        push_pair(&mut files, name, &certificate, &key);
    }
    let service = generate("service", &rcgen::PKCS_ECDSA_P256_SHA256)?;
    push(&mut files, "service.key", &service.serialize_pem());
    push(&mut files, "service.pub", &service.public_key_pem());
    let mut update = Vec::new();
    for name in ROOT_KEYS.into_iter().chain([ONLINE]) {
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
    let (roots, online) = keys.split_at(ROOT_KEYS.len());
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
    let files = files.into_iter().map(|file| (file.name, file.content)).collect();
    set::write(&files, out)
}

fn authority() -> Result<(Issuer<'static, KeyPair>, Certificate, KeyPair), KeysError> {
    let name = "centre-ca";
    let make = |source| KeysError::Make {
        name: name.to_owned(),
        source,
    };
    let mut params = params(&common_name(name), YEARS);
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
    let mut params = params(&common_name(name), YEARS);
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = names.to_vec();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    let key = generate(name, &rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = params
        .signed_by(&key, authority)
        .map_err(|source| KeysError::Make {
            name: name.to_owned(),
            source,
        })?;
    Ok((certificate, key))
}

fn dns(name: &'static str, host: &str) -> Result<SanType, KeysError> {
    let host = host.try_into().map_err(|source| KeysError::Make {
        name: name.to_owned(),
        source,
    })?;
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

fn common_name(name: &str) -> String {
    format!("DEVELOPMENT {name}")
}

#[cfg(test)]
mod tests;

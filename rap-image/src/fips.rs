//! The configuration with which OpenSSL takes its FIPS provider, and no other.
//!
//! The provider holds its file against a checksum in its configuration before it does anything (fips_module(7),
//! fips_config(5)). On a desk `openssl fipsinstall` writes it; the image has no such program and a root that is
//! read-only, so the builder writes it, and the image's signature covers it.

use hmac::digest::Key;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::payload::{Kind, Part};

/// [`rap_core::paths::OPENSSL`] as a path of the initramfs.
pub const CONFIGURATION: &str = "etc/rap/openssl.cnf";
/// The provider's file, where OpenSSL looks for it.
const MODULE: &str = "usr/lib/x86_64-linux-gnu/ossl-modules/fips.so";
/// The key of the checksum, no secret: `FIPS_KEY_STRING` in OpenSSL's `providers/fips/fipskey.h`.
const KEY: [u8; 32] = [
    0xf4, 0x55, 0x66, 0x50, 0xac, 0x31, 0xd3, 0x54, 0x61, 0x61, 0x0b, 0xac, 0x4e, 0xd8, 0x1b, 0x1a, 0x18,
    0x1b, 0x2d, 0x8a, 0x43, 0xea, 0x28, 0x54, 0xcb, 0xae, 0x22, 0xca, 0x74, 0x56, 0x08, 0x13,
];

/// The provider among the files of packages, if a recipe wants it.
#[must_use]
pub fn module(parts: &[Part]) -> Option<&[u8]> {
    let entry = parts
        .iter()
        .flat_map(|part| &part.entries)
        .find(|entry| entry.path == MODULE)?;
    match &entry.kind {
        Kind::File(content) => Some(content),
        Kind::Directory | Kind::Link(_) => None,
    }
}

/// The configuration for that module: it is on, beside it only the reader of key files, and nothing is asked of another.
#[must_use]
pub fn configuration(module: &[u8]) -> Vec<u8> {
    format!(
        "config_diagnostics = 1\n\
         openssl_conf = openssl\n\
         [openssl]\n\
         providers = providers\n\
         alg_section = algorithms\n\
         [providers]\n\
         fips = fips\n\
         base = base\n\
         [fips]\n\
         activate = 1\n\
         conditional-errors = 1\n\
         security-checks = 1\n\
         module-mac = {}\n\
         [base]\n\
         activate = 1\n\
         [algorithms]\n\
         default_properties = fips=yes\n",
        checksum(module)
    )
    .into_bytes()
}

/// HMAC-SHA-256 as fips_config(5) writes it: bytes in hexadecimal, colons between.
fn checksum(module: &[u8]) -> String {
    // A short key is filled with zeros (RFC 2104).
    let mut key = Key::<Hmac<Sha256>>::default();
    key.iter_mut().zip(KEY).for_each(|(to, byte)| *to = byte);
    let mut mac = Hmac::<Sha256>::new(&key);
    mac.update(module);
    let bytes = mac.finalize().into_bytes();
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Entry;

    #[test]
    fn the_checksum_is_what_other_programs_say() {
        // printf module | openssl mac -digest SHA256 -macopt hexkey:f455… HMAC
        assert_eq!(
            checksum(b"module"),
            "36:7D:40:DA:85:35:14:BD:3B:19:5A:56:2B:47:21:9B:A2:28:20:8F:07:FA:66:BA:3E:72:E0:A5:EC:F7:1F:19"
        );
    }

    #[test]
    fn the_provider_is_found_where_openssl_looks() {
        let entry = |path: &str| Entry {
            path: path.to_owned(),
            mode: 0o644,
            kind: Kind::File(path.as_bytes().to_vec()),
            reason: String::new(),
        };
        let part = Part {
            owner: "openssl-provider-fips 3".to_owned(),
            entries: vec![entry("usr/lib/other.so"), entry(MODULE)],
        };
        assert_eq!(module(&[part]), Some(MODULE.as_bytes()));
        assert_eq!(module(&[]), None);
        assert_eq!(format!("/{CONFIGURATION}"), rap_core::paths::OPENSSL);
    }
}

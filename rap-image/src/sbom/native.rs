//! C and assembly that crates bring and compile: no lock names it, so it is named here, and its version is read from
//! the very sources.
//!
//! Reviewed by hand for the versions in `Cargo.lock`; a test fails when a crate with such sources is neither here nor
//! among [`WITHOUT`].

use std::collections::BTreeSet;

/// C code in a crate.
#[derive(Debug, Clone, Copy)]
pub struct Native {
    /// The crate.
    pub krate: &'static str,
    /// What the code is called.
    pub name: &'static str,
    /// What begins a package URL of it, its version follows; nothing where its version is not known.
    pub purl: &'static str,
    /// Its licence, as its own files say.
    pub licence: &'static str,
    /// Where its version is said; `None` where nothing says it.
    pub version: Option<Version>,
}

/// Where a version is said: in a header of the crate, by macros.
#[derive(Debug, Clone, Copy)]
pub struct Version {
    /// The header, below the crate's folder.
    pub header: &'static str,
    /// One macro with a text, or several with a number each.
    pub macros: &'static [&'static str],
}

/// AWS-LC 4 still has OpenSSL's old licence; since AWS-LC 5 what came from OpenSSL and BoringSSL is under Apache-2.0 and ISC.
const AWS_LC_4_LICENCE: &str = "(Apache-2.0 OR ISC) AND ISC AND OpenSSL";
const AWS_LC_5_LICENCE: &str = "(Apache-2.0 OR ISC) AND Apache-2.0 AND ISC";
const AWS_LC_VERSION: Option<Version> = Some(Version {
    header: "aws-lc/include/openssl/base.h",
    macros: &["AWSLC_VERSION_NUMBER_STRING"],
});
const JITTER_VERSION: Option<Version> = Some(Version {
    header: "aws-lc/third_party/jitterentropy/jitterentropy-library/jitterentropy.h",
    macros: &["JENT_MAJVERSION", "JENT_MINVERSION", "JENT_PATCHLEVEL"],
});

/// The C code, by crate.
pub const NATIVE: [Native; 12] = [
    aws_lc("aws-lc-fips-sys", AWS_LC_4_LICENCE),
    part("aws-lc-fips-sys", "fiat-crypto", "MIT"),
    jitter("aws-lc-fips-sys"),
    part("aws-lc-fips-sys", "mlkem-native", "Apache-2.0 OR ISC OR MIT"),
    part("aws-lc-fips-sys", "s2n-bignum", "Apache-2.0 OR ISC OR MIT-0"),
    aws_lc("aws-lc-sys", AWS_LC_5_LICENCE),
    part("aws-lc-sys", "fiat-crypto", "MIT"),
    jitter("aws-lc-sys"),
    part("aws-lc-sys", "mlkem-native", "Apache-2.0 OR ISC OR MIT"),
    part("aws-lc-sys", "s2n-bignum", "Apache-2.0 OR ISC OR MIT-0"),
    Native {
        krate: "liblzma-sys",
        name: "xz",
        purl: "pkg:github/tukaani-project/xz@v",
        licence: "0BSD",
        version: Some(Version {
            header: "xz/src/liblzma/api/lzma/version.h",
            macros: &["LZMA_VERSION_MAJOR", "LZMA_VERSION_MINOR", "LZMA_VERSION_PATCH"],
        }),
    },
    Native {
        krate: "zstd-sys",
        name: "zstd",
        purl: "pkg:github/facebook/zstd@v",
        licence: "BSD-3-Clause OR GPL-2.0-only",
        version: Some(Version {
            header: "zstd/lib/zstd.h",
            macros: &["ZSTD_VERSION_MAJOR", "ZSTD_VERSION_MINOR", "ZSTD_VERSION_RELEASE"],
        }),
    },
];

/// Crates that have C files and compile none of them, and why.
pub const WITHOUT: [(&str, &str); 2] = [
    ("nix", "a kernel module for its own tests"),
    ("walkdir", "a program to compare itself with"),
];

const fn aws_lc(krate: &'static str, licence: &'static str) -> Native {
    Native {
        krate,
        name: "aws-lc",
        purl: "pkg:generic/aws-lc@",
        licence,
        version: AWS_LC_VERSION,
    }
}

/// What AWS-LC took in from elsewhere, without saying which version.
const fn part(krate: &'static str, name: &'static str, licence: &'static str) -> Native {
    Native {
        krate,
        name,
        purl: "",
        licence,
        version: None,
    }
}

const fn jitter(krate: &'static str) -> Native {
    Native {
        krate,
        name: "jitterentropy-library",
        purl: "pkg:github/smuellerdd/jitterentropy-library@v",
        licence: "BSD-3-Clause",
        version: JITTER_VERSION,
    }
}

/// Whether the C code of crate `name` is compiled but not linked, because of another crate: aws-lc-rs uses the FIPS
/// module alone where it has it, and its features name the other one all the same.
pub(super) fn is_unused(name: &str, compiled: &BTreeSet<(String, String, bool)>) -> bool {
    name == "aws-lc-sys" && compiled.iter().any(|(name, _, _)| name == "aws-lc-fips-sys")
}

impl Version {
    /// Reads it from the header's text; `None` when the macros are not as expected.
    pub(super) fn of(&self, header: &str) -> Option<String> {
        let values = self.macros.iter().map(|name| value(header, name));
        let parts: Option<Vec<&str>> = values.collect();
        parts.map(|parts| parts.join("."))
    }
}

/// The value of `#define NAME VALUE`, without quotes: digits and dots.
fn value<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = header.lines().filter_map(|line| {
        let mut words = line.strip_prefix("#define")?.split_whitespace();
        (words.next() == Some(name)).then(|| words.next()).flatten()
    });
    let value = lines.next()?.trim_matches('"');
    let is_version = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (is_version && !value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_macros() {
        let header = "#define V_MAJOR    1\n#define V_MINOR 5\n#define V_TEXT \"4.2.0\"\n#define V_LONG (V_MAJOR * 100)\n";
        let version = |macros| Version { header: "", macros }.of(header);
        assert_eq!(version(&["V_MAJOR", "V_MINOR"]).unwrap(), "1.5");
        assert_eq!(version(&["V_TEXT"]).unwrap(), "4.2.0");
        assert_eq!(version(&["V_LONG"]), None);
        assert_eq!(version(&["V_OTHER"]), None);
    }
}

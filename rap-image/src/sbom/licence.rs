//! Licences as SPDX expressions (SPDX 2.3, annex D): from Debian's machine-readable `copyright` files (DEP-5,
//! <https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/>), and from what crates say.
//!
//! A `copyright` file says which licences the *source* package's files have, and not which of these files made the one
//! file we took. So an expression joins all of them with AND: more than what applies, never less.

use std::collections::BTreeSet;

use crate::archive::stanza::stanzas;

/// What is said when nothing is known.
pub const NOASSERTION: &str = "NOASSERTION";

/// DEP-5's short names that SPDX spells differently, in lower case.
const NAMES: [(&str, &str); 24] = [
    ("apache-2", "Apache-2.0"),
    ("apache-2.0", "Apache-2.0"),
    ("artistic", "Artistic-1.0-Perl"),
    ("0bsd", "0BSD"),
    ("beerware", "Beerware"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd-2-clause-netbsd", "BSD-2-Clause"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("bsd-4-clause", "BSD-4-Clause"),
    ("bsl-1.0", "BSL-1.0"),
    ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
    ("cc0-1.0", "CC0-1.0"),
    ("expat", "MIT"),
    ("fsfap", "FSFAP"),
    ("gpl-1", "GPL-1.0-only"),
    ("gpl-2", "GPL-2.0-only"),
    ("gpl-3", "GPL-3.0-only"),
    ("isc", "ISC"),
    ("lgpl-2", "LGPL-2.0-only"),
    ("lgpl-2.1", "LGPL-2.1-only"),
    ("lgpl-3", "LGPL-3.0-only"),
    ("unicode-dfs-2016", "Unicode-DFS-2016"),
    ("x11", "X11"),
    ("zlib", "Zlib"),
];
/// Exceptions, as DEP-5 writes them between "with" and "exception", in lower case.
const EXCEPTIONS: [(&str, &str); 3] = [
    ("bison", "Bison-exception-2.2"),
    ("linux-syscall-note", "Linux-syscall-note"),
    ("texinfo", "Texinfo-exception"),
];

/// The licences in a `copyright` file as one expression; `None` when it is not machine-readable.
#[must_use]
pub fn of_copyright(text: &str) -> Option<String> {
    let format = stanzas(text).next()?.field("Format")?;
    if !(format.contains("copyright-format") || format.to_ascii_lowercase().contains("dep5")) {
        return None;
    }
    let found: BTreeSet<String> = stanzas(text)
        .filter_map(|stanza| stanza.field("License"))
        .filter(|licence| !licence.is_empty())
        .map(expression)
        .collect();
    let several = found.len() > 1;
    let joined: Vec<String> = found
        .into_iter()
        .map(|part| {
            if several && part.contains(" OR ") {
                format!("({part})")
            } else {
                part
            }
        })
        .collect();
    (!joined.is_empty()).then(|| joined.join(" AND "))
}

/// What a crate says: since RFC 2582 an expression, before that names with a slash between them.
pub(super) fn of_crate(text: &str) -> String {
    text.replace('/', " OR ")
}

/// One `License:` line. `and` binds more than `or`, except after a comma; lines with commas are names to us.
fn expression(text: &str) -> String {
    if text.contains(',') {
        return atom(text);
    }
    let any: Vec<String> = split(text, "or")
        .map(|part| {
            split(part, "and")
                .map(with_exception)
                .collect::<Vec<_>>()
                .join(" AND ")
        })
        .collect();
    any.join(" OR ")
}

/// The parts of a text between a word, whatever its case.
fn split<'a>(text: &'a str, word: &str) -> impl Iterator<Item = &'a str> {
    let separator = format!(" {word} ");
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        // Lower case changes no byte's place among ASCII; the rest is not touched.
        match text.to_ascii_lowercase().find(&separator) {
            Some(at) => {
                rest = Some(&text[at + separator.len()..]);
                Some(&text[..at])
            }
            None => rest.take(),
        }
    })
}

fn with_exception(text: &str) -> String {
    let mut parts = split(text, "with");
    let (Some(licence), Some(exception), None) = (parts.next(), parts.next(), parts.next()) else {
        return atom(text);
    };
    let exception = exception.trim().to_ascii_lowercase();
    let known = EXCEPTIONS.iter().find(|(name, _)| {
        exception
            .strip_suffix(" exception")
            .is_some_and(|found| found == *name)
    });
    match (known, name(licence)) {
        (Some((_, exception)), Some(licence)) => format!("{licence} WITH {exception}"),
        _ => atom(text),
    }
}

/// A name that SPDX knows, or one of our own (SPDX 2.3, §10.1).
fn atom(text: &str) -> String {
    name(text).unwrap_or_else(|| {
        let plain = |letter: char| {
            if letter.is_ascii_alphanumeric() || letter == '.' {
                letter
            } else {
                '-'
            }
        };
        let text: String = text.trim().replace('+', "-or-later").chars().map(plain).collect();
        format!("LicenseRef-debian-{text}")
    })
}

/// A single licence by SPDX's name.
fn name(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let find = |text: &str| {
        NAMES
            .iter()
            .find(|(debian, _)| *debian == text)
            .map(|(_, spdx)| *spdx)
    };
    match text.strip_suffix('+') {
        Some(text) => Some(format!("{}-or-later", find(text)?.strip_suffix("-only")?)),
        None => find(&text).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debians_words_become_spdx() {
        for (debian, spdx) in [
            ("Expat", "MIT"),
            ("GPL-2+", "GPL-2.0-or-later"),
            ("LGPL-2.1", "LGPL-2.1-only"),
            (
                "GPL-2 with Linux-syscall-note exception",
                "GPL-2.0-only WITH Linux-syscall-note",
            ),
            ("GPL-2+ or LGPL-3+", "GPL-2.0-or-later OR LGPL-3.0-or-later"),
            ("ISC and LGPL-2.1+ Or Expat", "ISC AND LGPL-2.1-or-later OR MIT"),
            ("public-domain", "LicenseRef-debian-public-domain"),
            ("MIT/X11", "LicenseRef-debian-MIT-X11"),
            (
                "GPL-2+ with OpenSSL exception",
                "LicenseRef-debian-GPL-2-or-later-with-OpenSSL-exception",
            ),
            ("Apache-2.0+", "LicenseRef-debian-Apache-2.0-or-later"),
            ("GPL-1, or ISC", "LicenseRef-debian-GPL-1--or-ISC"),
        ] {
            assert_eq!(expression(debian), spdx, "{debian}");
        }
        assert_eq!(of_crate("MIT/Apache-2.0"), "MIT OR Apache-2.0");
    }

    #[test]
    fn a_file_is_all_of_its_licences_and_free_text_is_none() {
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nLicense: ISC\n\n\
                    Files: *\nCopyright: x\nLicense: Expat or GPL-2\n\nLicense: ISC\n long text\n";
        assert_eq!(of_copyright(text).unwrap(), "ISC AND (MIT OR GPL-2.0-only)");
        assert_eq!(
            of_copyright("This package was debianized by\nLicense: MIT\n"),
            None
        );
        assert_eq!(of_copyright(""), None);
    }
}

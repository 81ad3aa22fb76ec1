//! Which crates a program of ours is made of, kept in the program: section `.dep-v0` in the format of
//! [cargo-auditable](https://github.com/rust-secure-code/cargo-auditable), which the common scanners read.
//!
//! ```text
//! .dep-v0   zlib( {"packages":[{"name","version","source","kind"?,"dependencies"?,"root"?}, …]} ), never loaded
//! ```
//!
//! The builder asks cargo (`tree`) for what it is about to compile and attaches the answer after linking
//! ([`attach`]): no compiler wrapper, no flag that compiles everything anew, the same bits from the same `Cargo.lock`.
//! As with cargo-auditable, the answer is about the package: two programs of one package carry the same list, though
//! the linker may have used less of it for one of them.
//!
//! Invariant: an [`Inventory`] has exactly one root, its indices are in it, and its texts can be printed.

mod attach;
mod tree;

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};

pub use attach::{attach, compilers, section};
pub use tree::inventory;

/// The section's name.
pub const SECTION: &str = ".dep-v0";
/// What an inventory may have when it is unpacked, as cargo-auditable's own parsers have it.
const LIMIT: u64 = 8 << 20;

/// Why there is no inventory.
#[derive(Debug, thiserror::Error)]
pub enum AuditableError {
    /// The program is none we can read.
    #[error("the program is no ELF file that can be read")]
    Elf(#[source] object::Error),
    /// A number in the program's headers leads out of it, or it has sections beyond what a header can count.
    #[error("the program's section table is damaged")]
    Sections,
    /// It has one already.
    #[error("the program has a section `{SECTION}` already")]
    Twice,
    /// The section is no compressed text.
    #[error("section `{SECTION}` cannot be decompressed")]
    Compressed(#[source] std::io::Error),
    /// The section is larger than any inventory.
    #[error("section `{SECTION}` has more than {LIMIT} bytes when it is decompressed")]
    TooLarge,
    /// The text is not an inventory.
    #[error("section `{SECTION}` is not in cargo-auditable's format")]
    Json(#[from] serde_json::Error),
    /// The inventory breaks a rule.
    #[error("section `{SECTION}`: {0}")]
    Rule(&'static str),
    /// What cargo said is not what it used to say.
    #[error("`cargo tree` said {0:?}, which is not a package")]
    Tree(String),
}

/// The crates of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// By name and version.
    pub packages: Vec<Crate>,
}

/// One crate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it is from: `crates.io`, `local`, or another word.
    pub source: String,
    /// Whether it is in the program or only helped to make it.
    #[serde(default, skip_serializing_if = "Use::is_runtime")]
    pub kind: Use,
    /// What it depends on, as indices of [`Inventory::packages`], rising.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<usize>,
    /// Whether it is the program's own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub root: bool,
}

/// What a crate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Use {
    /// It is compiled into the program.
    #[default]
    Runtime,
    /// A build script or procedural macro, or something only those need.
    Build,
}

impl Use {
    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "the shape that serde's skip_serializing_if asks for"
    )]
    fn is_runtime(&self) -> bool {
        *self == Self::Runtime
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde's skip_serializing_if asks for"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Inventory {
    /// The section's bytes.
    ///
    /// # Errors
    /// None that plain data in memory could give.
    pub fn encode(&self) -> Result<Vec<u8>, AuditableError> {
        let mut out = ZlibEncoder::new(Vec::new(), Compression::best());
        out.write_all(&serde_json::to_vec(self)?)
            .and_then(|()| out.finish())
            .map_err(AuditableError::Compressed)
    }

    /// Reads the section's bytes.
    ///
    /// # Errors
    /// When they are damaged, too many, or break this module's rules.
    pub fn decode(bytes: &[u8]) -> Result<Self, AuditableError> {
        let mut text = Vec::new();
        ZlibDecoder::new(bytes)
            .take(LIMIT + 1)
            .read_to_end(&mut text)
            .map_err(AuditableError::Compressed)?;
        if text.len() as u64 > LIMIT {
            return Err(AuditableError::TooLarge);
        }
        let inventory: Self = serde_json::from_slice(&text)?;
        inventory.check()?;
        Ok(inventory)
    }

    /// The inventory that a program carries; `None` when it carries none.
    ///
    /// # Errors
    /// When the program or its section is damaged.
    pub fn of_program(program: &[u8]) -> Result<Option<Self>, AuditableError> {
        section(program, SECTION)?.map(Self::decode).transpose()
    }

    /// The crates that are compiled into the program.
    pub fn compiled_in(&self) -> impl Iterator<Item = &Crate> {
        self.packages.iter().filter(|krate| krate.kind == Use::Runtime)
    }

    fn check(&self) -> Result<(), AuditableError> {
        let is_inside = |index: &usize| *index < self.packages.len();
        if self.packages.iter().filter(|krate| krate.root).count() != 1 {
            return Err(AuditableError::Rule("not exactly one package is the root"));
        }
        if !self
            .packages
            .iter()
            .flat_map(|krate| &krate.dependencies)
            .all(is_inside)
        {
            return Err(AuditableError::Rule("a dependency is not in the list"));
        }
        let texts = self
            .packages
            .iter()
            .flat_map(|krate| [&krate.name, &krate.version, &krate.source]);
        let is_plain = |text: &String| {
            (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !texts.into_iter().all(is_plain) {
            return Err(AuditableError::Rule(
                "a name, version or source is not 1 to 128 printable characters",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! What a build says of itself: the table for people, `image.json` for programs.

use std::fmt::{self, Display};

use rap_core::build_info::BuildInfo;
use serde::Serialize;

use crate::image::{Image, Package, Share};
use crate::signing::signed_by;
use crate::uki::{Program, UkiError};
use rap_core::digest::Sha256;

/// The report of one build.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// What the image says of itself.
    pub info: BuildInfo,
    /// Bytes of `rap.efi`.
    pub uki_bytes: usize,
    /// The digest to compare builds by: Authenticode's SHA-256, which a signature does not change.
    pub unsigned_digest: String,
    /// SHA-256 of `rap.efi` as it is.
    pub sha256: String,
    /// The name in the certificate of who signed it; `None` when nobody did.
    pub signed_by: Option<String>,
    /// SHA-256 of the TUF root in it; `None` when the image cannot update itself.
    pub update_root: Option<String>,
    /// What it is made of, in the order in which it lies in the file.
    pub parts: Vec<PartReport>,
    /// The packages it is made from.
    pub packages: Vec<Package>,
}

/// One part of the image.
#[derive(Debug, Serialize)]
pub struct PartReport {
    /// What.
    pub name: String,
    /// Bytes.
    pub bytes: usize,
    /// Of the whole, from 0 to 1.
    pub share: f64,
}

impl Report {
    /// The report of a composed image.
    ///
    /// # Errors
    /// When the UKI cannot be parsed.
    pub fn of(image: &Image, packages: Vec<Package>) -> Result<Self, UkiError> {
        let total = image.uki.len();
        let program = Program::parse(&image.uki)?;
        Ok(Self {
            info: image.info.clone(),
            uki_bytes: total,
            unsigned_digest: program.authenticode().to_string(),
            sha256: Sha256::of(&image.uki).to_string(),
            signed_by: signed_by(&program),
            update_root: image
                .update_root
                .as_ref()
                .map(|root| Sha256::of(root).to_string()),
            parts: image.shares.iter().map(|share| part(share, total)).collect(),
            packages,
        })
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .parts
            .iter()
            .map(|part| part.name.chars().count())
            .max()
            .unwrap_or(0)
            .max("rap.efi".len());
        writeln!(f, "{:width$}  {:>12}  {:>6}", "part", "bytes", "share")?;
        for PartReport { name, bytes, share } in &self.parts {
            writeln!(
                f,
                "{name:width$}  {:>12}  {:>5.1}%",
                grouped(*bytes),
                share * 100.0
            )?;
        }
        writeln!(f, "{:width$}  {:>12}  100.0%", "rap.efi", grouped(self.uki_bytes))?;
        writeln!(f)?;
        writeln!(f, "build id         {}", self.info.build_id)?;
        writeln!(f, "sha-256          {}", self.sha256)?;
        writeln!(
            f,
            "signed by        {}",
            self.signed_by.as_deref().unwrap_or("nobody")
        )?;
        let root = self
            .update_root
            .as_deref()
            .unwrap_or("none: such an image cannot update itself");
        writeln!(f, "update root      {root}")?;
        write!(f, "unsigned digest  {}", self.unsigned_digest)?;
        if self.info.development {
            write!(
                f,
                "\nfor development only: not built in the locked root, or with a debug overlay"
            )?;
        }
        Ok(())
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a share of an image far smaller than 2^52 bytes"
)]
fn part(share: &Share, total: usize) -> PartReport {
    PartReport {
        name: share.name.clone(),
        bytes: share.bytes,
        share: share.bytes as f64 / total.max(1) as f64,
    }
}

/// A number with its thousands set apart, as people read it.
#[must_use]
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image;

    #[test]
    fn the_table_is_readable() {
        let ingredients = image::tests::ingredients();
        let composed = image::compose(&ingredients).unwrap();
        let text = Report::of(&composed, ingredients.packages).unwrap().to_string();
        assert!(
            text.starts_with("part              bytes   share\nstub              2,048"),
            "{text}"
        );
        assert!(text.contains("\nunsigned digest  "), "{text}");
        assert_eq!(["1,234,567", "123", "1,000"], [1_234_567, 123, 1000].map(grouped));
    }
}

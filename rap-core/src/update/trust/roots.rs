//! Where trust begins (TUF 1.0 §5.2): the root in the image, and the roots after it that this box has seen.
//!
//! The image's root is the anchor: it is part of what firmware has checked, and the data partition is not. The roots that
//! were seen are followed from there by their signatures, as if they were downloaded (§5.3.3 to §5.3.7). So whoever writes
//! to the data partition cannot bring in a key, and whoever hides the newer roots brings nothing back.
//!
//! `tough` gets the last of them as its trusted root. If it got the image's, it would take each check for the one after a
//! change of keys, and forget (§5.3.11) the versions that protect against rollback, each time.

use tough::schema::{Root, Signed};

use super::error::{self, TrustError};
use super::known::Known;

/// What is said of the root in the image.
const IMAGE: &str = "the root in this image";

/// The trusted root to start from.
#[derive(Debug)]
pub(super) struct Start<'a> {
    image: &'a [u8],
    /// The roots that follow from it, from the first of them.
    kept: Vec<String>,
    /// A newer root was seen that does not follow from the image's.
    is_other: bool,
}

impl Start<'_> {
    /// The last root.
    pub(super) fn bytes(&self) -> &[u8] {
        self.kept.last().map_or(self.image, |kept| kept.as_bytes())
    }

    /// In words, when what was seen is of no use for this image.
    pub(super) fn lost(&self) -> Option<String> {
        self.is_other.then(|| {
            "the roots this box had seen do not follow from the root in this image: what was seen of the repository \
             begins anew"
                .to_owned()
        })
    }

    pub(super) fn kept(self) -> Vec<String> {
        self.kept
    }
}

/// Follows the roots that were seen from the image's root.
pub(super) fn follow<'a>(image: &'a [u8], known: &Known) -> Result<Start<'a>, TrustError> {
    let first: Signed<Root> = serde_json::from_slice(image).map_err(|source| {
        error::unknown_key(IMAGE, image).unwrap_or(TrustError::Unreadable {
            file: IMAGE.to_owned(),
            source,
        })
    })?;
    first
        .signed
        .verify_role(&first)
        .map_err(|source| error::of_signature(source, IMAGE.to_owned(), "root"))?;
    let (mut kept, mut last, mut is_other) = (Vec::new(), first, false);
    for text in &known.roots {
        let Ok(next) = serde_json::from_str::<Signed<Root>>(text) else {
            is_other = true;
            break;
        };
        if next.signed.version <= last.signed.version && kept.is_empty() {
            // From before the image was built.
            continue;
        }
        let is_next = last.signed.version.checked_add(1) == Some(next.signed.version);
        // §5.3.4: by both the last root's keys and its own.
        if !is_next || last.signed.verify_role(&next).is_err() || next.signed.verify_role(&next).is_err() {
            is_other = true;
            break;
        }
        kept.push(text.clone());
        last = next;
    }
    Ok(Start {
        image,
        kept,
        is_other,
    })
}

//! A repository that cannot be asked, because the box has nothing to show it: it waits for its certificate, say. A bundle
//! updates such a box still.

use super::{Name, Source, SourceError};

/// A repository that gives nothing, and says why.
#[derive(Debug)]
pub struct Unready {
    words: String,
}

impl Unready {
    /// Of a box that cannot ask, for this reason.
    #[must_use]
    pub fn because(why: &anyhow::Error) -> Self {
        Self {
            words: format!("the update repository cannot be asked: {why:#}"),
        }
    }
}

impl Source for Unready {
    fn fetch(&self, _name: &Name, _limit: u64) -> Result<Vec<u8>, SourceError> {
        Err(SourceError::Unreachable {
            words: self.words.clone(),
        })
    }
}

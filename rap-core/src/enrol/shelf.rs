//! What of the box's own identity is on the disk, and how it changes.
//!
//! ```text
//! made/own/kept.json        the keys that wait for their certificates, the answer that is on trial, what became of the last
//! made/forward/device.pem   key and chain in one file, towards the service centre     ┐ in use: each replaced whole, so that
//! made/forward/ingest.pem   the same towards the instruments                          │ key and certificate always fit
//! made/forward/centre-ca.crt  the authority, where the box was given none              │
//! made/web/ingest.pem       the second once more, for the local page                  ┘
//! ```
//!
//! Invariants, at every moment and after a power cut at any: what is in use is whole; it is the old identity, or one
//! that the service centre took ([`Shelf::accepted`]) or the first one; keys that a request went out for are not lost
//! before they are in use or given up.

use std::io;

use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::judge::{Answer, Wanted};
use super::request::Request;
use crate::folder::Folder;
use crate::identity::{AUTHORITY, DEVICE, INGEST, certificates_in};

/// What is remembered.
const KEPT: &str = "kept.json";
/// The format this program writes and reads.
const FORMAT: u32 = 1;

/// Three folders, each for other readers.
#[derive(Debug, Clone)]
pub struct Folders<F> {
    /// Nobody else's.
    pub own: F,
    /// The forwarder's and the updater's.
    pub forward: F,
    /// The local page's.
    pub web: F,
}

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kept {
    format: u32,
    /// What waits for certificates.
    pub request: Option<Request>,
    /// The answer to it that is on trial.
    pub answer: Option<Answer>,
    /// What became of the last answer.
    pub last: Option<Outcome>,
}

/// What became of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// When, RFC 3339.
    pub at: String,
    /// Whether it is in use.
    pub taken: bool,
    /// In words.
    pub words: String,
}

/// The shelf.
#[derive(Debug)]
pub struct Shelf<F> {
    folders: Folders<F>,
    kept: Kept,
}

impl<F: Folder> Shelf<F> {
    /// What is there; what a power cut left half done is done. Damaged memory is an error only where it cannot be begun
    /// anew: keys in it are lost, and the identity in use is not.
    ///
    /// # Errors
    /// When the disk does not work.
    pub fn open(folders: Folders<F>) -> io::Result<Self> {
        let kept = folders.own.read(KEPT)?;
        let kept = kept.and_then(|content| {
            let kept = serde_json::from_slice::<Kept>(&content).ok();
            let kept = kept.filter(|kept| kept.format == FORMAT);
            if kept.is_none() {
                log::error!("{KEPT} is damaged: a request that was out is void, make a new one");
            }
            kept
        });
        let mut shelf = Self {
            folders,
            kept: kept.unwrap_or_default(),
        };
        if shelf.is_put() {
            // All of it is in use; only that it is was not written down.
            shelf.accepted("it was put in use before a restart", String::new())?;
        }
        Ok(shelf)
    }

    /// What is remembered.
    #[must_use]
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Whether an identity that was made here is in use.
    ///
    /// # Errors
    /// When the disk does not work.
    pub fn is_in_use(&self) -> io::Result<bool> {
        Ok(self.folders.forward.read(DEVICE)?.is_some())
    }

    /// The authority's certificates that were installed here.
    ///
    /// # Errors
    /// When the disk does not work.
    pub fn authority(&self) -> io::Result<Vec<CertificateDer<'static>>> {
        let content = self.folders.forward.read(AUTHORITY)?;
        Ok(content.map_or_else(Vec::new, |pem| certificates_in(&pem).unwrap_or_default()))
    }

    /// What an answer has to fit; `None` when nothing was asked.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted> {
        let request = self.kept.request.as_ref()?;
        Some(Wanted {
            subject: request.subject()?,
            device: request.device.sha256,
            ingest: request.ingest.sha256,
        })
    }

    /// Remembers new keys and their request, in place of those before.
    ///
    /// # Errors
    /// When the disk does not take it; nothing has changed then.
    pub fn ask(&mut self, request: Request) -> io::Result<()> {
        let last = self.kept.last.clone().filter(|last| last.taken);
        self.keep(Kept {
            request: Some(request),
            answer: None,
            last,
            ..Kept::default()
        })
    }

    /// Gives the keys up that wait for their certificates.
    ///
    /// # Errors
    /// When the disk does not take it; nothing has changed then.
    pub fn withdraw(&mut self) -> io::Result<()> {
        // What was not taken is nobody's trouble any more.
        let last = self.kept.last.clone().filter(|last| last.taken);
        self.keep(Kept {
            last,
            ..Kept::default()
        })
    }

    /// Shows the local page by a certificate that nobody vouches for, where there is none yet.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn show(&mut self, pem: &str) -> io::Result<()> {
        self.folders.web.replace(INGEST, pem.as_bytes())
    }

    /// Holds an answer until [`Self::accepted`] or [`Self::refused`] says what becomes of it.
    ///
    /// # Errors
    /// When the disk does not take it; nothing has changed then.
    pub fn hold(&mut self, answer: Answer) -> io::Result<()> {
        self.keep(Kept {
            answer: Some(answer),
            ..self.kept.clone()
        })
    }

    /// Puts the answer in use that is held. What is last is what the service centre is shown: before, the old identity
    /// is in use, and the rest of the new one fits it.
    ///
    /// # Errors
    /// When the disk does not take it: it is done when the box starts the next time, or this is called again.
    pub fn accepted(&mut self, words: &str, at: String) -> io::Result<()> {
        let (Some(request), Some(held)) = (&self.kept.request, &self.kept.answer) else {
            return Ok(());
        };
        if let Some(authority) = &held.authority {
            self.folders.forward.replace(AUTHORITY, authority.as_bytes())?;
        }
        if let Some(chain) = &held.ingest {
            let pem = format!("{}{chain}", request.ingest.pem);
            self.folders.forward.replace(INGEST, pem.as_bytes())?;
            self.folders.web.replace(INGEST, pem.as_bytes())?;
        }
        let device = format!("{}{}", request.device.pem, held.device);
        self.folders.forward.replace(DEVICE, device.as_bytes())?;
        let last = Some(Outcome {
            at,
            taken: true,
            words: words.to_owned(),
        });
        self.keep(Kept {
            last,
            ..Kept::default()
        })
    }

    /// Drops the answer that is held, and remembers why. The keys wait still: another answer may come.
    ///
    /// # Errors
    /// When the disk does not take it; the answer is held still.
    pub fn refused(&mut self, why: &str, at: String) -> io::Result<()> {
        let last = Some(Outcome {
            at,
            taken: false,
            words: why.to_owned(),
        });
        self.keep(Kept {
            answer: None,
            last,
            ..self.kept.clone()
        })
    }

    /// Whether the answer that is held is in use already.
    fn is_put(&self) -> bool {
        let (Some(request), Some(held)) = (&self.kept.request, &self.kept.answer) else {
            return false;
        };
        let device = format!("{}{}", request.device.pem, held.device);
        let there = self.folders.forward.read(DEVICE).ok().flatten();
        there.is_some_and(|there| there == device.as_bytes())
    }

    fn keep(&mut self, mut kept: Kept) -> io::Result<()> {
        kept.format = FORMAT;
        let content = serde_json::to_vec(&kept)?;
        self.folders.own.replace(KEPT, &content)?;
        self.kept = kept;
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! What the identity service says of itself: `identity.json` among the status files, and the answer to `status`.

use serde::{Deserialize, Serialize};

use super::certificate::Facts;
use super::shelf::Outcome;
use crate::digest::Sha256;

/// A box without an identity says so in these words, whoever is asked.
pub const WAITS: &str = "this box waits for its certificate: `rapctl identity csr` shows the request, and `rapctl identity install FILE` \
                         takes the answer";

/// The status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// What keeps the box from working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What else is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// What is to be done in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The service centre that this box shows itself to.
    pub centre: String,
    /// Whether the keys were made on this box and never left it.
    pub made_here: bool,
    /// The certificate towards the service centre.
    pub device: Option<Facts>,
    /// The one towards the instruments.
    pub ingest: Option<Facts>,
    /// The authority that the service centre's has to come from.
    pub authority: Option<Facts>,
    /// The request that waits for its answer.
    pub request: Option<Asked>,
    /// The answer that the service centre has not seen yet.
    pub trial: Option<Trial>,
    /// What became of the last answer.
    pub last: Option<Outcome>,
}

/// A request that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Asked {
    /// Whom it names.
    pub name: String,
    /// Likewise.
    pub serial: String,
    /// SHA-256 of the key towards the service centre.
    pub key: Sha256,
}

/// An answer on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Trial {
    /// The certificate.
    pub device: Facts,
    /// How often the service centre was tried.
    pub attempts: u32,
    /// What kept it from saying anything, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Status {
    /// In a few words.
    #[must_use]
    pub fn summary(&self) -> String {
        let state = match (&self.device, &self.trial, &self.request) {
            (None, _, _) => "waits for its certificate",
            (_, Some(_), _) => "a new certificate is on trial",
            (_, _, Some(_)) => "a new certificate is asked for",
            _ => "has its certificate",
        };
        state.to_owned()
    }
}

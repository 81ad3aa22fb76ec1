//! What a person at an instrument's port is shown and may say: one way to the session service, for the agents' API and for
//! the local page.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::consent::Consent;
use super::desk::Request;
use crate::control::{self, Answer};
use crate::directive::{SessionId, Words};

/// Of one port, so many ask at once: each is a thread.
const AT_ONCE: usize = 2;

/// What may be asked for a person at a port: as in [`Request`], and nothing else of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Ask {
    /// What is asked for at this port, or goes on there: answered with an array of [`Shown`].
    Requests {
        /// The port.
        port: String,
    },
    /// What was said and done at this port: answered with [`History`].
    Past {
        /// The port.
        port: String,
    },
    /// What the person there says.
    Consent {
        /// The port.
        port: String,
        /// The answer.
        consent: Consent,
    },
}

impl From<Ask> for Request {
    fn from(ask: Ask) -> Self {
        match ask {
            Ask::Requests { port } => Self::Requests { port },
            Ask::Past { port } => Self::Past { port },
            Ask::Consent { port, consent } => Self::Consent { port, consent },
        }
    }
}

/// A request as the person is shown it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Shown {
    /// Which.
    pub(crate) session: SessionId,
    /// `asked`, `connecting`, `open` or `ending`.
    pub(crate) state: String,
    /// Who asks.
    pub(crate) engineer: Words,
    /// What for.
    pub(crate) purpose: Words,
    /// The ports of the instrument.
    pub(crate) services: String,
    /// For how long.
    pub(crate) seconds: u64,
    /// Silence that ends it.
    pub(crate) idle_seconds: u64,
    /// Whether a yes needs the PIN.
    pub(crate) pin: bool,
    /// For how long no yes is heard from here, after wrong PINs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) locked_seconds: Option<u64>,
    /// How long the request still waits, or the session may still last as it is.
    pub(crate) seconds_left: Option<u64>,
}

/// What was said and done at a port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct History {
    /// A yes for a time that still stands.
    pub(crate) standing: Option<Standing>,
    /// Sessions that were asked for, the latest first.
    pub(crate) sessions: Vec<Past>,
}

/// A yes to whatever is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Standing {
    /// Whose.
    pub(crate) by: Words,
    /// For how much longer.
    pub(crate) seconds_left: u64,
}

/// A session that was asked for. Times are RFC 3339, by the service centre's clock where it was heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Past {
    /// Which.
    pub(crate) session: SessionId,
    /// At which port.
    pub(crate) port: String,
    /// Who asked.
    pub(crate) engineer: Words,
    /// What for.
    pub(crate) purpose: Words,
    /// The ports of the instrument.
    pub(crate) services: String,
    /// When it was asked for.
    pub(crate) asked: Option<String>,
    /// Who said yes, and to what.
    pub(crate) consented: Option<String>,
    /// When the instrument was opened.
    pub(crate) opened: Option<String>,
    /// When everything was closed again.
    pub(crate) ended: Option<String>,
    /// Why it ended; absent while it has not.
    pub(crate) why: Option<String>,
}

/// Where the session service is asked for one port, and by how many at once.
#[derive(Debug)]
pub(crate) struct Ear {
    socket: PathBuf,
    room: Arc<Semaphore>,
}

impl Ear {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            room: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Asks beside the threads that serve connections. One that hangs holds up [`AT_ONCE`] of them, and no more. None when
    /// there is no answer.
    pub(crate) async fn ask(&self, ask: Ask) -> Option<Answer> {
        let place = Arc::clone(&self.room).try_acquire_owned().ok()?;
        let socket = self.socket.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let told = control::ask("session", &socket, &ask, None);
            drop(place);
            told
        });
        asked.await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_asked_for_a_person_is_what_the_service_understands_and_no_more() {
        let consent =
            json!({ "session": "s-1", "answer": "once", "by": "Bob", "seconds": null, "pin": null });
        for asked in [
            json!({ "do": "requests", "port": "port1" }),
            json!({ "do": "past", "port": "port1" }),
            json!({ "do": "consent", "port": "port1", "consent": consent }),
        ] {
            let ask: Ask = serde_json::from_value(asked.clone()).unwrap();
            assert_eq!(json!(Request::from(ask)), asked);
        }
        for other in [
            json!({ "do": "end", "by": "x" }),
            json!({ "do": "status" }),
            json!({ "do": "exchange", "envelopes": [], "there": null, "taken": [] }),
        ] {
            assert!(serde_json::from_value::<Request>(other.clone()).is_ok());
            assert!(serde_json::from_value::<Ask>(other).is_err());
        }
    }
}

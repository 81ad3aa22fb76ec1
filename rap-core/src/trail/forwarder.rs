//! The copy for the service centre: the forwarder asks for the next records, and says when they are in its log, which
//! brings them there.
//!
//! One event waits at a time. Its name is that of its content, so the same records offered again are the same event; after
//! a restart of this service they may be in another one, with more records.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::copy::{Copy, Trail};
use super::status::{CopyStatus, Status};
use super::{Writer, lock};
use crate::audit::record::Link;
use crate::audit::records::Batch;
use crate::control::{self, Answer, Asked, Guest};
use crate::folder::{Directory, Folder};
use crate::session::Report;

/// The event's type (docs/protocol.md, 2.5).
const TYPE: &str = "rap.audit.records";

/// What the forwarder asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// What is next, now that the event of this id is durable.
    Exchange {
        /// The id.
        taken: Option<String>,
    },
}

/// What it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchanged {
    /// What goes into the log; none when nothing waits.
    pub(crate) report: Option<Report>,
}

/// What goes out, and what of it is not yet known to be durable.
#[derive(Debug)]
pub(super) struct Outgoing<F, T> {
    copy: Copy<F>,
    trail: T,
    told: Arc<Mutex<Status>>,
    offered: Option<(Report, Link, u64)>,
}

/// Answers the forwarder at `socket`.
///
/// # Errors
/// When the socket cannot be made.
pub(super) fn answer_at(
    socket: &Path,
    guest: Option<Guest>,
    outgoing: Outgoing<Directory, Writer>,
) -> anyhow::Result<()> {
    let outgoing = Mutex::new(outgoing);
    control::start_for("trail", socket, guest, move |asked: Asked<Request>| {
        let Request::Exchange { taken } = asked.request;
        let exchanged = lock(&outgoing).exchange(taken.as_deref());
        match exchanged.and_then(|it| serde_json::to_value(it).map_err(|error| error.to_string())) {
            Ok(exchanged) => Answer::Done(exchanged),
            Err(why) => Answer::Refused(why),
        }
    })
}

impl<F: Folder, T: Trail> Outgoing<F, T> {
    pub(super) fn new(copy: Copy<F>, trail: T, told: Arc<Mutex<Status>>) -> Self {
        lock(&told).centre = Some(CopyStatus {
            carried: copy.carried(),
            ..CopyStatus::default()
        });
        Self {
            copy,
            trail,
            told,
            offered: None,
        }
    }

    fn exchange(&mut self, taken: Option<&str>) -> Result<Exchanged, String> {
        let done = self.advance(taken);
        if let Some(copy) = &mut lock(&self.told).centre {
            copy.trouble = done.as_ref().err().cloned();
        }
        done
    }

    fn advance(&mut self, taken: Option<&str>) -> Result<Exchanged, String> {
        match self.offered.take() {
            Some((report, place, last)) if taken == Some(report.id.as_str()) => {
                self.copy.move_to(place)?;
                self.say(last);
            }
            offered => self.offered = offered,
        }
        if self.offered.is_none() {
            let batch = self.copy.next(&self.trail)?;
            self.say(batch.last);
            self.offered = report(&batch).map(|report| (report, batch.next, batch.last));
        }
        let report = self.offered.as_ref().map(|(report, ..)| report.clone());
        Ok(Exchanged { report })
    }

    fn say(&self, last: u64) {
        if let Some(copy) = &mut lock(&self.told).centre {
            copy.came_to(self.copy.carried(), last);
        }
    }
}

fn report(batch: &Batch) -> Option<Report> {
    let (first, last) = (batch.from.number, batch.next.number.checked_sub(1)?);
    let digest = batch.next.before.to_string();
    (!batch.lines.is_empty()).then(|| Report {
        id: format!("audit-{first}-{last}-{}", &digest[..16]),
        r#type: TYPE.to_owned(),
        data: json!({ "first": first, "last": last, "records": batch.lines }),
    })
}

#[cfg(test)]
mod tests {
    use super::super::copy::tests::{Lines, copy};
    use super::*;

    #[test]
    fn the_same_event_is_offered_until_it_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let begin = |last| Outgoing::new(copy(directory.path()), Lines(1, last), Arc::default());
        let mut outgoing = begin(6);
        let first = outgoing.exchange(None).unwrap().report.unwrap();
        assert_eq!(
            (&first.data["first"], &first.data["last"]),
            (&1.into(), &4.into())
        );
        assert_eq!(
            outgoing.exchange(Some("another")).unwrap().report.as_ref(),
            Some(&first)
        );
        // Killed before it heard: the same records come in the same event.
        let mut outgoing = begin(6);
        assert_eq!(
            outgoing.exchange(Some(&first.id)).unwrap().report.as_ref(),
            Some(&first)
        );
        let second = outgoing.exchange(Some(&first.id)).unwrap().report.unwrap();
        assert_eq!(
            (&second.data["first"], &second.data["last"]),
            (&5.into(), &6.into())
        );
        assert_eq!(outgoing.exchange(Some(&second.id)).unwrap().report, None);
        let status = lock(&outgoing.told).centre.clone().unwrap();
        assert_eq!((status.carried, status.waiting), (6, 0));
        assert_eq!(begin(6).exchange(None).unwrap().report, None);
    }
}

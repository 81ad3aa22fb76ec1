//! The box's own word to the service centre, and to the log, of reports that were set aside.
//!
//! They are reports like others, in the routine lane. Invariants: at most one is made a minute, however many reports are
//! set aside; setting aside one of these makes no further one, so they cannot feed on themselves. At most once from
//! start to end there is one of a report that is refused when it is not known whether the centre accepts anything.

use std::time::Duration;

use serde::Serialize;

use crate::forward::clock;
use crate::forward::lane::Lane;
use crate::forward::log::{NewRecord, Record};

/// Its `type`.
const TYPE: &str = "rap.report.refused";
/// The `type` of the one that only tells of a doubt.
const DOUBT: &str = "rap.report.doubtful";
/// Between two of them.
const APART: Duration = Duration::from_secs(60);
/// So many reports are named in one; the others are counted.
const MOST_NAMED: usize = 8;

/// A report that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Named {
    source: String,
    id: String,
    lane: &'static str,
    number: u64,
    reason: String,
}

/// What was set aside and not yet told.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// The box's own `source`, `/SITE`; without one nothing is told.
    source: Option<String>,
    count: u64,
    named: Vec<Named>,
    /// When the last one was made, since boot.
    last: Option<Duration>,
    doubted: bool,
}

impl Notices {
    pub(super) fn new(source: Option<String>) -> Self {
        Self {
            source,
            ..Self::default()
        }
    }

    /// `record` was set aside.
    pub(super) fn note(&mut self, lane: Lane, record: &Record, reason: &str) {
        if self.is_ours(record) {
            log::warn!("the service centre refuses to be told of refused reports: {reason}");
            return;
        }
        self.count += 1;
        if self.named.len() < MOST_NAMED {
            self.named.push(Named::new(lane, record, reason));
        }
    }

    /// The report that one is refused while nothing was accepted since start; once.
    pub(super) fn doubt(&mut self, lane: Lane, record: &Record, reason: Option<&str>) -> Option<NewRecord> {
        let source = self.source.clone().filter(|_| !self.doubted)?;
        self.doubted = true;
        let named = Named::new(lane, record, reason.unwrap_or_default());
        Some(report(source, DOUBT, &serde_json::json!({ "reports": [named] })))
    }

    /// The report to be made now, if one is due. It is said in the log, too.
    pub(super) fn due(&mut self, now: Duration) -> Option<NewRecord> {
        let early = self.last.is_some_and(|last| now < last + APART);
        if self.count == 0 || early {
            return None;
        }
        let (count, named) = (std::mem::take(&mut self.count), std::mem::take(&mut self.named));
        self.last = Some(now);
        let first = named.first()?;
        log::warn!(
            "the service centre refuses {count} report(s), among them {} of {}: {}; kept as dead letter(s)",
            first.id,
            first.source,
            first.reason
        );
        let data = serde_json::json!({ "count": count, "reports": named });
        Some(report(self.source.clone()?, TYPE, &data))
    }

    fn is_ours(&self, record: &Record) -> bool {
        #[derive(serde::Deserialize)]
        struct Typed {
            r#type: String,
        }
        self.source.as_ref() == Some(&record.source)
            && serde_json::from_slice::<Typed>(&record.event)
                .is_ok_and(|event| [TYPE, DOUBT].contains(&event.r#type.as_str()))
    }
}

impl Named {
    fn new(lane: Lane, record: &Record, reason: &str) -> Self {
        Self {
            source: record.source.clone(),
            id: record.id.clone(),
            lane: lane.as_str(),
            number: record.number,
            reason: reason.to_owned(),
        }
    }
}

fn report(source: String, kind: &str, data: &serde_json::Value) -> NewRecord {
    let id = uuid::Uuid::new_v4().to_string();
    let event = serde_json::json!({
        "specversion": "1.0",
        "id": id,
        "type": kind,
        "source": source,
        "datacontenttype": "application/json",
        "data": data,
    });
    NewRecord {
        source,
        id,
        received: clock::now_ms(),
        event: event.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(source: &str, kind: &str) -> Record {
        Record {
            seq: 1,
            number: 7,
            received: 0,
            source: source.to_owned(),
            id: "x".to_owned(),
            event: format!(r#"{{"type":"{kind}"}}"#).into_bytes(),
        }
    }

    fn data(notice: &NewRecord) -> serde_json::Value {
        let event: serde_json::Value = serde_json::from_slice(&notice.event).unwrap();
        assert_eq!((&event["type"], &event["source"]), (&TYPE.into(), &"/lab".into()));
        event["data"].clone()
    }

    #[test]
    fn the_first_is_told_at_once_and_many_together_a_minute_later() {
        let mut notices = Notices::new(Some("/lab".to_owned()));
        let at = Duration::from_secs;
        assert_eq!(notices.due(at(0)), None);
        notices.note(Lane::Alert, &record("/lab/port1", "t"), "HTTP 422: no");
        let told = data(&notices.due(at(1)).unwrap());
        assert_eq!(told["count"], 1);
        assert_eq!(
            told["reports"],
            serde_json::json!([{"source":"/lab/port1","id":"x","lane":"alert","number":7,"reason":"HTTP 422: no"}])
        );
        for _ in 0..100 {
            notices.note(Lane::Routine, &record("/lab/port1", "t"), "HTTP 400");
        }
        assert_eq!(notices.due(at(60)), None);
        let told = data(&notices.due(at(61)).unwrap());
        assert_eq!(
            (&told["count"], told["reports"].as_array().unwrap().len()),
            (&100.into(), MOST_NAMED)
        );
        assert_eq!(notices.due(at(1000)), None);
    }

    #[test]
    fn a_refused_notice_makes_no_notice() {
        let mut notices = Notices::new(Some("/lab".to_owned()));
        notices.note(Lane::Routine, &record("/lab", TYPE), "HTTP 400");
        assert_eq!(notices.due(Duration::ZERO), None);
        // An instrument may use the type, and other reports of the box are told of.
        notices.note(Lane::Routine, &record("/lab/port1", TYPE), "HTTP 400");
        notices.note(Lane::Routine, &record("/lab", "rap.box.started"), "HTTP 400");
        assert_eq!(data(&notices.due(Duration::ZERO).unwrap())["count"], 2);
    }
}

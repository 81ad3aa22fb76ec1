//! The alert as an event: CloudEvents types `rap.trigger.raised` and `rap.trigger.cleared`, described in
//! docs/protocol.md.

use serde_json::{Value, json};

use super::super::clock;
use super::super::log::NewRecord;
use super::{Edge, Evidence, Excursion, Moment};
use crate::site::Trigger;

/// What the alert says besides the values.
pub(super) struct Context<'a> {
    /// `/SITE/PORT`
    pub(super) instrument: &'a str,
    /// When the rules began, milliseconds since 1970.
    pub(super) since: u64,
    /// The id of the report that decided.
    pub(super) cause: &'a str,
    pub(super) now: Moment,
}

/// The alert's event. Its source is the box itself, which no instrument can claim.
pub(super) fn record(rule: &Trigger, edge: &Edge, context: &Context<'_>) -> NewRecord {
    let (site, port) = context.instrument.rsplit_once('/').unwrap_or_default();
    let (id, kind, mut data) = match edge {
        Edge::Raised { alert, excursion } => (alert, "rap.trigger.raised", matched(excursion)),
        Edge::Cleared {
            id,
            alert,
            excursion,
            end,
        } => {
            let mut data = matched(excursion);
            data["alert"] = json!(alert);
            data["ended"] = evidence(end);
            let lasted = end.at.saturating_sub(excursion.first.at);
            data["seconds"] = json!(lasted.as_secs());
            (id, "rap.trigger.cleared", data)
        }
    };
    data["rule"] = json!(rule.name);
    data["instrument"] = json!(context.instrument);
    data["report-type"] = json!(rule.kind);
    data["field"] = json!(rule.field.to_string());
    data["condition"] = json!(rule.to_string());
    data["cause"] = json!(context.cause);
    data["watching-since"] = json!(clock::text(context.since));
    let event = json!({
        "specversion": "1.0",
        "id": id,
        "source": site,
        "type": kind,
        "subject": format!("{port}/{}", rule.name),
        "priority": "alert",
        "datacontenttype": "application/json",
        "data": data,
    });
    NewRecord {
        source: site.to_owned(),
        id: id.clone(),
        received: context.now.wall,
        event: event.to_string().into_bytes(),
    }
}

fn matched(excursion: &Excursion) -> Value {
    let values = std::iter::once(&excursion.first).chain(&excursion.latest);
    json!({
        "matched": values.map(evidence).collect::<Vec<_>>(),
        "reports": excursion.reports,
        "seconds": excursion.lasted().as_secs(),
    })
}

fn evidence(evidence: &Evidence) -> Value {
    // It is JSON because it comes out of a report that is.
    let value: Value = serde_json::from_str(&evidence.value).unwrap_or_default();
    json!({ "value": value, "received": clock::text(evidence.wall) })
}

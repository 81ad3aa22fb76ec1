//! The box in figures, in Prometheus' text format (version 0.0.4, "Exposition formats" of its documentation).
//!
//! Made of the services' status files and nothing else, so that whoever may read those can show it. A figure nobody
//! knows is left out: a missing series is honest, a zero is not. Names of counters end in `_total`, units are seconds
//! and bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::build_info::BuildInfo;
use crate::forward::files::FilesStatus;
use crate::forward::status::{LaneStatus, Status as Forward};
use crate::status::{self, InitStatus, SecureBoot};
use crate::update::policy::Decision;
use crate::update::status::Status as Update;

/// The media type of what [`render`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All figures of a box whose services' status is `services`.
#[must_use]
pub fn render(services: &BTreeMap<String, Value>, build: Option<&BuildInfo>) -> String {
    let mut page = Page::default();
    if let Some(build) = build {
        let labels = [("version", build.version.as_str()), ("build_id", &build.build_id)];
        page.family("rap_build_info", "What the image is.", Kind::Gauge)
            .sample(&labels, 1.0);
    }
    problems(services, &mut page);
    if let Some(init) = read::<InitStatus>(services, "init") {
        of_init(&init, &mut page);
    }
    if let Some(forward) = read::<Forward>(services, "forward") {
        of_lanes(&forward, &mut page);
        of_delivery(&forward, &mut page);
        of_link(&forward, &mut page);
        of_files(&forward.files, &mut page);
    }
    if let Some(update) = read::<Update>(services, "update") {
        of_update(&update, &mut page);
    }
    page.text
}

fn read<T: serde::de::DeserializeOwned>(services: &BTreeMap<String, Value>, name: &str) -> Option<T> {
    serde_json::from_value(services.get(name)?.clone()).ok()
}

fn problems(services: &BTreeMap<String, Value>, page: &mut Page) {
    let mut family = page.family("rap_problems", "Problems a service has now.", Kind::Gauge);
    for (name, value) in services {
        family.sample(&[("service", name)], status::problems(value).len() as f64);
    }
}

fn of_init(init: &InitStatus, page: &mut Page) {
    let mut running = page.family("rap_service_running", "Whether a service runs.", Kind::Gauge);
    for service in &init.services {
        running.sample(&[("service", &service.name)], flag(service.state == "running"));
    }
    let help = "How often a service ended without being asked to, since the box started.";
    let mut restarts = page.family("rap_service_restarts_total", help, Kind::Counter);
    for service in &init.services {
        restarts.sample(&[("service", &service.name)], f64::from(service.restarts));
    }
    if let Some(watchdog) = &init.watchdog {
        page.family(
            "rap_watchdog_fed",
            "Whether the hardware watchdog is fed.",
            Kind::Gauge,
        )
        .sample(&[("name", &watchdog.name)], flag(watchdog.fed));
    }
    if let Some(state) = init.secure_boot {
        let help = "Whether firmware starts only what is signed.";
        page.family("rap_secure_boot_on", help, Kind::Gauge)
            .sample(&[], flag(state == SecureBoot::On));
    }
    page.family(
        "rap_data_mounted",
        "Whether the data partition is mounted.",
        Kind::Gauge,
    )
    .sample(&[], flag(init.data));
}

fn of_update(update: &Update, page: &mut Page) {
    let mut one = |name, help, value: f64| page.family(name, help, Kind::Gauge).sample(&[], value);
    let help = "The number of the highest release that was confirmed here.";
    one("rap_update_floor", help, update.floor as f64);
    let help = "Whether the image that runs is on trial.";
    one("rap_update_on_trial", help, flag(update.trial.is_some()));
    let help = "Whether a release was tried and did not work here.";
    one("rap_update_given_up", help, flag(update.given_up.is_some()));
    if let Some(decision) = &update.decision {
        let help = "Whether a release is on offer that does not run here.";
        let runs = matches!(decision, Decision::Nothing { .. });
        one("rap_update_on_offer", help, flag(!runs));
    }
}

fn of_lanes(forward: &Forward, page: &mut Page) {
    let lanes = forward.lanes();
    let mut each = |name, help, kind, value: fn(&LaneStatus) -> f64| {
        let mut family = page.family(name, help, kind);
        for (lane, of) in lanes {
            family.sample(&[("lane", lane)], value(of));
        }
    };
    each(
        "rap_queue_reports",
        "Reports that wait to be delivered.",
        Kind::Gauge,
        |l| l.waiting as f64,
    );
    each(
        "rap_queue_bytes",
        "Bytes of those reports on the disk.",
        Kind::Gauge,
        |l| l.waiting_bytes as f64,
    );
    each(
        "rap_queue_oldest_seconds",
        "How long the oldest of those reports has waited, by the box's clock.",
        Kind::Gauge,
        |l| l.oldest_seconds.map_or(0.0, |seconds| seconds as f64),
    );
    each(
        "rap_reports_taken_total",
        "Reports acknowledged to the instruments since the log was made.",
        Kind::Counter,
        |l| l.taken as f64,
    );
    each(
        "rap_reports_passed_total",
        "Reports delivered or refused for good since the log was made.",
        Kind::Counter,
        |l| l.passed as f64,
    );
    each(
        "rap_reports_lost_total",
        "Reports acknowledged and lost with a damaged place on the disk, found since the forwarder started.",
        Kind::Counter,
        |l| l.lost as f64,
    );
}

fn of_delivery(forward: &Forward, page: &mut Page) {
    let mut one = |name, help, kind, value: f64| page.family(name, help, kind).sample(&[], value);
    one(
        "rap_log_used_bytes",
        "Bytes of the log's segments that hold something.",
        Kind::Gauge,
        forward.room.used as f64,
    );
    one(
        "rap_log_limit_bytes",
        "The most bytes the log may take at present.",
        Kind::Gauge,
        forward.room.limit as f64,
    );
    one(
        "rap_reports_refused",
        "Reports the service centre refuses for good that are kept on the box.",
        Kind::Gauge,
        forward.refused.kept as f64,
    );
    one(
        "rap_uplink_delivering",
        "Whether nothing keeps delivery from working.",
        Kind::Gauge,
        flag(forward.trouble.is_none()),
    );
    let at = forward
        .delivered_at
        .as_ref()
        .and_then(|at| at.parse::<jiff::Timestamp>().ok());
    if let Some(at) = at {
        one(
            "rap_uplink_last_receipt_timestamp_seconds",
            "When the last receipt came, by the box's clock.",
            Kind::Gauge,
            at.as_duration().as_secs_f64(),
        );
    }
}

fn of_link(forward: &Forward, page: &mut Page) {
    let link = &forward.link;
    let wire = [("sent", link.sent_bytes), ("received", link.received_bytes)];
    let help = "Bytes to and from the service centre since the forwarder started, TLS's own among them.";
    let mut family = page.family("rap_uplink_bytes_total", help, Kind::Counter);
    for (direction, bytes) in wire {
        family.sample(&[("direction", direction)], bytes as f64);
    }
    let help = "Bytes of delivered batches since the forwarder started, before and after compression.";
    let mut family = page.family("rap_uplink_batch_bytes_total", help, Kind::Counter);
    for (stage, bytes) in [
        ("plain", link.payload_bytes),
        ("compressed", link.compressed_bytes),
    ] {
        family.sample(&[("stage", stage)], bytes as f64);
    }
    page.family("rap_uplink_failures", "Failures in a row.", Kind::Gauge)
        .sample(&[], f64::from(link.failures));
    if let Some(seconds) = link.next_try_seconds {
        let help = "Seconds until the next attempt.";
        page.family("rap_uplink_next_try_seconds", help, Kind::Gauge)
            .sample(&[], seconds as f64);
    }
}

fn of_files(files: &FilesStatus, page: &mut Page) {
    let mut one = |name, help, kind, value: u64| page.family(name, help, kind).sample(&[], value as f64);
    one(
        "rap_files_waiting",
        "Whole data files that wait to be delivered.",
        Kind::Gauge,
        files.waiting,
    );
    one(
        "rap_files_waiting_bytes",
        "Bytes of those files not sent yet.",
        Kind::Gauge,
        files.waiting_bytes,
    );
    one(
        "rap_files_partial",
        "Data files the instruments have not sent wholly.",
        Kind::Gauge,
        files.partial,
    );
    one(
        "rap_files_used_bytes",
        "Bytes data files have taken of their room.",
        Kind::Gauge,
        files.used,
    );
    one(
        "rap_files_room_bytes",
        "Bytes data files may take together.",
        Kind::Gauge,
        files.room,
    );
    one(
        "rap_files_delivered_total",
        "Data files delivered since the forwarder started.",
        Kind::Counter,
        files.delivered,
    );
    one(
        "rap_files_refused",
        "Data files the service centre refused.",
        Kind::Gauge,
        files.refused,
    );
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// What is written so far.
#[derive(Debug, Default)]
struct Page {
    text: String,
}

impl Page {
    /// Begins a family; its head is written with its first sample.
    fn family(&mut self, name: &'static str, help: &'static str, kind: Kind) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let head = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family {
            page: self,
            name,
            head: Some(head),
        }
    }
}

struct Family<'a> {
    page: &'a mut Page,
    name: &'static str,
    head: Option<String>,
}

impl Family<'_> {
    fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        let text = &mut self.page.text;
        text.push_str(&self.head.take().unwrap_or_default());
        text.push_str(self.name);
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        if !labels.is_empty() {
            let _ = write!(text, "{{{}}}", labels.join(","));
        }
        // Writing to a String cannot fail.
        let _ = writeln!(text, " {value}");
    }
}

/// A label's value: backslash, quote and line feed are escaped.
fn escaped(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', r#"\""#)
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services() -> BTreeMap<String, Value> {
        let lane = |waiting: u64| {
            serde_json::json!({
                "waiting": waiting, "waiting-bytes": waiting * 1000, "taken": 30, "passed": 30 - waiting, "lost": 0,
                "taken-per-second": 0.5, "passed-per-second": 0.5,
            })
        };
        let forward = serde_json::json!({
            "alert": lane(0), "routine": lane(12), "delivered": 18, "trouble": "nothing listens there",
            "room": {"used": 4096, "limit": 8192}, "refused": {"kept": 2, "given-up": 0},
            "delivered-at": "1970-01-02T00:00:00Z",
        });
        let init = serde_json::json!({
            "ready-after-seconds": 3.25, "watchdog": {"name": "i6300esb", "timeout-seconds": 60, "fed": true},
            "data": true, "problems": [],
            "services": [{"name": "relay", "state": "waiting", "pid": null, "restarts": 2, "text": ""}],
        });
        BTreeMap::from([("forward".to_owned(), forward), ("init".to_owned(), init)])
    }

    #[test]
    fn every_figure_is_there_once_with_its_head() {
        let text = render(&services(), None);
        for line in [
            "# TYPE rap_queue_reports gauge\nrap_queue_reports{lane=\"alert\"} 0\nrap_queue_reports{lane=\"routine\"} 12\n",
            "rap_queue_bytes{lane=\"routine\"} 12000\n",
            "rap_reports_passed_total{lane=\"routine\"} 18\n",
            "rap_problems{service=\"forward\"} 1\nrap_problems{service=\"init\"} 0\n",
            "rap_service_running{service=\"relay\"} 0\n",
            "rap_service_restarts_total{service=\"relay\"} 2\n",
            "rap_watchdog_fed{name=\"i6300esb\"} 1\n",
            "rap_uplink_delivering 0\n",
            "rap_uplink_last_receipt_timestamp_seconds 86400\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        let names: Vec<_> = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")).collect();
        let unique: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), unique.len(), "{names:?}");
    }

    #[test]
    fn what_nobody_knows_is_left_out_and_what_others_say_is_escaped() {
        assert_eq!(render(&BTreeMap::new(), None), "");
        let stranger = BTreeMap::from([("a\"b\\c\nd".to_owned(), serde_json::json!({}))]);
        let text = render(&stranger, None);
        assert!(
            text.ends_with("rap_problems{service=\"a\\\"b\\\\c\\nd\"} 0\n"),
            "{text}"
        );
    }
}

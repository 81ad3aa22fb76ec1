//! One case: so many posters, for so long, against one forwarder; and the middle one of several.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use rap_core::site::Ingest;

use super::ground::Ground;
use super::load::{self, Plan, float};
use super::ours::{Limits, Workshop};
use super::report::BYTES;
use super::wire::Http;

/// Before a case counts: connections are there, and the processor's caches are warm.
const WARM_UP: Duration = Duration::from_millis(300);

/// What is posted how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) ingest: Ingest,
    pub(super) posters: usize,
}

/// What one case came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Acknowledged reports a second.
    pub(super) rate: f64,
    /// Milliseconds from a post to its acknowledgement: the median, and what 1 % and 1 ‰ exceed.
    pub(super) latency: [f64; 3],
    /// Bytes the disk was given for each byte of a report; not a number where it cannot be told.
    pub(super) device: f64,
    /// The most memory the forwarder held, in MiB.
    pub(super) memory: f64,
    /// Processor time of the forwarder for a report, and of the load, in microseconds.
    pub(super) cpu: [f64; 2],
}

impl Case {
    /// In words.
    pub(super) fn name(self) -> String {
        let over = if self.ingest == Ingest::Tls { "TLS" } else { "HTTP" };
        let s = if self.posters == 1 { "" } else { "s" };
        format!("{over}, {} poster{s}", self.posters)
    }

    /// Runs it once on the log in `log`, which is on `ground`.
    ///
    /// # Errors
    /// When a report was refused, or a connection ended by the forwarder: then something else was measured.
    pub(super) fn run(
        self,
        workshop: &Workshop,
        ground: &Ground,
        log: &Path,
        length: Duration,
    ) -> anyhow::Result<Row> {
        let forwarder = workshop.start(log, self.ingest, Limits::Raised)?;
        let meter = Meter::start(ground)?;
        let plan = Plan {
            address: forwarder.address,
            tls: (self.ingest == Ingest::Tls).then(|| workshop.client()),
            posters: self.posters,
            window: 1,
            warm_up: WARM_UP,
            length,
        };
        let outcome = load::run(&plan, Http::new)?;
        let (refused, broken) = (outcome.refused, outcome.broken);
        ensure!(
            refused == 0 && broken == 0,
            "{}: {refused} reports were refused and {broken} connections ended",
            self.name()
        );
        let count = float(outcome.acknowledged.len());
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count;
        Ok(Row {
            rate: outcome.rate(),
            latency: [500, 990, 999].map(|per_mille| outcome.latency(per_mille)),
            device: meter.bytes_for_a_byte(outcome.acknowledged.len())?,
            memory: forwarder.most_memory()?,
            cpu: [each(forwarder.cpu()), each(outcome.cpu)],
        })
    }
}

/// What the disk is given while something runs.
#[derive(Debug)]
pub(super) struct Meter<'a> {
    ground: &'a Ground,
    before: Option<u64>,
}

impl<'a> Meter<'a> {
    pub(super) fn start(ground: &'a Ground) -> anyhow::Result<Self> {
        let before = ground.written()?;
        Ok(Self { ground, before })
    }

    /// Bytes the disk was given for each byte of `reports` reports; not a number where nothing can be counted.
    pub(super) fn bytes_for_a_byte(&self, reports: usize) -> anyhow::Result<f64> {
        Ok(match (self.before, self.ground.written()?) {
            (Some(before), Some(after)) => {
                // Blocks of 4 KiB, because a count of bytes does not fit.
                float(usize::try_from((after - before) / 4096)?) * 4096.0 / (float(reports) * float(BYTES))
            }
            _ => f64::NAN,
        })
    }
}

/// The row whose rate is the middle one.
pub(super) fn median(mut rows: Vec<Row>) -> Option<Row> {
    rows.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    rows.get(rows.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{ours, report};
    use super::*;
    use crate::system::program;

    #[test]
    fn what_a_case_counts_is_in_the_log_afterwards() {
        let place = tempfile::tempdir().unwrap();
        let workshop = Workshop::new(&program("rap-tls").unwrap(), place.path()).unwrap();
        let ground = Ground::here(place.path()).unwrap();
        let log = place.path().join("log");
        for ingest in [Ingest::Http, Ingest::Tls] {
            let case = Case { ingest, posters: 3 };
            let row = case
                .run(&workshop, &ground, &log, Duration::from_millis(200))
                .unwrap();
            assert!(row.rate > 5.0 && row.latency[0] <= row.latency[2], "{row:?}");
            assert!(row.memory > 1.0 && row.cpu[0] > 0.0, "{row:?}");
            let mut ids = ours::drain(&log).unwrap();
            // The box's own, at its start.
            ids.remove(0);
            let found: BTreeSet<u64> = ids.iter().flat_map(|id| report::numbers(id.as_bytes())).collect();
            assert_eq!(found.len(), ids.len());
            let all = f64::from(u32::try_from(ids.len()).unwrap());
            assert!(all >= row.rate * 0.2, "{all} of {row:?}");
            assert!(ours::drain(&log).unwrap().is_empty());
        }
    }
}

//! What was found: rows for people, and everything as figures.

use std::fmt::Write as _;

use super::case::{Case, Row};
use super::loss::Loss;
use super::{MEMORY, OF_RAW, OF_RSYSLOG, RSYSLOG, Rates};
use crate::bench::Figure;
use rap_core::site::Ingest;

/// Everything that was measured.
#[derive(Debug, Default)]
pub struct Findings {
    figures: Vec<Figure>,
    /// For people: lines, in which the rows of cases stand instead of their figures.
    text: String,
    /// Where it is being measured.
    on: String,
}

impl Findings {
    /// All of it, for machines.
    #[must_use]
    pub fn figures(&self) -> &[Figure] {
        &self.figures
    }

    /// All of it, for people.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What comes now is about `place`.
    pub(super) fn begin(&mut self, place: &str) {
        place.clone_into(&mut self.on);
        let _ = writeln!(self.text, "\n{place}");
        // The rest is said at the end, some minutes from now.
        eprintln!("measuring on {place}");
    }

    pub(super) fn add(&mut self, figure: Figure) {
        let _ = writeln!(self.text, "  {}", figure.line());
        self.keep(figure);
    }

    pub(super) fn extend(&mut self, figures: Vec<Figure>) {
        for figure in figures {
            self.add(figure);
        }
    }

    fn keep(&mut self, mut figure: Figure) {
        if !self.on.is_empty() {
            figure.figure = format!("{}: {}", self.on, figure.figure);
        }
        self.figures.push(figure);
    }

    pub(super) fn lost(&mut self, who: &str, loss: Loss) {
        let of = loss.acknowledged;
        let name = format!("{who}: lost in a power cut, of {of}");
        let figure = Figure::number(name, super::load::float(loss.lost), "reports");
        self.add(if who == "ours" {
            figure.at_most(0.0)
        } else {
            figure
        });
    }

    /// The disk, the peers, the cases, and each beside the others.
    pub(super) fn compare(&mut self, rows: &[(Case, Row)], rates: &Rates) {
        for (group, rate) in &rates.raw {
            let name = format!("raw limit: 1 KiB appended, synced in groups of {group}");
            self.add(Figure::number(name, *rate, "reports/s"));
        }
        for (name, row) in &rates.peers {
            self.add(Figure::number(*name, row.rate, "reports/s"));
            self.add(Figure::number(format!("{name}: most memory"), row.memory, "MiB"));
            self.keep(Figure::number(
                format!("{name}: device bytes for a byte"),
                row.device,
                "B/B",
            ));
        }
        self.text += "\n  ours                  reports/s      p50      p99    p99.9 ms   disk B/B   CPU µs/report (load's)\n";
        for (case, row) in rows {
            let [p50, p99, p999] = row.latency;
            let [ours, load] = row.cpu;
            let _ = writeln!(
                self.text,
                "  {:<20} {:>10.0} {p50:>8.2} {p99:>8.2} {p999:>8.2} {:>13.2} {ours:>12.1} ({load:.1})",
                case.name(),
                row.rate,
                row.device,
            );
            self.keep_row(*case, row);
        }
        self.text.push('\n');
        for posters in [64, 256] {
            if let Some(figure) = of_raw(rows, rates, posters) {
                self.add(figure);
            }
        }
        let rsyslog = rates.peers.iter().find(|(name, _)| *name == RSYSLOG);
        if let (Some(best), Some((_, rsyslog))) = (best(rows), rsyslog) {
            let figure = Figure::number("durable rate over rsyslog's", best / rsyslog.rate, "×");
            self.add(figure.at_least(OF_RSYSLOG));
        }
    }

    fn keep_row(&mut self, case: Case, row: &Row) {
        let name = case.name();
        self.keep(Figure::number(&name, row.rate, "reports/s"));
        for (part, latency) in ["p50", "p99", "p99.9"].iter().zip(row.latency) {
            self.keep(Figure::number(
                format!("{name}: acknowledged after, {part}"),
                latency,
                "ms",
            ));
        }
        if row.device.is_finite() {
            self.keep(Figure::number(
                format!("{name}: device bytes for a byte"),
                row.device,
                "B/B",
            ));
        }
        self.keep(Figure::number(format!("{name}: most memory"), row.memory, "MiB").at_most(MEMORY));
        for (whose, cpu) in ["forwarder", "load"].iter().zip(row.cpu) {
            self.keep(Figure::number(
                format!("{name}: CPU of the {whose} for a report"),
                cpu,
                "µs",
            ));
        }
    }
}

/// Plain HTTP beside what the disk does in groups of as many.
fn of_raw(rows: &[(Case, Row)], rates: &Rates, posters: usize) -> Option<Figure> {
    let case = Case {
        ingest: Ingest::Http,
        posters,
    };
    let (_, row) = rows.iter().find(|(found, _)| *found == case)?;
    let (_, raw) = rates.raw.iter().find(|(group, _)| *group == posters)?;
    let name = format!("{}, over the raw limit", case.name());
    Some(Figure::number(name, row.rate / raw, "×").at_least(OF_RAW))
}

/// The best rate over plain HTTP.
fn best(rows: &[(Case, Row)]) -> Option<f64> {
    let plain = rows.iter().filter(|(case, _)| case.ingest == Ingest::Http);
    plain.map(|(_, row)| row.rate).max_by(f64::total_cmp)
}

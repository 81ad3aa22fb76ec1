//! The programs of the story and how they are spoken to: the only place that knows their command lines.
//!
//! * `rap-centre --listen ADDRESS --tls DIRECTORY --db FILE`: keeps what arrives in the table `arrivals`, with
//!   `source`, `id`, and `duplicate` for what it had already.
//! * `rap-instrument post …`: writes one line for each report the box acknowledged, its id, to the file of `--acked`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::keys::INGEST_NAME;
use anyhow::{Context as _, ensure};
use rap_core::site::INGEST_TLS_PORT;
use rap_qemu::lab::probe::Verdict;
use rap_qemu::lab::{self, Host, Lab};
use rap_qemu::process::Running;
use rusqlite::{Connection, OpenFlags};

/// Where the development keys are.
pub const KEYS: &str = "keys/dev";
/// How long the centre may take to listen.
const START: Duration = Duration::from_secs(20);

/// A program of this workspace, beside the running one.
///
/// # Errors
/// When it was not built.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(
        path.is_file(),
        "{} is missing; build the whole workspace: cargo build",
        path.display()
    );
    Ok(path)
}

/// One report, as the centre knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Report {
    /// The port it came in by, set by the box.
    pub(super) source: String,
    /// Its id, set by the instrument.
    pub(super) id: String,
}

/// The service centre, running on its host.
pub(super) struct Centre {
    database: PathBuf,
    _running: Running,
    _place: tempfile::TempDir,
}

impl Centre {
    /// Starts it and waits until it listens.
    pub(super) fn start(lab: &Lab, keys: &Path) -> anyhow::Result<Self> {
        let place = tempfile::Builder::new().prefix("rap-centre-").tempdir()?;
        let database = place.path().join("centre.db");
        let mut command = Command::new(program("rap-centre")?);
        command
            .args(["--listen", &lab::CENTRE.to_string(), "--tls"])
            .arg(keys);
        command
            .arg("--db")
            .arg(&database)
            .stdin(std::process::Stdio::null());
        let mut running = lab.centre.start(command)?;
        let begun = Instant::now();
        while lab.workstation.try_tcp(lab::CENTRE, Duration::from_secs(1))? != Verdict::Open {
            ensure!(
                matches!(running.0.try_wait(), Ok(None)),
                "the service centre ended; it has said why above"
            );
            ensure!(
                begun.elapsed() < START,
                "the service centre does not listen after {START:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self {
            database,
            _running: running,
            _place: place,
        })
    }

    /// Every report it has, without those it knew for duplicates, in the order it took them.
    pub(super) fn book(&self) -> anyhow::Result<Vec<Report>> {
        let open = || {
            let database = Connection::open_with_flags(&self.database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            database.busy_timeout(Duration::from_secs(5))?;
            let mut query =
                database.prepare("SELECT source, id FROM arrivals WHERE NOT duplicate ORDER BY arrival")?;
            let rows = query.query_map([], |row| {
                Ok(Report {
                    source: row.get(0)?,
                    id: row.get(1)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        open().with_context(|| {
            format!(
                "cannot read the service centre's book {}",
                self.database.display()
            )
        })
    }
}

/// What the instruments were promised: the ids of the reports that were acknowledged.
pub(super) struct Ledger {
    authority: PathBuf,
    place: tempfile::TempDir,
    promised: Vec<String>,
}

impl Ledger {
    pub(super) fn new(keys: &Path) -> anyhow::Result<Self> {
        let place = tempfile::Builder::new().prefix("rap-ledger-").tempdir()?;
        Ok(Self {
            authority: keys.join("centre-ca.crt"),
            place,
            promised: Vec::new(),
        })
    }

    /// Lets the instrument on `host` post `count` reports; returns how many were acknowledged.
    pub(super) fn post(&mut self, host: &Host, number: usize, count: usize) -> anyhow::Result<usize> {
        let round = self.place.path().join(self.promised.len().to_string());
        let mut command = Command::new(program("rap-instrument")?);
        command.args([
            "post",
            "--url",
            &format!("https://{}:{INGEST_TLS_PORT}", lab::GATEWAY),
        ]);
        command
            .arg("--ca")
            .arg(&self.authority)
            .args(["--server-name", INGEST_NAME]);
        // Ids are SOURCE-K: no id twice in one story.
        let start = self.promised.len() + 1;
        command.args([
            "--source",
            &format!("instrument{number}"),
            "--start",
            &start.to_string(),
        ]);
        command
            .args(["--count", &count.to_string()])
            .arg("--acked")
            .arg(&round);
        let output = host.output(command)?;
        let accepted = std::fs::read_to_string(&round).unwrap_or_default();
        ensure!(
            output.status.success(),
            "instrument {number} could not post: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let before = self.promised.len();
        self.promised.extend(accepted.lines().map(str::to_owned));
        Ok(self.promised.len() - before)
    }

    /// How many reports were acknowledged so far.
    pub(super) fn acknowledged(&self) -> usize {
        self.promised.len()
    }

    /// Acknowledged reports that the book does not have.
    pub(super) fn not_in(&self, book: &[Report]) -> Vec<Report> {
        let known: std::collections::BTreeSet<_> = book.iter().map(|report| &report.id).collect();
        let missing = self.promised.iter().filter(|id| !known.contains(id));
        missing
            .map(|id| Report {
                source: String::new(),
                id: id.clone(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledged_report_that_is_not_in_the_book_is_missing() {
        let mut ledger = Ledger::new(Path::new("keys")).unwrap();
        ledger.promised = vec!["a".to_owned(), "b".to_owned()];
        let book = [Report {
            source: "port1".to_owned(),
            id: "b".to_owned(),
        }];
        let missing: Vec<_> = ledger.not_in(&book).into_iter().map(|report| report.id).collect();
        assert_eq!(missing, ["a"]);
    }
}

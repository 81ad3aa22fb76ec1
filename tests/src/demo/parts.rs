//! The programs of the story and how they are spoken to: the only place that knows their command lines.
//!
//! * `rap-centre --listen ADDRESS --tls DIRECTORY --db FILE`: keeps each report once in the table `events`, with
//!   `source` and `id`.
//! * `rap-instrument post --url URL --ca FILE --count N`: prints `accepted ID` for each report the box acknowledged.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

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

/// The box's part of the keys: the files of the provision archive.
#[must_use]
pub fn identity(keys: &Path) -> PathBuf {
    keys.join("identity")
}

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
            .arg(keys.join("centre"));
        command
            .arg("--db")
            .arg(&database)
            .stdin(std::process::Stdio::null());
        let running = lab.centre.start(command)?;
        let begun = Instant::now();
        while lab.workstation.try_tcp(lab::CENTRE, START)? != Verdict::Open {
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

    /// Every report it has, in the order it took them.
    pub(super) fn book(&self) -> anyhow::Result<Vec<Report>> {
        let open = || {
            let database = Connection::open_with_flags(&self.database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            database.busy_timeout(Duration::from_secs(5))?;
            let mut query = database.prepare("SELECT source, id FROM events ORDER BY rowid")?;
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
    promised: Vec<String>,
}

impl Ledger {
    pub(super) fn new(keys: &Path) -> Self {
        Self {
            authority: keys.join("ca.crt"),
            promised: Vec::new(),
        }
    }

    /// Lets the instrument on `host` post `count` reports; returns how many were acknowledged.
    pub(super) fn post(&mut self, host: &Host, number: usize, count: u32) -> anyhow::Result<usize> {
        let mut command = Command::new(program("rap-instrument")?);
        let url = format!("https://{}:{INGEST_TLS_PORT}", lab::GATEWAY);
        command
            .args(["post", "--url", &url, "--count", &count.to_string(), "--ca"])
            .arg(&self.authority);
        let output = host.output(command)?;
        let accepted = accepted(&String::from_utf8_lossy(&output.stdout));
        ensure!(
            output.status.success() || !accepted.is_empty(),
            "instrument {number} could not post: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let taken = accepted.len();
        self.promised.extend(accepted);
        Ok(taken)
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

/// The ids in what `rap-instrument post` printed.
fn accepted(output: &str) -> Vec<String> {
    output
        .lines()
        .filter_map(|line| line.strip_prefix("accepted "))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_acknowledged_reports_are_promised() {
        assert_eq!(
            accepted("accepted a-1\nrefused a-2: 503\naccepted a-3\n"),
            ["a-1", "a-3"]
        );
    }

    #[test]
    fn an_acknowledged_report_that_is_not_in_the_book_is_missing() {
        let mut ledger = Ledger::new(Path::new("keys"));
        ledger.promised = vec!["a".to_owned(), "b".to_owned()];
        let book = [Report {
            source: "port1".to_owned(),
            id: "b".to_owned(),
        }];
        let missing: Vec<_> = ledger.not_in(&book).into_iter().map(|report| report.id).collect();
        assert_eq!(missing, ["a"]);
    }
}

//! The service centre as a program on its host, and its book read from outside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::ensure;
use rap_qemu::lab::Lab;
use rap_qemu::lab::probe::Verdict;
use rap_qemu::process::Running;
use serde_json::Value;

use super::program;
use crate::centre::Store;

/// How long it may take to listen.
const START: Duration = Duration::from_secs(20);

/// The service centre, running on its host in the lab.
#[derive(Debug)]
pub struct Centre {
    database: PathBuf,
    directives: PathBuf,
    _running: Running,
    _place: tempfile::TempDir,
}

impl Centre {
    /// Starts it with the keys in the directory `keys` and waits until it listens.
    ///
    /// # Errors
    /// When it does not listen after 20 s.
    pub fn start(lab: &Lab, keys: &Path) -> anyhow::Result<Self> {
        let place = tempfile::Builder::new().prefix("rap-centre-").tempdir()?;
        let database = place.path().join("centre.db");
        let directives = place.path().join("directives");
        std::fs::create_dir(&directives)?;
        let address = lab.centre_address();
        let mut command = Command::new(program("rap-centre")?);
        command
            .args(["--listen", &address.to_string(), "--tls"])
            .arg(keys);
        command.arg("--directives").arg(&directives);
        command
            .arg("--db")
            .arg(&database)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let running = lab.centre.start(command)?;
        let begun = Instant::now();
        while lab.workstation.try_tcp(address, START)? != Verdict::Open {
            ensure!(
                begun.elapsed() < START,
                "the service centre does not listen after {START:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self {
            database,
            directives,
            _running: running,
            _place: place,
        })
    }

    /// Has this envelope, of this number, for the box.
    ///
    /// # Errors
    /// When it cannot be handed over.
    pub fn direct(&self, number: u64, envelope: &Value) -> anyhow::Result<()> {
        // Under its name only when it is whole.
        let draft = self.directives.join("draft");
        std::fs::write(&draft, envelope.to_string())?;
        std::fs::rename(draft, self.directives.join(format!("{number}.json")))?;
        Ok(())
    }

    /// The docket that a box asks with, once one has.
    #[must_use]
    pub fn docket(&self) -> Option<String> {
        std::fs::read_to_string(self.directives.join("docket")).ok()
    }

    /// Its book.
    ///
    /// # Errors
    /// When the database cannot be opened.
    pub fn book(&self) -> anyhow::Result<Store> {
        Store::open(&self.database)
    }

    /// Waits until every report in `promised` has arrived.
    ///
    /// # Errors
    /// With the reports that are missing after `patience`.
    pub fn wait_for(&self, promised: &[String], patience: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let missing = self.missing(promised)?;
            if missing.is_empty() {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < patience,
                "{} of {} acknowledged reports are not at the centre after {} s, such as {}",
                missing.len(),
                promised.len(),
                patience.as_secs(),
                missing[0]
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The reports in `promised` that have not arrived.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub fn missing<'a>(&self, promised: &'a [String]) -> anyhow::Result<Vec<&'a String>> {
        let known: std::collections::BTreeSet<_> = self
            .book()?
            .events()?
            .into_iter()
            .map(|arrival| arrival.id)
            .collect();
        Ok(promised.iter().filter(|id| !known.contains(*id)).collect())
    }

    /// Reports that the book counts more than once after de-duplication, and breaks of the order within a source.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub fn mistakes(&self) -> anyhow::Result<(Vec<String>, Vec<String>)> {
        let book = self.book()?;
        let mut count = BTreeMap::new();
        for event in book.events()? {
            *count
                .entry(format!("{} of {}", event.id, event.source))
                .or_insert(0) += 1;
        }
        let twice = count
            .into_iter()
            .filter(|(_, times)| *times > 1)
            .map(|(report, _)| report);
        Ok((twice.collect(), book.order_errors()?))
    }
}

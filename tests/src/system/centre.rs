//! The service centre as a program on its host, and its book read from outside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::ensure;
use rap_qemu::lab::Lab;
use rap_qemu::lab::probe::Verdict;
use rap_qemu::process::Running;

use super::program;
use crate::centre::Store;

/// How long it may take to listen.
const START: Duration = Duration::from_secs(20);

/// The service centre, running on its host in the lab.
#[derive(Debug)]
pub struct Centre {
    database: PathBuf,
    keys: PathBuf,
    running: Option<Running>,
    _place: tempfile::TempDir,
}

impl Centre {
    /// Starts it with the keys in the directory `keys` and waits until it listens.
    ///
    /// # Errors
    /// When it does not listen after 20 s.
    pub fn start(lab: &Lab, keys: &Path) -> anyhow::Result<Self> {
        let place = tempfile::Builder::new().prefix("rap-centre-").tempdir()?;
        let mut centre = Self {
            database: place.path().join("centre.db"),
            keys: keys.to_owned(),
            running: None,
            _place: place,
        };
        centre.resume(lab)?;
        Ok(centre)
    }

    /// Ends it, as a machine that burns down would; its book is kept.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Starts it again with its book, and waits until it listens.
    ///
    /// # Errors
    /// When it does not listen after 20 s.
    pub fn resume(&mut self, lab: &Lab) -> anyhow::Result<()> {
        let address = lab.centre_address();
        let mut command = Command::new(program("rap-centre")?);
        command
            .args(["--listen", &address.to_string(), "--tls"])
            .arg(&self.keys);
        command
            .arg("--db")
            .arg(&self.database)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        self.running = Some(lab.centre.start(command)?);
        let begun = Instant::now();
        while lab.workstation.try_tcp(address, START)? != Verdict::Open {
            ensure!(
                begun.elapsed() < START,
                "the service centre does not listen after {START:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
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

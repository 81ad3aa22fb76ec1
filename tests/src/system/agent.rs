//! The agents on the instruments' hosts, as programs there, and what the box promised them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::ensure;
use rap_core::site::INGEST_TLS_PORT;
use rap_qemu::lab::{self, Lab};
use rap_qemu::process::Running;

use super::program;
use crate::instrument::{Agent, Target};
use crate::keys::INGEST_NAME;

/// The agents of one system. Every report's id is used once in its life.
#[derive(Debug)]
pub struct Agents {
    authority: PathBuf,
    place: tempfile::TempDir,
    rounds: Vec<PathBuf>,
    next: u64,
    /// Bytes of noise in each report from now on.
    pub noise: usize,
    /// Every so many reports one is an alert from now on.
    pub alert_every: Option<u64>,
}

impl Agents {
    pub(super) fn new(keys: &Path) -> anyhow::Result<Self> {
        let place = tempfile::Builder::new().prefix("rap-agents-").tempdir()?;
        Ok(Self {
            authority: keys.join("centre-ca.crt"),
            place,
            rounds: Vec::new(),
            next: 1,
            noise: 0,
            alert_every: None,
        })
    }

    /// An agent of this process' own, for the host that it is run on.
    ///
    /// # Errors
    /// When the authority's certificate cannot be read.
    pub fn one(&self) -> anyhow::Result<Agent> {
        Agent::new(&Target {
            url: format!("https://{}:{INGEST_TLS_PORT}", lab::GATEWAY),
            ca: Some(self.authority.clone()),
            server_name: Some(INGEST_NAME.to_owned()),
        })
    }

    /// Lets instrument `number` of `lab` post `count` reports and waits; returns how many were acknowledged.
    ///
    /// # Errors
    /// With the agent's words when not all were acknowledged within a minute.
    pub fn post(&mut self, lab: &Lab, number: usize, count: u64) -> anyhow::Result<usize> {
        let (command, round) = self.command(number, count, Duration::ZERO, Duration::from_secs(60))?;
        let output = lab.instrument(number).output(command)?;
        ensure!(
            output.status.success(),
            "instrument {number} could not post: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(ids(&round).len())
    }

    /// Starts instrument `number` of `lab` posting `count` reports, one every `interval`, each again until it is
    /// acknowledged, for at most `patience`. Its exit code says whether all were.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(
        &mut self,
        lab: &Lab,
        number: usize,
        count: u64,
        interval: Duration,
        patience: Duration,
    ) -> anyhow::Result<Running> {
        let (mut command, _) = self.command(number, count, interval, patience)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(lab.instrument(number).start(command)?)
    }

    /// The ids of all reports that were acknowledged so far.
    ///
    /// # Errors
    /// Never now; files that do not exist yet hold no ids.
    pub fn acknowledged(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.rounds.iter().flat_map(|round| ids(round)).collect())
    }

    fn command(
        &mut self,
        number: usize,
        count: u64,
        interval: Duration,
        patience: Duration,
    ) -> anyhow::Result<(Command, PathBuf)> {
        let round = self.place.path().join(self.rounds.len().to_string());
        let mut command = Command::new(program("rap-instrument")?);
        let url = format!("https://{}:{INGEST_TLS_PORT}", lab::GATEWAY);
        command
            .args(["post", "--url", &url, "--server-name", INGEST_NAME, "--ca"])
            .arg(&self.authority);
        command.args([
            "--source",
            &format!("instrument{number}"),
            "--start",
            &self.next.to_string(),
            "--noise",
            &self.noise.to_string(),
        ]);
        command.args([
            "--count",
            &count.to_string(),
            "--interval",
            &interval.as_millis().to_string(),
        ]);
        if let Some(every) = self.alert_every {
            command.args(["--alert-every", &every.to_string()]);
        }
        command
            .args(["--deadline", &patience.as_secs().to_string(), "--acked"])
            .arg(&round);
        self.next += count;
        self.rounds.push(round.clone());
        Ok((command, round))
    }
}

/// The ids in an acknowledged file; its last line may be half written by an agent that was killed.
fn ids(round: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(round).unwrap_or_default();
    text.split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_are_promises() {
        let place = tempfile::tempdir().unwrap();
        let round = place.path().join("round");
        std::fs::write(&round, "a-1\na-2\na-").unwrap();
        assert_eq!(ids(&round), ["a-1", "a-2"]);
        assert!(ids(&place.path().join("none")).is_empty());
    }
}

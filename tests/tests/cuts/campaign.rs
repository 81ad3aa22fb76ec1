//! A slice of `scripts/soak cuts`, and the proof that it would notice.

use std::io;
use std::path::PathBuf;
use std::process::Command;

use rap_core::forward::log::{Barrier, Config, Disk, Storage};
use rap_core::forward::uplink::Patience;
use rap_core::forward::{Place, run_over};
use rap_tests::cuts::{Places, Setup, round};
use rap_tests::random::Random;

use super::possible;

#[test]
fn what_was_acknowledged_survives_twenty_power_cuts() {
    if !possible() {
        return;
    }
    let seed = Random::of_test().below(1 << 30);
    let round = round(Setup::default(), seed, 20).unwrap_or_else(|error| panic!("{error:#}"));
    eprintln!("{round}");
    assert!(round.verdict.is_good(), "{round}");
    assert!(round.verdict.acknowledged > 0);
    assert!(round.unflushed > 0, "no cut came between a write and its flush");
}

#[test]
fn a_forwarder_that_does_not_sync_is_found_out_within_few_cuts() {
    if !possible() {
        return;
    }
    let setup = Setup {
        forwarder: without_sync,
        ..Setup::default()
    };
    let round = round(setup, 1, 8).unwrap_or_else(|error| panic!("{error:#}"));
    eprintln!("{round}");
    assert!(
        !round.verdict.lost.is_empty(),
        "nothing was lost without a sync: {round}"
    );
}

/// The forwarder as a service, whose disk skips the sync before an acknowledgement.
fn without_sync(setup: &Setup, places: &Places) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--exact", "campaign::child_without_sync", "--nocapture"]);
    command.env("RAP_TEST_SITE", &places.site);
    command.env("RAP_TEST_IDENTITY", &places.identity);
    command.env("RAP_TEST_LOG", &places.log);
    command.env("RAP_TEST_STATUS", &places.status);
    command.env("RAP_TEST_SEGMENT", setup.room.segment.to_string());
    command.env("RAP_TEST_TOTAL", setup.room.total.to_string());
    Ok(command)
}

/// Not a test by itself: the process of the test above.
#[test]
fn child_without_sync() {
    let Some(site) = std::env::var_os("RAP_TEST_SITE") else {
        return;
    };
    rap_core::console::start("forward");
    let path = |name| PathBuf::from(std::env::var_os(name).unwrap());
    let bytes = |name| std::env::var(name).unwrap().parse().unwrap();
    let place = Place {
        site: site.into(),
        identity: path("RAP_TEST_IDENTITY"),
        log: path("RAP_TEST_LOG"),
        status: path("RAP_TEST_STATUS"),
        room: Config {
            segment: bytes("RAP_TEST_SEGMENT"),
            total: bytes("RAP_TEST_TOTAL"),
        },
        patience: Patience::default(),
        limits: rap_core::forward::ingest::Limits::default(),
    };
    run_over(&place, |disk| Box::new(Hasty(disk))).unwrap();
}

/// A disk that does not wait before reports are acknowledged.
struct Hasty(Disk);

impl Storage for Hasty {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn create(&self, name: &str) -> io::Result<()> {
        self.0.create(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn sync_directory(&self, why: Barrier) -> io::Result<()> {
        self.0.sync_directory(why)
    }
    fn size(&self, name: &str) -> io::Result<u64> {
        self.0.size(name)
    }
    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(name, offset, buffer)
    }
    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write(name, offset, bytes)
    }
    fn sync(&self, name: &str, why: Barrier) -> io::Result<()> {
        if why == Barrier::Group {
            return Ok(());
        }
        self.0.sync(name, why)
    }
    fn free_space(&self) -> io::Result<u64> {
        self.0.free_space()
    }
}

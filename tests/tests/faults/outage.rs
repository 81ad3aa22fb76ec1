//! Three days without a service centre: what two instruments say in that time, every ten seconds and now and then an
//! alert, is kept and delivered; and where the log is too small for that it says no in time.
//!
//! The box is a process of its own, whose clock for people goes through the three days, a wrong hour and a wrong decade
//! (libfaketime); the clock it counts with is the kernel's.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rap_core::forward::{Forwarder, Listener, log};
use rap_core::identity::Identity;
use rap_core::notify::{SOCKETS, inherited_sockets};
use rap_core::site::Ingest;
use rap_qemu::process::{Running, spawn};
use rap_tests::fault::Fault;

use super::ledger::{self, Posted, p99};
use super::posters::Instrument;
use super::rig::*;

/// Reports of one instrument in one post: one each ten seconds of [`STRETCH`] seconds.
const REPORTS: u64 = 216;
const STRETCH: i64 = 2160;
/// So many stretches are three days.
const STRETCHES: i64 = 120;
/// Letters that each report carries besides, so that the volume is that of real ones.
const PADDING: usize = 400;
/// What the box's memory stays under.
const MEMORY_KIB: u64 = 64 * 1024;

/// The box in a process of its own, on two ports.
struct Appliance {
    process: Running,
    ports: [TcpListener; 2],
    clock: PathBuf,
}

impl Appliance {
    fn start(rig: &Rig, faketime: &Path) -> Self {
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let clock = rig.path().join("clock");
        set_clock(&clock, 0);
        let process = Self::spawn(rig, faketime, &ports, &clock);
        Self {
            process,
            ports,
            clock,
        }
    }

    fn spawn(rig: &Rig, faketime: &Path, ports: &[TcpListener; 2], clock: &Path) -> Running {
        let given = ports.each_ref().map(|port| port.try_clone().unwrap());
        let names = given.each_ref().map(|socket| socket.as_raw_fd());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "outage::child", "--nocapture"])
            .env("RAP_TEST_OUTAGE", rig.path())
            .env("RAP_TEST_CENTRE", rig.front.url())
            .env(
                SOCKETS,
                format!("ingest@port1={},ingest@port2={}", names[0], names[1]),
            )
            .env("LD_PRELOAD", faketime)
            .env("FAKETIME_TIMESTAMP_FILE", clock)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .stdout(Stdio::null());
        Running(spawn(command, None, given.map(Into::into).into()).unwrap())
    }

    /// Kills it and starts it again; the ports' sockets stay, as init keeps them.
    fn restart(&mut self, rig: &Rig, faketime: &Path) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
        self.process = Self::spawn(rig, faketime, &self.ports, &self.clock);
    }

    fn instrument(&self, port: u64) -> Instrument {
        let address = self.ports[usize::try_from(port - 1).unwrap()]
            .local_addr()
            .unwrap();
        Instrument::new(port, address, 1).padded(PADDING)
    }

    /// The most memory it ever used, in KiB (proc(5), `VmHWM`).
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.0.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// Not a test by itself: the process that is the box.
#[test]
fn child() {
    let Some(directory) = std::env::var_os("RAP_TEST_OUTAGE").map(PathBuf::from) else {
        return;
    };
    let mut config = config(&directory, std::env::var("RAP_TEST_CENTRE").unwrap(), 0);
    // As much as the box has.
    config.log = log::Config::default();
    config.listeners.clear();
    for (name, socket) in inherited_sockets() {
        config.listeners.push(Listener {
            source: name.replace("ingest@", "/lab/"),
            ingest: Ingest::Http,
            triggers: Vec::new(),
            socket: socket.into(),
        });
    }
    let identity = Identity::load(&directory).unwrap();
    let _forwarder = Forwarder::start(config, &identity).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn three_days_without_a_centre() {
    let Some(faketime) = faketime() else {
        return skip("libfaketime");
    };
    let rig = Rig::direct();
    rig.front.set(Fault::Refuse).unwrap();
    let mut appliance = Appliance::start(&rig, &faketime);
    let mut instruments = [appliance.instrument(1), appliance.instrument(2)];
    for stretch in 0..STRETCHES {
        let wrong = match stretch {
            50 => -86_400,
            70 => 10 * 365 * 86_400,
            _ => 0,
        };
        set_clock(&appliance.clock, stretch * STRETCH + wrong);
        if stretch == 60 {
            appliance.restart(&rig, &faketime);
        }
        for instrument in &mut instruments {
            instrument.post(false, REPORTS, &rig.ledger);
            instrument.post(true, 1, &rig.ledger);
        }
    }
    set_clock(&appliance.clock, STRETCHES * STRETCH);
    assert_eq!(rig.ledger.batches(), 0);

    let outage: usize = instruments.iter().map(|i| i.posted.acknowledged.len()).sum();
    rig.front.set(Fault::Pass).unwrap();
    wait_until("the backlog drains", || rig.ledger.batches() > 2);
    while rig.ledger.arrived() < outage {
        let batches = rig.ledger.routine_batches();
        for instrument in &mut instruments {
            instrument.post(true, 1, &rig.ledger);
            instrument.post(false, 1, &rig.ledger);
        }
        wait_until("the backlog drains", || {
            rig.ledger.routine_batches() > batches || rig.ledger.arrived() >= outage
        });
    }
    let posted = instruments.map(|instrument| instrument.posted);
    let all = posted.iter().map(|posted| posted.acknowledged.len()).sum();
    wait_until("everything has arrived", || rig.ledger.arrived() >= all);
    expect_all(&rig, &posted);
    let peak = appliance.peak();
    println!("{outage} reports kept, {all} delivered, {peak} KiB of memory at most");
    assert!(outage > 50_000);
    assert!(peak < MEMORY_KIB, "{peak} KiB");
}

/// Everything is there, alerts overtook, and the clock went as told.
fn expect_all(rig: &Rig, posted: &[Posted]) {
    let store = rig.centre().store().unwrap();
    ledger::check(&store, posted);
    let mut draining = posted.to_vec();
    for posted in &mut draining {
        posted.acknowledged.retain(|report| report.overtaken > 0);
    }
    let delays = rig.ledger.alert_delays(&draining);
    assert!(
        delays.len() > 5,
        "only {} alerts while the backlog drained",
        delays.len()
    );
    assert!(
        p99(&delays) <= 2,
        "alerts were overtaken by {} batches",
        p99(&delays)
    );
    let events = store.events().unwrap();
    let days: BTreeSet<_> = events
        .iter()
        .map(|event| event.event["rapreceived"].as_str().unwrap()[..10].to_owned())
        .collect();
    assert!(days.len() >= 5, "the box's clock saw only {days:?}");
}

#[test]
fn a_log_too_small_for_the_outage_says_no_and_loses_nothing() {
    let mut rig = Rig::direct();
    rig.front.set(Fault::Refuse).unwrap();
    rig.start(8);
    let mut instruments = [rig.instrument(1).padded(1000), rig.instrument(2).padded(1000)];
    while instruments
        .iter()
        .any(|instrument| instrument.posted.refused.is_empty())
    {
        for instrument in &mut instruments {
            instrument.post(false, 10, &rig.ledger);
        }
    }
    for instrument in &mut instruments {
        instrument.post(true, 5, &rig.ledger);
        assert_eq!(instrument.posted.acknowledged.last().map(|r| r.alert), Some(true));
    }
    assert!(rig.waiting() > 100);
    rig.front.set(Fault::Pass).unwrap();
    // Without a restart it takes more as soon as it has room.
    for instrument in &mut instruments {
        let before = instrument.posted.acknowledged.len();
        while instrument.posted.acknowledged.len() < before + 100 {
            instrument.post(false, 10, &rig.ledger);
        }
    }
    rig.expect_delivered(&instruments.map(|instrument| instrument.posted));
}

/// Sets the wall clock of the box, in seconds from this machine's.
fn set_clock(file: &Path, offset: i64) {
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{offset:+}\n")).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// Where Debian puts the library that lies about the time.
fn faketime() -> Option<PathBuf> {
    let libraries = std::fs::read_dir("/usr/lib").ok()?;
    let mut found = libraries
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    found.find(|path| path.is_file())
}

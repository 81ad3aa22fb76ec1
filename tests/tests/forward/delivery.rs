//! From the instrument to the service centre, through kills and restarts.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use rap_core::forward::Forwarder;
use rap_core::identity::Identity;
use rap_tests::centre::{Fault, Store};
use rap_tests::instrument::{Agent, Plan, Target};

use super::rig::*;

#[test]
fn reports_of_two_instruments_arrive_once_and_in_order() {
    let rig = Rig::started();
    let plain = Agent::new(&Target {
        url: format!("http://{}", rig.address(1)),
        ca: None,
        server_name: None,
    });
    plain
        .unwrap()
        .run(&plan("b", 20), &rig.path().join("acked-b"))
        .unwrap();
    rig.post(&Plan {
        alert_every: Some(5),
        ..plan("a", 20)
    });
    rig.delivered(40);
    let events = rig.centre.store().unwrap().events().unwrap();
    for (source, name) in [("/lab/port1", "a"), ("/lab/port2", "b")] {
        let mut of_port: Vec<_> = events.iter().filter(|e| e.source == source).collect();
        of_port.sort_by_key(|e| e.event["data"]["k"].as_u64());
        let found: Vec<_> = of_port.iter().map(|e| e.id.clone()).collect();
        assert_eq!(found, ids(name, 20));
    }
    assert_eq!(events.iter().filter(|e| e.lane == "alert").count(), 4);
    wait_until("the log is empty", || rig.waiting() == 0);
}

#[test]
fn a_killed_forwarder_loses_nothing_it_acknowledged() {
    let rig = Rig::new();
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let acked = rig.path().join("acked");
    let mut child = Child::start(&rig, listen);
    std::thread::scope(|scope| {
        let posting = scope.spawn(|| {
            let plan = Plan {
                interval: Duration::from_millis(5),
                ..plan("a", 200)
            };
            agent(rig.path(), listen).run(&plan, &acked)
        });
        for kill_at in [30, 80, 150] {
            wait_until("enough is acknowledged", || {
                std::fs::read_to_string(&acked)
                    .unwrap_or_default()
                    .lines()
                    .count()
                    >= kill_at
                    || posting.is_finished()
            });
            child.kill();
            child = Child::start(&rig, listen);
        }
        posting.join().unwrap().unwrap();
    });
    assert_eq!(rig.delivered(200), ids("a", 200));
}

/// Not a test by itself: the process the test above kills.
#[test]
fn child_forwarder() {
    let Some(directory) = std::env::var_os("RAP_TEST_CHILD").map(PathBuf::from) else {
        return;
    };
    let centre = std::env::var("RAP_TEST_CENTRE").unwrap();
    let listen = std::env::var("RAP_TEST_LISTEN").unwrap().parse().unwrap();
    let identity = Identity::load(&directory).unwrap();
    let _forwarder = Forwarder::start(config(&directory, centre, listen), &identity).unwrap();
    loop {
        std::thread::park();
    }
}

pub(super) struct Child(std::process::Child);

impl Child {
    pub(super) fn start(rig: &Rig, listen: SocketAddr) -> Self {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "delivery::child_forwarder", "--nocapture"])
            .env("RAP_TEST_CHILD", rig.path())
            .env("RAP_TEST_CENTRE", rig.centre.url())
            .env("RAP_TEST_LISTEN", listen.to_string())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    pub(super) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_restarted_forwarder_delivers_what_the_one_before_took() {
    let mut rig = Rig::new();
    rig.centre.fault(Some(Fault::Busy));
    rig.start(|_| {});
    rig.post(&plan("a", 10));
    rig.forwarder = None;
    rig.centre.fault(None);
    rig.start(|_| {});
    assert_eq!(rig.delivered(10), ids("a", 10));
}

#[test]
fn the_boxs_own_report_comes_first() {
    let mut rig = Rig::new();
    rig.start(|config| {
        config.hello = Some(rap_core::forward::log::NewRecord {
            source: "/lab".to_owned(),
            id: "hello".to_owned(),
            received: 0,
            event: br#"{"specversion":"1.0","id":"hello","source":"/lab","type":"rap.box.started"}"#.to_vec(),
        });
    });
    rig.post(&plan("a", 1));
    assert_eq!(rig.delivered(2), ["hello", "a-1"]);
}

#[test]
fn any_answer_of_the_centre_is_an_exchange_over_tls() {
    let mut rig = Rig::new();
    rig.centre.fault(Some(Fault::Busy));
    let before = u64::try_from(rap_core::moment::since_boot().as_millis()).unwrap();
    rig.start(|_| {});
    assert_eq!(rig.exchanged(), None);
    rig.post(&plan("a", 1));
    wait_until("the busy centre has answered", || rig.exchanged().is_some());
    assert!(rig.exchanged().unwrap() >= before);
    assert_eq!(rig.waiting(), 1);
}

#[test]
fn the_store_can_be_read_while_the_centre_writes() {
    let rig = Rig::started();
    let store = Store::open(&rig.path().join("centre.db")).unwrap();
    rig.post(&plan("a", 3));
    assert_eq!(store.wait_for(3, LONG).unwrap().len(), 3);
}

//! Those who should get nowhere, trying all the time.
//!
//! Nothing is routed in the box and nothing listens, so a lost firewall alone would let no datagram through. It shows
//! all the same: the box would answer a ping of the hospital, and an instrument would be refused where it hears nothing.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Scope};
use std::time::Duration;

use rap_core::site::INGEST_HTTP_PORT;
use rap_qemu::lab::probe::Verdict;
use rap_qemu::lab::{BOX, GATEWAY, Host, INSTRUMENT, Lab, WORKSTATION};

use crate::ear::{DOOR, Ear};

/// How long a stranger waits at a door.
const PATIENCE: Duration = Duration::from_millis(300);
/// Between two datagrams of one stranger.
const PAUSE: Duration = Duration::from_millis(10);

/// The hospital's workstation tries the box, and the instruments through it; each instrument tries the hospital.
pub(crate) struct Strangers {
    ears: Vec<(String, Ear)>,
    end: AtomicBool,
    tries: AtomicUsize,
    /// What no stranger should see, with who saw it.
    seen: Mutex<Vec<String>>,
}

/// Ends the tries when dropped, so that a failing test ends too.
pub(crate) struct Probing<'a>(&'a Strangers);

impl Drop for Probing<'_> {
    fn drop(&mut self) {
        self.0.end.store(true, Ordering::Relaxed);
    }
}

impl Strangers {
    /// Puts an ear on every host that must hear nothing, after the workstation was led to believe that the way to the
    /// instruments goes through the box.
    pub(crate) fn new(lab: &Lab) -> Self {
        lab.workstation
            .ip(&format!("route add {INSTRUMENT} via {BOX}"))
            .unwrap();
        let hosts = lab.instruments.iter().chain([&lab.workstation, &lab.centre]);
        Self {
            ears: hosts
                .map(|host| (host.name().to_owned(), Ear::on(host)))
                .collect(),
            end: AtomicBool::new(false),
            tries: AtomicUsize::new(0),
            seen: Mutex::default(),
        }
    }

    /// Tries every door, over and over, until the returned value is dropped.
    pub(crate) fn probe<'a>(&'a self, lab: &'a Lab, scope: &'a Scope<'a, '_>) -> Probing<'a> {
        let workstation = &lab.workstation;
        scope.spawn(|| self.send(workstation, &[INSTRUMENT, BOX]));
        scope.spawn(|| self.knock(workstation, &[BOX, INSTRUMENT], &[Verdict::Open]));
        scope.spawn(|| self.ping(workstation, BOX));
        for instrument in &lab.instruments {
            let targets = [WORKSTATION, *lab.centre_address().ip(), BOX, GATEWAY];
            scope.spawn(move || self.send(instrument, &targets));
            scope.spawn(move || self.knock(instrument, &targets, &[Verdict::Open, Verdict::Refused]));
        }
        Probing(self)
    }

    /// Nothing of it came through: no datagram was heard, no door opened. That ears hear is tried first.
    pub(crate) fn expect_nothing(&self, lab: &Lab) {
        let heard: Vec<_> = self.ears.iter().map(|(name, ear)| (name, ear.heard())).collect();
        assert!(
            heard.iter().all(|(_, count)| *count == 0),
            "datagrams came through the box: {heard:?}"
        );
        let seen = self.seen.lock().unwrap();
        assert!(seen.is_empty(), "what no stranger should see: {seen:?}");
        let tries = self.tries.load(Ordering::Relaxed);
        assert!(tries > 500, "only {tries} tries were made");
        for (host, address) in [(&lab.centre, WORKSTATION), (&lab.instruments[0], INSTRUMENT)] {
            let to = SocketAddrV4::new(address, DOOR);
            let answer = host.try_udp(to, b"control", Duration::from_secs(5)).unwrap();
            assert_eq!(
                answer,
                Verdict::Open,
                "an ear is deaf, so its silence means nothing"
            );
        }
    }

    /// Sends datagrams from `host` to the ears' door at `targets`, as itself.
    fn send(&self, host: &Host, targets: &[Ipv4Addr]) {
        host.run(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
            while !self.ended() {
                for target in targets {
                    // Without a cable there is no way, which is what a stranger cannot know.
                    let _ = socket.send_to(b"let me in", (*target, DOOR));
                    self.tries.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(PAUSE);
            }
        })
        .unwrap();
    }

    /// Tries doors that are closed at `targets` from `host`, by TCP; none may answer so.
    fn knock(&self, host: &Host, targets: &[Ipv4Addr], never: &[Verdict]) {
        while !self.ended() {
            for target in targets {
                for port in [INGEST_HTTP_PORT, 22, DOOR] {
                    let door = SocketAddrV4::new(*target, port);
                    // The lab's own error is a host that has no way at all just now.
                    let verdict = host.try_tcp(door, PATIENCE).ok();
                    if verdict.is_some_and(|verdict| never.contains(&verdict)) {
                        self.note(format!("{verdict:?} at {door} for {}", host.name()));
                    }
                    self.tries.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn ping(&self, host: &Host, target: Ipv4Addr) {
        while !self.ended() {
            if host.pings(&target.to_string()).unwrap() {
                self.note(format!("{target} answers a ping of {}", host.name()));
            }
        }
    }

    fn note(&self, what: String) {
        self.seen.lock().unwrap().push(what);
    }

    fn ended(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }
}

//! Those who should get nowhere, trying all the time.
//!
//! Nothing is routed in the box and nothing listens, so a lost firewall alone would let no datagram through. It shows
//! all the same: the box would answer a ping of the hospital, and an instrument would be refused where it hears nothing.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rap_core::site::INGEST_HTTP_PORT;
use rap_qemu::lab::probe::Verdict;
use rap_qemu::lab::{BOX, GATEWAY, Host, INSTRUMENT, Lab, WORKSTATION};

use crate::ear::{DOOR, Ear};

/// How long a stranger waits at a door.
const PATIENCE: Duration = Duration::from_millis(300);

/// The hospital's workstation tries the box, and the instruments through it; each instrument tries the hospital.
pub(crate) struct Strangers {
    ears: Vec<(String, Ear)>,
    tries: Arc<Tries>,
}

#[derive(Default)]
struct Tries {
    end: AtomicBool,
    count: AtomicUsize,
    /// What no stranger should see, with who saw it.
    seen: Mutex<Vec<String>>,
}

impl Strangers {
    /// Lets them loose until this value is dropped. The workstation is led to believe that the way to the instruments
    /// goes through the box.
    pub(crate) fn around(lab: &Lab) -> Self {
        let way = format!("route add {INSTRUMENT} via {BOX}");
        lab.workstation.ip(&way).unwrap();
        let instruments = lab.instruments.iter().map(|host| (host, INSTRUMENT));
        let hospital = [
            (&lab.workstation, WORKSTATION),
            (&lab.centre, *lab.centre_address().ip()),
        ];
        let strangers = Self {
            ears: instruments.chain(hospital).map(ear).collect(),
            tries: Arc::default(),
        };
        let start = |host: &Host, work: fn(&Tries, &Host, &[Ipv4Addr]), targets: &[Ipv4Addr]| {
            let (tries, host, targets) = (Arc::clone(&strangers.tries), host.clone(), targets.to_vec());
            thread::spawn(move || {
                while !tries.end.load(Ordering::Relaxed) {
                    work(&tries, &host, &targets);
                }
            });
        };
        start(&lab.workstation, Tries::send, &[INSTRUMENT, BOX]);
        start(&lab.workstation, Tries::knock, &[INSTRUMENT, BOX]);
        start(&lab.workstation, Tries::ping, &[INSTRUMENT, BOX]);
        let hospital = [WORKSTATION, *lab.centre_address().ip(), BOX];
        for instrument in &lab.instruments {
            start(instrument, Tries::send, &hospital);
            start(instrument, Tries::ping, &hospital);
            start(instrument, Tries::listen_in, &[GATEWAY]);
        }
        strangers
    }

    /// Nothing of it came through: no datagram was heard, no door opened.
    pub(crate) fn expect_nothing(&self) {
        let heard = self.ears.iter().filter(|(_, ear)| ear.heard() > 1);
        let heard: Vec<_> = heard.map(|(host, _)| host).collect();
        assert!(heard.is_empty(), "datagrams came through the box to {heard:?}");
        let seen = self.tries.seen.lock().unwrap();
        assert!(seen.is_empty(), "what no stranger should see: {seen:?}");
        let count = self.tries.count.load(Ordering::Relaxed);
        assert!(count > 500, "only {count} tries were made");
    }
}

/// An ear on `host`, by its name; it has heard one datagram, so that its silence means something.
fn ear((host, address): (&Host, Ipv4Addr)) -> (String, Ear) {
    let ear = Ear::on(host);
    let door = SocketAddrV4::new(address, DOOR);
    let answer = host.try_udp(door, b"do you hear me", Duration::from_secs(5));
    assert_eq!(
        answer.unwrap(),
        Verdict::Open,
        "the ear on {} is deaf",
        host.name()
    );
    (host.name().to_owned(), ear)
}

impl Drop for Strangers {
    fn drop(&mut self) {
        self.tries.end.store(true, Ordering::Relaxed);
    }
}

impl Tries {
    /// Sends datagrams from `host` to the ears' door at `targets` for a second.
    fn send(&self, host: &Host, targets: &[Ipv4Addr]) {
        let send = || {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
            for _ in 0..100 {
                for target in targets {
                    // Without a cable there is no way, which is what a stranger cannot know.
                    let _ = socket.send_to(b"let me in", (*target, DOOR));
                    self.count.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_millis(10));
            }
        };
        host.run(send).unwrap();
    }

    /// Nobody opens.
    fn knock(&self, host: &Host, targets: &[Ipv4Addr]) {
        self.try_doors(host, targets, &[Verdict::Open]);
    }

    /// Nobody even refuses.
    fn listen_in(&self, host: &Host, targets: &[Ipv4Addr]) {
        self.try_doors(host, targets, &[Verdict::Open, Verdict::Refused]);
    }

    fn try_doors(&self, host: &Host, targets: &[Ipv4Addr], never: &[Verdict]) {
        for target in targets {
            for port in [INGEST_HTTP_PORT, 22, DOOR] {
                let door = SocketAddrV4::new(*target, port);
                // The lab's own error is a host that has no way at all just now.
                let verdict = host.try_tcp(door, PATIENCE).ok();
                if let Some(verdict) = verdict.filter(|verdict| never.contains(verdict)) {
                    self.note(format!("{verdict:?} at {door} for {}", host.name()));
                }
                self.count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Nobody answers a ping.
    fn ping(&self, host: &Host, targets: &[Ipv4Addr]) {
        for target in targets {
            if host.pings(&target.to_string()).unwrap() {
                self.note(format!("{target} answers a ping of {}", host.name()));
            }
        }
    }

    fn note(&self, what: String) {
        self.seen.lock().unwrap().push(what);
    }
}

//! Who hears a datagram that should not have come.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rap_qemu::lab::Host;

/// Where the ears listen.
pub(crate) const DOOR: u16 = 7777;

/// A datagram listener on a host; it counts and answers.
pub(crate) struct Ear {
    heard: Arc<AtomicUsize>,
    end: Arc<AtomicBool>,
}

impl Ear {
    pub(crate) fn on(host: &Host) -> Self {
        let socket = host
            .run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, DOOR)).unwrap())
            .unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let ear = Self {
            heard: Arc::default(),
            end: Arc::default(),
        };
        let (heard, end) = (Arc::clone(&ear.heard), Arc::clone(&ear.end));
        std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                if let Ok((_, from)) = socket.recv_from(&mut [0; 2048]) {
                    heard.fetch_add(1, Ordering::Relaxed);
                    let _ = socket.send_to(b"heard", from);
                }
            }
        });
        ear
    }

    /// How many datagrams came.
    pub(crate) fn heard(&self) -> usize {
        self.heard.load(Ordering::Relaxed)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
    }
}

//! The copy for the hospital's collector: a thread that sends what is new, a connection a batch.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::copy::{Copy, Trail};
use super::line::Way;
use super::status::{CopyStatus, Status};
use super::{BEAT, lock};
use crate::folder::Folder;
use crate::forward::uplink::backoff;

/// Starts it.
///
/// # Errors
/// When there is no thread to be had.
pub(super) fn start<F: Folder + Send + 'static, T: Trail + Send + 'static>(
    copy: Copy<F>,
    trail: T,
    way: Way,
    told: Arc<Mutex<Status>>,
) -> std::io::Result<JoinHandle<()>> {
    lock(&told).collector = Some(CopyStatus {
        at: Some(way.target.to_string()),
        carried: copy.carried(),
        ..CopyStatus::default()
    });
    let mut sender = Sender {
        copy,
        trail,
        way,
        told,
        failures: 0,
    };
    let run = move || {
        loop {
            let pause = sender.turn();
            std::thread::sleep(pause);
        }
    };
    std::thread::Builder::new()
        .name("collector".to_owned())
        .spawn(run)
}

struct Sender<F, T> {
    copy: Copy<F>,
    trail: T,
    way: Way,
    told: Arc<Mutex<Status>>,
    failures: u32,
}

impl<F: Folder, T: Trail> Sender<F, T> {
    /// Sends a batch, if there is one, and says how long to wait before the next.
    fn turn(&mut self) -> Duration {
        let sent = self.send();
        let trouble = sent.as_ref().err().cloned();
        let mut told = lock(&self.told);
        let status = told.collector.get_or_insert_default();
        if status.trouble != trouble {
            match &trouble {
                Some(why) => log::warn!("audit records wait for the collector: {why}"),
                None => log::info!("audit records reach the collector again"),
            }
        }
        status.trouble = trouble;
        match sent {
            Ok(more) => {
                self.failures = 0;
                if more { Duration::ZERO } else { BEAT }
            }
            Err(_) => {
                let pause = backoff::full_jitter(
                    &self.way.patience.pauses(),
                    self.failures,
                    backoff::random_fraction(),
                );
                self.failures = self.failures.saturating_add(1);
                pause
            }
        }
    }

    /// Whether there was something.
    fn send(&mut self) -> Result<bool, String> {
        let batch = self.copy.next(&self.trail)?;
        let any = !batch.lines.is_empty();
        if any {
            self.say(batch.last);
            self.way.deliver(&batch.lines)?;
            self.copy.move_to(batch.next)?;
        }
        self.say(batch.last);
        Ok(any)
    }

    fn say(&self, last: u64) {
        if let Some(status) = &mut lock(&self.told).collector {
            status.came_to(self.copy.carried(), last);
        }
    }
}

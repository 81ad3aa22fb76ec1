//! The site in force: read from the disk, published for the other services, and what runs for it beside the loop.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread::JoinHandle;

use anyhow::Context as _;
use netfw::model::Network;

use super::daemon::Event;
use super::stop::Stop;
use super::{Place, dhcp_server, resolve, uplink};
use crate::site::{Site, fingerprint};

/// A site that parses, and its network.
#[derive(Debug)]
pub(super) struct InForce {
    /// The [`fingerprint`] of its text.
    pub(super) fingerprint: String,
    pub(super) site: Site,
    pub(super) network: Network,
    stop: Stop,
    client: Option<JoinHandle<()>>,
}

impl InForce {
    /// Reads `text`, which mistakes call `file`.
    ///
    /// # Errors
    /// Every mistake of the site, or what its parts say of each other.
    pub(super) fn read(text: &[u8], file: &Path) -> anyhow::Result<Self> {
        let fingerprint = fingerprint(text);
        let text = std::str::from_utf8(text).with_context(|| format!("{} is no text", file.display()))?;
        let site = Site::parse(text, file)?;
        let network = site.network()?;
        Ok(Self {
            fingerprint,
            site,
            network,
            stop: Stop::default(),
            client: None,
        })
    }

    /// Starts everything that goes on beside the loop, each on threads of its own, until this is dropped.
    ///
    /// # Errors
    /// When a thread cannot be started, or the DHCP client's files cannot be written.
    pub(super) fn start_helpers(&mut self, place: &Place, wake: &Wake) -> anyhow::Result<()> {
        let ports = self.site.ports.iter().map(|port| port.name.as_str());
        let ports = ports.map(|name| place.machine.port(name));
        for namespace in ports.chain([place.machine.root.clone()]) {
            let (wake, stop) = (wake.clone(), self.stop.clone());
            netfw::watch(namespace, move || !stop.is_set() && wake.changed())?;
        }
        for port in self.site.ports.iter().filter(|port| port.dhcp) {
            dhcp_server::start(place.machine.port(port.name.as_str()), port, self.stop.clone())?;
        }
        resolve::start(&place.machine, &self.network, self.stop.clone())?;
        self.client = uplink::start(place, &self.network, self.stop.clone())?;
        Ok(())
    }
}

impl Drop for InForce {
    fn drop(&mut self) {
        self.stop.set();
        // Two DHCP clients on one link would take it from each other. One that panicked is not there either.
        let _ = self.client.take().map(JoinHandle::join);
    }
}

/// Makes the loop look at everything.
#[derive(Debug, Clone)]
pub(super) struct Wake {
    pub(super) dirty: Arc<AtomicBool>,
    pub(super) events: SyncSender<Event>,
}

impl Wake {
    /// Says whether anybody listens.
    pub(super) fn changed(&self) -> bool {
        self.dirty.store(true, Ordering::Relaxed);
        // When the queue is full the loop is awake anyway.
        !matches!(
            self.events.try_send(Event::Changed),
            Err(TrySendError::Disconnected(_))
        )
    }
}

/// Publishes `text` at `path`, or that there is no site. Where that is news, `news` is called before: who reads the file
/// is told even when this process ends in between.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn publish(path: &Path, text: Option<&[u8]>, news: impl FnOnce()) -> anyhow::Result<()> {
    let before = std::fs::read(path).ok();
    if before.as_deref() == text {
        return Ok(());
    }
    news();
    let replaced = match (text, path.parent(), path.file_name()) {
        (Some(text), Some(folder), Some(name)) => {
            let temporary = folder.join(format!(".{}", name.to_string_lossy()));
            std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path))
        }
        _ => std::fs::remove_file(path),
    };
    replaced.with_context(|| format!("cannot publish the site in force at {}", path.display()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_published_is_news_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("site.toml");
        let publish = |text: Option<&[u8]>| {
            let before = std::fs::read(&path).ok();
            let mut news = false;
            super::publish(&path, text, || {
                assert_eq!(std::fs::read(&path).ok(), before, "told before it is there");
                news = true;
            })
            .unwrap();
            assert_eq!(std::fs::read(&path).ok().as_deref(), text);
            news
        };
        assert!(!publish(None));
        assert!(publish(Some(b"one")));
        assert!(!publish(Some(b"one")));
        assert!(publish(Some(b"two")));
        assert!(publish(None));
    }
}

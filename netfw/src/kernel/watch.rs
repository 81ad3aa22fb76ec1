//! Hearing of changes: links that appear, vanish, gain or lose their carrier or their addresses.
//!
//! Invariant: no change goes unheard. Lost messages (`ENOBUFS`), a broken socket and every fresh start count as a
//! change themselves, so that the listener looks at everything again.

use std::time::Duration;

use futures_util::StreamExt as _;
use rtnetlink::MulticastGroup;

use crate::netns::{Error, Namespace};

/// Calls `changed` on a thread of its own whenever something about links in `namespace` may have changed, until it
/// says that nobody listens any more by returning false.
///
/// # Errors
/// When the thread cannot be started.
pub fn watch(namespace: Namespace, mut changed: impl FnMut() -> bool + Send + 'static) -> Result<(), Error> {
    let name = namespace.name().to_owned();
    let watcher = move || {
        loop {
            let listening = namespace.block_on(|| listen(&mut changed));
            match listening {
                Ok(false) => return,
                Ok(true) => {}
                Err(error) => log::warn!("not watching links in {}: {error}", namespace.name()),
            }
            if !changed() {
                return;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    };
    std::thread::Builder::new()
        .name(format!("watch {name}"))
        .spawn(watcher)
        .map_err(|error| Error::Thread(name, error))?;
    Ok(())
}

/// Listens until the socket breaks (true) or nobody cares (false).
async fn listen(changed: &mut impl FnMut() -> bool) -> bool {
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr];
    let (connection, _handle, mut messages) = match rtnetlink::new_multicast_connection(&groups) {
        Ok(parts) => parts,
        Err(error) => {
            log::warn!("cannot listen for link changes: {error}");
            return true;
        }
    };
    tokio::spawn(connection);
    if !changed() {
        return false;
    }
    while messages.next().await.is_some() {
        if !changed() {
            return false;
        }
    }
    true
}

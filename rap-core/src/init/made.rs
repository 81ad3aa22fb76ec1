//! Where the identity service keeps what it makes: folders, each for who reads it.

use std::io;
use std::path::Path;

use super::durable::{self, Owner};
use super::{Below, InitError};
use crate::identity::{MADE, Reader};
use crate::paths;

/// Who reads what: groups.
#[derive(Debug, Clone, Copy)]
pub(super) struct Readers {
    /// The identity towards the service centre.
    pub(super) forward: u32,
    /// The key and certificate of the local page.
    pub(super) web: u32,
    /// Who may ask for another certificate besides root.
    pub(super) sessions: u32,
}

/// What is in the folders.
pub(super) const FILES: [&str; 5] = [
    "own/kept.json",
    "web/ingest.pem",
    "forward/ingest.pem",
    "forward/centre-ca.crt",
    "forward/device.pem",
];
/// Where firmware says the machine's serial number; for root only.
const FIRMWARE: &str = "/sys/class/dmi/id/product_serial";

/// Makes the folders for the identity service, which is `service`.
///
/// # Errors
/// When the disk does not work.
pub(super) fn folders(data: &Below, service: Owner, readers: Readers) -> Result<(), InitError> {
    let root = Some(Owner { user: 0, group: 0 });
    let of = |group| Some(Owner { group, ..service });
    let made = data.identity.join(MADE);
    durable::directory(&data.config, 0o755, None)?;
    durable::directory(&data.identity, 0o711, root)?;
    durable::directory(&made, 0o711, root)?;
    durable::directory(&made.join("own"), 0o700, Some(service))?;
    let forward = made.join(Reader::Forward.folder());
    durable::directory(&forward, 0o750, of(readers.forward))?;
    durable::directory(&made.join(Reader::Web.folder()), 0o750, of(readers.web))?;
    // What is made in it is the session service's group's: a directive may ask for another certificate.
    durable::directory(Path::new(paths::IDENTITY_RUN), 0o2750, of(readers.sessions))?;
    let serial = std::fs::read(FIRMWARE).unwrap_or_default();
    durable::write(Path::new(paths::SERIAL), &serial, 0o644, None)
}

/// What the box made itself goes before what it was given: who gives it an identity means that one.
///
/// # Errors
/// When the disk does not work.
pub(super) fn forget(identity: &Path) -> Result<(), InitError> {
    for name in FILES {
        let path = identity.join(MADE).join(name);
        let gone = match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) => path
                .parent()
                .map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all()),
            Err(_) => Ok(()),
        };
        gone.map_err(|source| InitError::Write { path, source })?;
    }
    Ok(())
}

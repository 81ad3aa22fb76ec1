//! A network interface of a host whose other end is a descriptor.

use std::fs::File;
use std::io::{self, Read};

use super::Namespace;
use crate::{Error, Result, sys};

/// A tap device in a host's namespace. Without a machine that is on it has no carrier.
#[derive(Debug)]
pub(super) struct Tap(File);

impl Tap {
    /// Makes the interface `name` in `place`. With `headers` its frames are as QEMU expects them, else plain.
    ///
    /// # Errors
    /// When /dev/net/tun cannot be used.
    pub(super) fn new(place: &Namespace, name: &str, headers: bool) -> Result<Self> {
        let opened = place.run(|| sys::open_tap(name, headers)).and_then(|tap| tap);
        let tap = Self(File::from(
            opened.map_err(|e| Error::Network("make a tap device", e))?,
        ));
        tap.set_carrier(false)?;
        Ok(tap)
    }

    /// The other end, for a machine that is being switched on: no packet from before, and a carrier.
    pub(super) fn plug(&self) -> Result<File> {
        self.drain()
            .map_err(|e| Error::Network("empty a tap device", e))?;
        self.set_carrier(true)?;
        self.0
            .try_clone()
            .map_err(|e| Error::Network("copy a tap's descriptor", e))
    }

    /// Gives the host's interface a carrier, or takes it away.
    ///
    /// # Errors
    /// When the kernel refuses (before Linux 5.0).
    pub(super) fn set_carrier(&self, on: bool) -> Result<()> {
        sys::set_carrier(&self.0, on).map_err(|e| Error::Network("set a cable's carrier", e))
    }

    /// Packets that waited for a machine that was off are gone, as on a real cable. The descriptor never blocks.
    fn drain(&self) -> io::Result<()> {
        let mut packet = [0; 65_550];
        loop {
            match (&self.0).read(&mut packet) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // An interface that is down has nothing to read.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

//! The cable in a card of the machine: what QEMU is given, and what is at the other end.

use std::os::fd::OwnedFd;

use super::tap::Tap;
use super::trunk::Trunk;
use super::{Host, Namespace};
use crate::Result;

/// A cable. Without a machine that is on its other end has no carrier.
#[derive(Debug)]
pub struct Cable(Kind);

#[derive(Debug)]
enum Kind {
    /// Straight into a host.
    Straight(Tap),
    /// Into a port of a switch that knows VLANs.
    Trunk(Trunk),
}

/// The machine's end of a cable, as QEMU's `-netdev` takes it.
#[derive(Debug)]
pub(crate) enum Plug {
    /// A tap device with virtio's headers.
    Tap(OwnedFd),
    /// A socket of plain Ethernet frames, one a message.
    Frames(OwnedFd),
}

impl Cable {
    /// A cable to the new interface `name` in `place`.
    ///
    /// # Errors
    /// When /dev/net/tun cannot be used.
    pub(super) fn straight(place: &Namespace, name: &str) -> Result<Self> {
        Tap::new(place, name, true).map(|tap| Self(Kind::Straight(tap)))
    }

    /// A cable to a switch: what comes with the tag of `vlan` is at the new interface `name` of `tagged`, without it;
    /// what comes without a tag is at the new interface `name` of `untagged`.
    ///
    /// # Errors
    /// As [`Self::straight`].
    pub(super) fn trunk(vlan: u16, tagged: (&Host, &str), untagged: (&Host, &str)) -> Result<Self> {
        let tap = |(host, name): (&Host, &str)| Tap::new(host.namespace(), name, false);
        let trunk = Trunk::new(vlan, tap(tagged)?, tap(untagged)?);
        Ok(Self(Kind::Trunk(trunk)))
    }

    /// The machine's end, for a machine that is being switched on: no packet from before, and a carrier.
    pub(crate) fn plug(&self) -> Result<Plug> {
        match &self.0 {
            Kind::Straight(tap) => tap.plug().map(|end| Plug::Tap(end.into())),
            Kind::Trunk(trunk) => trunk.plug().map(Plug::Frames),
        }
    }

    /// Gives the other end a carrier, or takes it away.
    ///
    /// # Errors
    /// When the kernel refuses (before Linux 5.0).
    pub(crate) fn set_carrier(&self, on: bool) -> Result<()> {
        match &self.0 {
            Kind::Straight(tap) => tap.set_carrier(on),
            Kind::Trunk(trunk) => trunk.set_carrier(on),
        }
    }
}

impl Plug {
    /// The descriptor QEMU inherits.
    pub(crate) fn descriptor(&self) -> &OwnedFd {
        match self {
            Self::Tap(end) | Self::Frames(end) => end,
        }
    }

    /// The descriptor QEMU inherits.
    pub(crate) fn into_descriptor(self) -> OwnedFd {
        match self {
            Self::Tap(end) | Self::Frames(end) => end,
        }
    }
}

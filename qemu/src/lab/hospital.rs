//! The hospital's network, the service centre behind it, and how both may be made awkward.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::{CENTRE, Cable, FAR_CENTRE, Host, PREFIX, ROUTER, WORKSTATION};
use crate::Result;

/// The hospital's router on the link to the next one.
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 1);
/// The next router on that link.
const NEXT: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 2);
/// The next router on the service centre's network.
const FAR: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 1);

/// How the hospital's network differs from the plainest one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layout {
    /// The VLAN, 1 to 4094, in which the box's cable leads to the hospital, with its tag. What has no tag there leads
    /// to a stray host ([`super::Lab::stray`]) and nowhere else.
    pub vlan: Option<u16>,
    /// The MTU of a link on the way to the service centre, which is then at [`FAR_CENTRE`]: both of its ends are
    /// routers, so both the box and the centre learn of it only by ICMP (RFC 1191).
    pub path_mtu: Option<u16>,
}

impl Layout {
    /// Where the service centre is.
    #[must_use]
    pub fn centre(&self) -> SocketAddrV4 {
        if self.path_mtu.is_some() {
            FAR_CENTRE
        } else {
            CENTRE
        }
    }
}

/// The hosts on the hospital's side of the box.
pub(super) struct Hospital {
    pub(super) router: Host,
    pub(super) next_router: Option<Host>,
    pub(super) centre: Host,
    pub(super) workstation: Host,
    pub(super) stray: Option<Host>,
    pub(super) uplink: Cable,
}

impl Hospital {
    pub(super) fn new(layout: &Layout) -> Result<Self> {
        let router = Host::new("hospital")?;
        router.ip("link add lan0 type bridge forward_delay 0 stp_state 0")?;
        router.configure("lan0", ROUTER, PREFIX, None)?;
        let (uplink, stray) = uplink(&router, layout.vlan)?;
        router.ip("link set uplink master lan0 up")?;
        let (centre, next_router) = match layout.path_mtu {
            None => (on_lan(&router, "centre", *CENTRE.ip())?, None),
            Some(mtu) => {
                let (centre, next) = beyond(&router, mtu)?;
                (centre, Some(next))
            }
        };
        let workstation = on_lan(&router, "workstation", WORKSTATION)?;
        Ok(Self {
            router,
            next_router,
            centre,
            workstation,
            stray,
            uplink,
        })
    }
}

/// The box's cable, and the host that is on it outside of the VLAN.
fn uplink(router: &Host, vlan: Option<u16>) -> Result<(Cable, Option<Host>)> {
    let Some(vlan) = vlan else {
        return Ok((Cable::straight(router.namespace(), "uplink")?, None));
    };
    let stray = Host::new("stray")?;
    let cable = Cable::trunk(vlan, (router, "uplink"), (&stray, "eth0"))?;
    // An address of the hospital's network, so that nothing but the missing tag keeps it from the box.
    stray.configure("eth0", WORKSTATION, PREFIX, None)?;
    Ok((cable, Some(stray)))
}

/// A host with one interface on the hospital's bridge.
pub(super) fn on_lan(router: &Host, name: &str, address: Ipv4Addr) -> Result<Host> {
    let host = Host::new(name)?;
    router.connect(name, &host, "eth0")?;
    router.ip(&format!("link set {name} master lan0 up"))?;
    host.configure("eth0", address, PREFIX, Some(ROUTER))?;
    Ok(host)
}

/// The service centre behind a second router, and that router; the link between the routers carries `mtu` bytes.
fn beyond(router: &Host, mtu: u16) -> Result<(Host, Host)> {
    let (next, centre) = (Host::new("next router")?, Host::new("centre")?);
    router.connect("wan0", &next, "wan0")?;
    next.connect("eth0", &centre, "eth0")?;
    for (host, link) in [
        (router, "wan0"),
        (&next, "wan0"),
        (&next, "eth0"),
        (&centre, "eth0"),
    ] {
        // One segment at a time, as on a real wire: what is seen there is what crosses it.
        host.ip(&format!("link set {link} gso_max_segs 1"))?;
    }
    for host in [router, &next] {
        host.ip(&format!("link set wan0 mtu {mtu}"))?;
        host.forward()?;
    }
    router.configure("wan0", NEAR, PREFIX, None)?;
    next.configure("eth0", FAR, PREFIX, None)?;
    next.configure("wan0", NEXT, PREFIX, Some(NEAR))?;
    centre.configure("eth0", *FAR_CENTRE.ip(), PREFIX, Some(FAR))?;
    router.ip(&format!("route add {}/32 via {NEXT} dev wan0", FAR_CENTRE.ip()))?;
    Ok((centre, next))
}

//! Descriptions of networks for the lab's cards, the same for the same seed.

use std::process::Command;
use std::sync::LazyLock;

use netfw::model::{Addressing, Ipv6, Mtu, Network, Port, VlanId};

use super::{card_mac, centre, ip, port, tcp, uplink};

/// Some of ports 1 to 4, on any of four cards.
pub(crate) fn network(seed: u64) -> Network {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut cards = vec![1, 2, 3, 4];
    let mut ports = Vec::new();
    for number in 1..=4 {
        let card = cards.remove(dice.roll(cards.len()));
        if dice.roll(3) > 0 {
            ports.push(any_port(&mut dice, number, card));
        }
    }
    if ports.is_empty() {
        ports.push(port(1, 1));
    }
    let mut uplink = uplink();
    match dice.roll(3) {
        0 => uplink.addressing = Addressing::Dhcp,
        1 => {
            let address = format!("10.9.0.{}/24", 20 + dice.roll(100)).parse().unwrap();
            uplink.addressing = Addressing::Static {
                address,
                gateway: None,
            };
        }
        _ => {}
    }
    uplink.vlan = (dice.roll(2) == 0 && kernel_has_vlans()).then(|| vlan(7));
    uplink.mtu = (dice.roll(2) == 0).then(|| mtu(1280));
    if dice.roll(2) == 0 {
        uplink.ipv6 = ipv6();
    }
    let sessions = (dice.roll(2) == 0).then(|| "10.200.0.0/24".parse().unwrap());
    if sessions.is_none() {
        ports.iter_mut().for_each(|port| port.remote.clear());
    }
    Network::new(uplink, ports, vec![centre()], sessions).unwrap()
}

fn any_port(dice: &mut Dice, number: u8, card: u8) -> Port {
    let third = 1 + dice.roll(3);
    let mut port = port(number, card);
    port.address = format!("192.168.{third}.1/24").parse().unwrap();
    port.instrument = format!("192.168.{third}.50").parse().unwrap();
    port.dhcp = dice.roll(2) == 0;
    port.mac = (dice.roll(2) == 0).then(|| format!("06{}", &card_mac(card)[2..]).parse().unwrap());
    if dice.roll(2) == 0 {
        port.services.clear();
    }
    if dice.roll(2) == 0 {
        port.remote = vec![tcp(22)];
    }
    port
}

/// `network` on other cards: the first port has the last one's, the uplink a VLAN
/// if there are any, and the second port is gone.
pub(crate) fn moved(network: &Network) -> Network {
    let mut moved = network.clone();
    let cards: Vec<_> = moved.ports.iter().map(|port| port.nic.clone()).rev().collect();
    for (port, card) in moved.ports.iter_mut().zip(cards) {
        port.nic = card;
        port.mac = None;
    }
    moved.ports.remove(1);
    moved.uplink.vlan = kernel_has_vlans().then(|| vlan(9));
    moved
}

/// Whether this kernel was built with VLANs; some of virtual machines are not. Where it is not, the whole-system tests
/// show them on the appliance's own.
pub(crate) fn kernel_has_vlans() -> bool {
    static KNOWN: LazyLock<bool> = LazyLock::new(|| {
        let name = format!("nfk{}vlans", std::process::id());
        ip(&format!("netns add {name}"));
        ip(&format!("-n {name} link add probe type veth peer name other"));
        let vlan = format!("-n {name} link add link probe name tagged type vlan id 5");
        let made = Command::new("ip").args(vlan.split(' ')).output().unwrap();
        ip(&format!("netns del {name}"));
        made.status.success()
    });
    *KNOWN
}

/// The VLAN of this number.
pub(crate) fn vlan(number: u16) -> VlanId {
    VlanId::try_from(number).unwrap()
}

/// An MTU of so many bytes.
pub(crate) fn mtu(bytes: u32) -> Mtu {
    Mtu::try_from(bytes).unwrap()
}

/// A configured address and router.
pub(crate) fn ipv6() -> Ipv6 {
    Ipv6::Static {
        address: "2001:db8::2/64".parse().unwrap(),
        gateway: Some("2001:db8::1".parse().unwrap()),
    }
}

/// Xorshift (Marsaglia 2003): numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

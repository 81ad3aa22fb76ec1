//! The order of steps, and that what is right gives none, on pictures of a kernel.

use proptest::prelude::*;

use super::super::seen::{Address, Gateway, Neighbour, Origin};
use super::*;
use crate::model::{Addressing, Network, Nic, PortName, VlanId};
use crate::plan::LinkPlan;
use crate::sample::{any_network, network};

fn card(nic: &Nic, name: &str) -> Link {
    let (mac, pci) = match nic {
        Nic::Mac(mac) => (mac.bytes().to_vec(), None),
        Nic::Pci(path) => (vec![2, 0, 0, 0, 0, 1], Some(path.clone())),
    };
    Link {
        index: 7,
        name: name.to_owned(),
        alias: None,
        kind: Kind::Card,
        mac,
        pci,
        up: false,
        carrier: false,
        mtu: 1500,
        largest_mtu: 9000,
        addresses: Vec::new(),
        gateways: Vec::new(),
        neighbours: Vec::new(),
    }
}

fn loopback() -> Link {
    let nic: Nic = "mac:02:00:00:00:00:99".parse().unwrap();
    Link {
        kind: Kind::Other,
        index: 1,
        up: true,
        ..card(&nic, LOOPBACK)
    }
}

/// A machine on which nothing was ever applied: all cards in the root namespace.
fn bare(networks: &[&Network]) -> Seen {
    let mut root = SeenPlace {
        ipv6: true,
        ..SeenPlace::default()
    };
    let nics = networks.iter().flat_map(|network| {
        let ports = network.ports.iter().map(|port| &port.nic);
        ports.chain([&network.uplink.nic])
    });
    for (nth, nic) in nics.enumerate() {
        if !root.links.iter().any(|link| link.is(nic)) {
            root.links.push(card(nic, &format!("eth{nth}")));
        }
    }
    Seen {
        places: [(Place::Root, root)].into(),
        ..Seen::default()
    }
}

/// The machine as `network` has made it.
fn applied(network: &Network) -> Seen {
    let plan = NetPlan::new(network);
    let ports = plan
        .ports
        .iter()
        .map(|port| (Place::Port(port.name.clone()), port));
    let places = ports
        .chain([(Place::Root, &plan.root)])
        .map(|(place, namespace)| {
            let tables = tables_of(&plan, &place);
            let session = session_of(&plan, &place)
                .into_iter()
                .flat_map(|session| &session.link_closed);
            let trunk = namespace.link.trunk.iter().flat_map(|trunk| &trunk.sysctls);
            let settings = namespace
                .sysctls
                .iter()
                .chain(&namespace.link.sysctls)
                .chain(trunk)
                .chain(session);
            let found = SeenPlace {
                tables: tables
                    .iter()
                    .map(|table| (table.name.to_owned(), table.summary()))
                    .collect(),
                sysctls: settings
                    .map(|setting| (setting.path.clone(), setting.value.to_owned()))
                    .collect(),
                ipv6: true,
                links: links(&namespace.link),
            };
            (place, found)
        });
    Seen {
        places: places.collect(),
        ..Seen::default()
    }
}

fn links(plan: &LinkPlan) -> Vec<Link> {
    let mut link = card(&plan.nic, &plan.name);
    link.up = true;
    link.mtu = plan.mtu.map_or(1500, |mtu| mtu.bytes());
    let below = plan.trunk.as_ref().map(|trunk| {
        let card = Link {
            name: TRUNK.to_owned(),
            index: 6,
            ..link.clone()
        };
        link.kind = Kind::Vlan {
            id: trunk.vlan.number(),
            below: 6,
        };
        card
    });
    let v6 = plan.ipv6.map(|(address, _)| address.into());
    let networks = plan.address.map(Into::into).into_iter().chain(v6);
    link.addresses = networks.map(address).collect();
    let v6 = plan.ipv6.and_then(|(_, gateway)| gateway).map(Into::into);
    let routers = plan.gateway.map(Into::into).into_iter().chain(v6);
    link.gateways = routers
        .map(|router| Gateway {
            router,
            origin: Origin::Us,
        })
        .collect();
    link.neighbours
        .extend(plan.neighbour.map(|(address, mac)| Neighbour {
            address: address.into(),
            mac: mac.bytes().to_vec(),
        }));
    [loopback()].into_iter().chain(below).chain([link]).collect()
}

fn address(network: ipnet::IpNet) -> Address {
    Address {
        network,
        origin: Origin::Us,
        secondary: false,
    }
}

/// The steps without those about settings, which are many and long.
fn words(steps: &[Step]) -> Vec<String> {
    let short = steps
        .iter()
        .filter(|step| !matches!(step.action, Action::Set { .. }));
    short.map(Step::to_string).collect()
}

/// Every namespace is closed, the root first, before a card is brought anywhere or switched on.
fn assert_closed_first(steps: &[Step]) {
    let opens = |step: &Step| match &step.action {
        Action::Bring { .. } | Action::MakeVlan { .. } | Action::AddAddress { .. } => true,
        Action::SwitchOn { link } => link != LOOPBACK,
        _ => false,
    };
    let first = steps.iter().position(opens).unwrap_or(steps.len());
    assert!(!steps[first..].iter().any(Step::closes), "{:#?}", words(steps));
    let root = steps
        .iter()
        .rposition(|step| step.place == Place::Root && step.closes());
    let port = steps
        .iter()
        .position(|step| step.place != Place::Root && step.closes());
    if let (Some(root), Some(port)) = (root, port) {
        assert!(root < port, "{:#?}", words(steps));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_as_planned_gives_no_step(network in any_network()) {
        let steps = diff(&NetPlan::new(&network), &applied(&network));
        prop_assert!(steps.is_empty(), "{:#?}", steps);
    }

    #[test]
    fn every_namespace_is_closed_before_any_card_moves(a in any_network(), b in any_network()) {
        let plan = NetPlan::new(&b);
        assert_closed_first(&diff(&plan, &bare(&[&b])));
        let mut seen = applied(&a);
        let more = bare(&[&b]).places.remove(&Place::Root).unwrap().links;
        let root = seen.places.get_mut(&Place::Root).unwrap();
        root.links.extend(more);
        assert_closed_first(&diff(&plan, &seen));
    }

    #[test]
    fn undoing_opens_the_root_last(network in any_network()) {
        let steps = undo(&applied(&network));
        let unload = |step: &Step| matches!(step.action, Action::Unload { .. });
        let first = steps.iter().position(unload).unwrap();
        prop_assert!(steps[first..].iter().all(unload));
        let removed = steps.iter().filter(|step| step.action == Action::Remove).count();
        prop_assert_eq!(removed, network.ports.len());
    }
}

#[test]
fn from_nothing_in_order() {
    let mut network = network();
    network.ports.truncate(1);
    let steps = diff(&NetPlan::new(&network), &bare(&[&network]));
    assert_eq!(
        words(&steps),
        [
            "root: load table netfw, netfw_session",
            "root: switch lo on",
            "port1: make the namespace, closed",
            "port1: switch lo on",
            "port1: bring pci:0000:00:11.0 here as port1",
            "port1: add address 192.168.1.1/24 to port1",
            "port1: switch port1 on",
            "port1: pin 192.168.1.50 to 52:54:00:12:34:56",
            "root: bring pci:0000:00:10.0 here as uplink",
            "root: add address 10.9.0.2/24 to uplink",
            "root: switch uplink on",
            "root: add default route via 10.9.0.1",
        ]
    );
}

#[test]
fn a_vlan_takes_the_cards_place_and_gives_it_back() {
    let (plain, mut tagged) = (network(), network());
    tagged.uplink.vlan = Some(VlanId::try_from(7).unwrap());
    let to = diff(&NetPlan::new(&tagged), &applied(&plain));
    assert_eq!(
        words(&to),
        [
            "root: switch uplink off",
            "root: bring pci:0000:00:10.0 here as trunk",
            "root: remove address 10.9.0.2/24 from trunk",
            "root: switch trunk on",
            "root: make uplink, VLAN 7 of trunk",
            "root: add address 10.9.0.2/24 to uplink",
            "root: switch uplink on",
            "root: add default route via 10.9.0.1",
        ]
    );
    let back = diff(&NetPlan::new(&plain), &applied(&tagged));
    assert_eq!(
        words(&back),
        [
            "root: delete uplink",
            "root: switch trunk off",
            "root: bring pci:0000:00:10.0 here as uplink",
            "root: add address 10.9.0.2/24 to uplink",
            "root: switch uplink on",
            "root: add default route via 10.9.0.1",
        ]
    );
    let mut other = tagged.clone();
    other.uplink.vlan = Some(VlanId::try_from(8).unwrap());
    let steps = words(&diff(&NetPlan::new(&other), &applied(&tagged)));
    assert!(steps.contains(&"root: delete uplink".to_owned()), "{steps:#?}");
    assert!(
        !steps.contains(&"root: switch trunk off".to_owned()),
        "{steps:#?}"
    );
}

#[test]
fn cards_that_change_ports_leave_before_they_come() {
    let (a, mut b) = (network(), network());
    let first = b.ports[0].nic.clone();
    b.ports[0].nic = std::mem::replace(&mut b.ports[1].nic, first);
    let steps = words(&diff(&NetPlan::new(&b), &applied(&a)));
    let at = |text: &str| {
        steps
            .iter()
            .position(|step| step == text)
            .unwrap_or_else(|| panic!("{text}: {steps:#?}"))
    };
    assert!(
        at("port2: give port2 back to the root namespace")
            < at("port1: bring pci:0000:00:12.0 here as port1")
    );
    assert!(
        at("port1: give port1 back to the root namespace")
            < at("port2: bring pci:0000:00:11.0 here as port2")
    );
}

#[test]
fn a_port_that_is_not_planned_any_more_goes_and_its_card_is_off() {
    let (a, mut b) = (network(), network());
    b.ports.remove(1);
    let steps = words(&diff(&NetPlan::new(&b), &applied(&a)));
    let end = [
        "port2: switch port2 off",
        "port2: give port2 back to the root namespace",
        "port2: remove the namespace",
    ];
    assert!(steps.ends_with(&end.map(str::to_owned)), "{steps:#?}");
}

#[test]
fn a_namespace_that_cannot_be_looked_into_is_left_alone() {
    let network = network();
    let mut seen = applied(&network);
    let place = Place::Port("port1".to_owned());
    seen.places.remove(&place);
    seen.blind.insert(place, "too many open files".to_owned());
    assert_eq!(diff(&NetPlan::new(&network), &seen), []);
}

#[test]
fn what_others_learn_is_theirs_until_the_address_is_configured() {
    let (fixed, mut dhcp) = (network(), network());
    dhcp.uplink.addressing = Addressing::Dhcp;
    let mut seen = applied(&dhcp);
    let uplink = &mut seen.places.get_mut(&Place::Root).unwrap().links[1];
    uplink.addresses = vec![Address {
        origin: Origin::Learned,
        ..address("10.9.0.77/24".parse().unwrap())
    }];
    uplink.gateways = vec![Gateway {
        router: [10, 9, 0, 1].into(),
        origin: Origin::Learned,
    }];
    assert_eq!(diff(&NetPlan::new(&dhcp), &seen), []);
    // With the last address the kernel drops the routes, the right one too.
    let steps = words(&diff(&NetPlan::new(&fixed), &seen));
    let end = [
        "root: remove address 10.9.0.77/24 from uplink",
        "root: add address 10.9.0.2/24 to uplink",
        "root: add default route via 10.9.0.1",
    ];
    assert!(steps.ends_with(&end.map(str::to_owned)), "{steps:#?}");
    // What we configured goes when others are to learn.
    let steps = words(&diff(&NetPlan::new(&dhcp), &applied(&fixed)));
    assert!(
        steps.contains(&"root: remove address 10.9.0.2/24 from uplink".to_owned()),
        "{steps:#?}"
    );
}

#[test]
fn sessions_have_links_while_open_and_end_when_their_address_moves() {
    let network = network();
    let plan = NetPlan::new(&network);
    let port: PortName = "port1".parse().unwrap();
    let open = [port].into();
    let steps = session_steps(&plan, &applied(&network), &open);
    assert_eq!(
        words(&steps),
        [
            "root: make s-port1, a pair with session in port1",
            "port1: add address 10.200.0.1/31 to session",
            "port1: switch session on",
            "root: add address 10.200.0.0/31 to s-port1",
            "root: switch s-port1 on",
        ]
    );
    let mut seen = applied(&network);
    let inner = Link {
        addresses: vec![address("10.200.0.1/31".parse().unwrap())],
        ..card(&"mac:02:00:00:00:00:77".parse().unwrap(), SESSION)
    };
    seen.places
        .get_mut(&Place::Port("port1".to_owned()))
        .unwrap()
        .links
        .push(inner);
    assert_eq!(diff(&plan, &seen), [], "a session is nobody's difference");
    let mut moved = network.clone();
    moved.sessions = Some("10.201.0.0/24".parse().unwrap());
    let steps = words(&diff(&NetPlan::new(&moved), &seen));
    let load = steps
        .iter()
        .position(|step| step == "root: load table netfw_session");
    let delete = steps.iter().position(|step| step == "root: delete s-port1");
    assert!(load.is_some() && load < delete, "{steps:#?}");
}

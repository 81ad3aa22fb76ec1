//! What a server gives, and what becomes of it.

use netfw::model::Network;

use super::hook::Event;
use super::*;
use crate::site::Site;

const NIC: &str = "pci:0000:00:10.0";

fn network() -> Network {
    let text = crate::site::EXAMPLE.replace("\"10.9.0.2/24\"", "\"dhcp\"");
    let text = text.replace("gateway = \"10.9.0.1\"\n", "");
    Site::parse(&text, Path::new("site.toml"))
        .unwrap()
        .network()
        .unwrap()
}

fn lease(address: &str) -> Lease {
    Lease {
        nic: NIC.to_owned(),
        address: address.parse().unwrap(),
        gateway: None,
        dns: vec![[10, 9, 0, 1].into()],
        mtu: None,
        until: Some(100_000),
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn event(pairs: &[(&str, &str)]) -> Event {
    let of = |name: &str| {
        let found = pairs.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Event::of(of, at(40))
}

const BOUND: [(&str, &str); 7] = [
    ("reason", "BOUND"),
    ("RAP_NET_NIC", NIC),
    ("new_ip_address", "10.9.0.2"),
    ("new_subnet_cidr", "24"),
    ("new_routers", "10.8.0.1 10.9.0.1"),
    ("new_domain_name_servers", "10.9.0.1 10.9.0.3"),
    ("new_dhcp_lease_time", "60"),
];

#[test]
fn a_bound_client_gives_a_lease() {
    let expected = Lease {
        gateway: Some([10, 9, 0, 1].into()),
        dns: vec![[10, 9, 0, 1].into(), [10, 9, 0, 3].into()],
        ..lease("10.9.0.2/24")
    };
    assert_eq!(event(&BOUND), Event::Bound(expected));
    let mut for_ever = BOUND;
    for_ever[6].1 = "4294967295";
    let Event::Bound(lease) = event(&for_ever) else {
        panic!("no lease")
    };
    assert_eq!(lease.until, None);
}

#[test]
fn a_servers_nonsense_is_no_lease() {
    let wrong = [
        (2, "$(reboot)"),
        (2, "10.9.0.255"),
        (2, "127.0.0.1"),
        (2, "224.0.0.1"),
        (3, "99"),
        (3, ""),
    ];
    for (nth, value) in wrong {
        let mut pairs = BOUND;
        pairs[nth].1 = value;
        assert_eq!(event(&pairs), Event::Lost, "{value}");
    }
    assert_eq!(event(&[("reason", "EXPIRE")]), Event::Lost);
    for reason in ["PREINIT", "STOPPED", "CARRIER", "ANYTHING"] {
        assert_eq!(event(&[("reason", reason)]), Event::Other);
    }
}

#[test]
fn a_lease_is_read_as_it_was_written_and_forgotten_twice() {
    let directory = tempfile::tempdir().unwrap();
    let lease = lease("10.9.0.2/24");
    lease.write(directory.path()).unwrap();
    assert_eq!(Lease::read(directory.path()), Some(lease));
    Lease::forget(directory.path()).unwrap();
    Lease::forget(directory.path()).unwrap();
    assert_eq!(Lease::read(directory.path()), None);
}

#[test]
fn a_good_lease_is_used_and_renewing_it_is_no_news() {
    let network = network();
    let mut hold = Leasehold::default();
    assert!(!hold.take(None, &network, at(1)));
    assert!(hold.take(Some(lease("10.9.0.2/24")), &network, at(2)));
    let renewed = Lease {
        until: Some(200_000),
        ..lease("10.9.0.2/24")
    };
    assert!(!hold.take(Some(renewed), &network, at(50)));
    let plan = hold.plan(&network);
    assert_eq!(plan.root.link.address, Some("10.9.0.2/24".parse().unwrap()));
    assert_eq!(hold.trouble, None);
}

#[test]
fn a_leases_mtu_is_used_where_the_site_has_none_and_it_makes_sense() {
    let with = |network: &Network, mtu| {
        let mut hold = Leasehold::default();
        let lease = Lease {
            mtu: Some(mtu),
            ..lease("10.9.0.2/24")
        };
        hold.take(Some(lease), network, at(1));
        hold.plan(network).root.link.mtu.map(|mtu| mtu.bytes())
    };
    let configured = network();
    let mut open = configured.clone();
    open.uplink.mtu = None;
    assert_eq!(with(&configured, 1400), Some(1500));
    assert_eq!(with(&open, 1400), Some(1400));
    assert_eq!(with(&open, 68), None);
}

#[test]
fn a_lease_has_its_end_even_when_nobody_says_so() {
    let network = network();
    let mut hold = Leasehold::default();
    hold.take(Some(lease("10.9.0.2/24")), &network, at(99));
    assert!(hold.take(Some(lease("10.9.0.2/24")), &network, at(100)));
    assert_eq!(hold.used, None);
    assert_eq!(hold.plan(&network).root.link.address, None);
    let trouble = hold.trouble.clone().unwrap();
    assert!(
        trouble.starts_with("the lease of 10.9.0.2/24 has ended"),
        "{trouble}"
    );
}

#[test]
fn a_lease_of_another_card_is_nobodys() {
    let mut hold = Leasehold::default();
    let other = Lease {
        nic: "mac:02:00:00:00:00:01".to_owned(),
        ..lease("10.9.0.2/24")
    };
    assert!(!hold.take(Some(other), &network(), at(2)));
    assert_eq!(hold, Leasehold::default());
}

#[test]
fn a_lease_in_an_instruments_network_is_refused_with_the_reason_until_a_good_one_comes() {
    let network = network();
    let mut hold = Leasehold::default();
    hold.take(Some(lease("10.9.0.2/24")), &network, at(1));
    assert!(hold.take(Some(lease("192.168.0.7/16")), &network, at(2)));
    assert_eq!(hold.used, None);
    assert!(hold.name_servers(&network).is_empty());
    let trouble = hold.trouble.clone().unwrap();
    assert!(
        trouble.starts_with(
            "the lease of 192.168.0.7/16 from the hospital's DHCP server is not used: expected a network that does \
             not overlap 192.168.1.0/24 of port port1"
        ),
        "{trouble}"
    );
    // While the client asks for another one, the reason stays; but not for ever.
    assert!(!hold.take(None, &network, at(30)));
    assert!(hold.take(None, &network, at(2) + REFUSED_TIME));
    assert_eq!(hold.trouble, None);
    assert!(hold.take(Some(lease("10.9.0.2/24")), &network, at(95)));
    assert_eq!(hold.trouble, None);
}

#[test]
fn a_configured_uplink_has_no_lease() {
    let text = crate::site::EXAMPLE;
    let network = Site::parse(text, Path::new("site.toml"))
        .unwrap()
        .network()
        .unwrap();
    let mut hold = Leasehold::default();
    assert!(!hold.take(Some(lease("10.9.0.2/24")), &network, at(1)));
    assert_eq!(hold.plan(&network), NetPlan::new(&network));
}

//! One link into its place and to its plan: the difference is decided purely, then each step is done.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd as _;

use ipnet::Ipv4Net;
use netlink_packet_route::neighbour::NeighbourState;
use rtnetlink::{AddressMessageBuilder, Handle, LinkUnspec, RouteMessageBuilder};
use rustix::io::Errno;

use super::observe::{self, Link};
use super::{Error, set};
use crate::model::Mac;
use crate::netns::Namespace;
use crate::plan::LinkPlan;

/// One change to a link that is in its namespace and has its name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    RemoveAddress(Ipv4Net),
    AddAddress(Ipv4Net),
    Raise,
    RemoveGateway(Ipv4Addr),
    AddGateway(Ipv4Addr),
    Pin(Ipv4Addr, Mac),
}

/// Brings the card of `plan` into `home` from wherever in `places` it is, and to its plan; returns it as it is then.
pub(super) fn settle(
    plan: &LinkPlan,
    home: &Namespace,
    places: &[Namespace],
    changes: &mut Vec<String>,
) -> Result<Link, Error> {
    let (place, found) = find(plan, home, places)?;
    if place != *home || found.name != plan.name {
        fetch(plan, &place, home, &found)?;
        changes.push(format!(
            "brought {} ({}) to {} as {}",
            found.name,
            plan.nic,
            home.name(),
            plan.name
        ));
    }
    set(home, &plan.sysctls, changes)?;
    let found = own(plan, home)?;
    let steps = steps(plan, &found);
    if steps.is_empty() {
        return Ok(found);
    }
    for step in &steps {
        changes.push(format!("{}: {}", plan.name, step.words()));
    }
    with_handle(home, |handle| async move {
        for step in steps {
            let operation = step.words();
            if let Err(error) = execute(&handle, found.index, step).await {
                return Err((operation, error));
            }
        }
        Ok(())
    })?;
    own(plan, home)
}

/// Switches loopback on.
pub(super) fn raise_loopback(namespace: &Namespace, changes: &mut Vec<String>) -> Result<(), Error> {
    let raised = with_handle(namespace, |handle| async move {
        let links = observe::links(&handle)
            .await
            .map_err(|error| ("list links".to_owned(), error))?;
        let Some(down) = links.iter().find(|link| link.name == "lo" && !link.up) else {
            return Ok(false);
        };
        let failed = |error| ("switch on loopback".to_owned(), error);
        execute(&handle, down.index, Step::Raise).await.map_err(failed)?;
        Ok(true)
    })?;
    if raised {
        changes.push(format!("switched on loopback in {}", namespace.name()));
    }
    Ok(())
}

/// What is between a link and its plan. Addresses come before the link is up, what the kernel forgets on a link that
/// is down (routes, neighbours) after.
fn steps(plan: &LinkPlan, link: &Link) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(wanted) = plan.address {
        let others = link.addresses.iter().filter(|address| **address != wanted);
        steps.extend(others.map(|address| Step::RemoveAddress(*address)));
        if !link.addresses.contains(&wanted) {
            steps.push(Step::AddAddress(wanted));
        }
    }
    if !link.up {
        steps.push(Step::Raise);
    }
    if plan.address.is_some() {
        let others = link
            .gateways
            .iter()
            .filter(|gateway| Some(**gateway) != plan.gateway);
        steps.extend(others.map(|gateway| Step::RemoveGateway(*gateway)));
    }
    if let Some(gateway) = plan.gateway
        && !link.gateways.contains(&gateway)
    {
        steps.push(Step::AddGateway(gateway));
    }
    if let Some((address, mac)) = plan.neighbour
        && !link.neighbours.contains(&(address, mac.bytes().to_vec()))
    {
        steps.push(Step::Pin(address, mac));
    }
    steps
}

impl Step {
    fn words(&self) -> String {
        match self {
            Self::RemoveAddress(address) => format!("remove address {address}"),
            Self::AddAddress(address) => format!("add address {address}"),
            Self::Raise => "switch on".to_owned(),
            Self::RemoveGateway(gateway) => format!("remove default route via {gateway}"),
            Self::AddGateway(gateway) => format!("add default route via {gateway}"),
            Self::Pin(address, mac) => format!("pin {address} to {mac}"),
        }
    }
}

async fn execute(handle: &Handle, index: u32, step: Step) -> Result<(), rtnetlink::Error> {
    let address_of = |network: Ipv4Net| {
        AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(network.addr(), network.prefix_len())
            .build()
    };
    let route_via = |gateway| {
        RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(index)
            .gateway(gateway)
            .build()
    };
    match step {
        Step::RemoveAddress(network) => gone(handle.address().del(address_of(network)).execute().await),
        Step::AddAddress(network) => {
            let (address, length) = (IpAddr::V4(network.addr()), network.prefix_len());
            there(handle.address().add(index, address, length).execute().await)
        }
        Step::Raise => {
            let up = LinkUnspec::new_with_index(index).up().build();
            handle.link().change(up).execute().await
        }
        Step::RemoveGateway(gateway) => gone(handle.route().del(route_via(gateway)).execute().await),
        Step::AddGateway(gateway) => there(handle.route().add(route_via(gateway)).execute().await),
        Step::Pin(address, mac) => {
            let neighbour = handle.neighbours().add(index, address.into());
            let neighbour = neighbour
                .link_layer_address(&mac.bytes())
                .state(NeighbourState::Permanent);
            neighbour.replace().execute().await
        }
    }
}

/// Adding what is there already is done.
fn there(result: Result<(), rtnetlink::Error>) -> Result<(), rtnetlink::Error> {
    tolerate(result, &[Errno::EXIST])
}

/// Removing what is not there is done.
fn gone(result: Result<(), rtnetlink::Error>) -> Result<(), rtnetlink::Error> {
    tolerate(result, &[Errno::NODEV, Errno::ADDRNOTAVAIL, Errno::SRCH])
}

fn tolerate(result: Result<(), rtnetlink::Error>, harmless: &[Errno]) -> Result<(), rtnetlink::Error> {
    match result {
        Err(rtnetlink::Error::NetlinkError(message))
            if harmless
                .iter()
                .any(|errno| errno.raw_os_error() == -message.raw_code()) =>
        {
            Ok(())
        }
        other => other,
    }
}

fn find(plan: &LinkPlan, home: &Namespace, places: &[Namespace]) -> Result<(Namespace, Link), Error> {
    let elsewhere = places.iter().filter(|place| *place != home);
    for place in std::iter::once(home).chain(elsewhere) {
        if !place.exists() {
            continue;
        }
        let found = list(place)?.into_iter().find(|link| link.is(&plan.nic));
        if let Some(link) = found {
            return Ok((place.clone(), link));
        }
    }
    Err(missing(plan))
}

fn own(plan: &LinkPlan, home: &Namespace) -> Result<Link, Error> {
    let found = list(home)?.into_iter().find(|link| link.name == plan.name);
    found.ok_or_else(|| missing(plan))
}

fn missing(plan: &LinkPlan) -> Error {
    Error::Missing {
        nic: plan.nic.clone(),
    }
}

fn list(namespace: &Namespace) -> Result<Vec<Link>, Error> {
    with_handle(namespace, |handle| async move {
        let links = observe::links(&handle).await;
        links.map_err(|error| ("list links".to_owned(), error))
    })
}

/// Switches the card off (the kernel renames no other), and moves and renames it in one request.
fn fetch(plan: &LinkPlan, place: &Namespace, home: &Namespace, link: &Link) -> Result<(), Error> {
    let target = home.open()?;
    let index = link.index;
    let operation = format!("bring {} to {} as {}", link.name, home.name(), plan.name);
    with_handle(place, |handle| async move {
        let down = LinkUnspec::new_with_index(index).down().build();
        let moved = LinkUnspec::new_with_index(index)
            .setns_by_fd(target.as_raw_fd())
            .name(plan.name.as_str())
            .build();
        let request = async {
            handle.link().change(down).execute().await?;
            handle.link().change(moved).execute().await
        };
        request.await.map_err(|error| (operation, error))
    })
}

/// Runs `work` with a netlink connection in `namespace`; its errors are an operation and the kernel's answer.
fn with_handle<T: Send, F>(namespace: &Namespace, work: impl FnOnce(Handle) -> F + Send) -> Result<T, Error>
where
    F: Future<Output = Result<T, (String, rtnetlink::Error)>>,
{
    namespace.block_on(|| async {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|error| Error::Socket(namespace.name().to_owned(), error))?;
        tokio::spawn(connection);
        work(handle).await.map_err(|(operation, source)| Error::Netlink {
            operation,
            namespace: namespace.name().to_owned(),
            source,
        })
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> LinkPlan {
        crate::plan::NetPlan::new(&crate::sample::network()).ports[0]
            .link
            .clone()
    }

    fn fresh() -> Link {
        Link {
            index: 2,
            name: "port1".to_owned(),
            mac: vec![2, 0, 0, 0, 0, 1],
            pci: None,
            up: false,
            carrier: false,
            addresses: Vec::new(),
            gateways: Vec::new(),
            neighbours: Vec::new(),
        }
    }

    #[test]
    fn a_fresh_link_gets_its_address_before_it_is_switched_on_and_the_pin_after() {
        let words: Vec<_> = steps(&plan(), &fresh()).iter().map(Step::words).collect();
        assert_eq!(
            words,
            [
                "add address 192.168.1.1/24",
                "switch on",
                "pin 192.168.1.50 to 52:54:00:12:34:56"
            ]
        );
    }

    #[test]
    fn a_link_as_planned_is_left_alone() {
        let mut link = fresh();
        link.up = true;
        link.addresses = vec!["192.168.1.1/24".parse().unwrap()];
        link.neighbours = vec![([192, 168, 1, 50].into(), vec![0x52, 0x54, 0, 0x12, 0x34, 0x56])];
        assert_eq!(steps(&plan(), &link), []);
    }

    #[test]
    fn what_is_not_planned_goes() {
        let mut link = fresh();
        link.up = true;
        link.addresses = vec!["192.168.1.1/16".parse().unwrap()];
        link.gateways = vec![[192, 168, 1, 9].into()];
        let steps = steps(&plan(), &link);
        assert!(steps.contains(&Step::RemoveAddress("192.168.1.1/16".parse().unwrap())));
        assert!(steps.contains(&Step::RemoveGateway([192, 168, 1, 9].into())));
    }

    #[test]
    fn addresses_and_routes_of_a_dhcp_uplink_are_its_clients() {
        let mut link = fresh();
        link.up = true;
        link.addresses = vec!["10.9.0.2/24".parse().unwrap()];
        link.gateways = vec![[10, 9, 0, 1].into()];
        let plan = LinkPlan {
            address: None,
            neighbour: None,
            ..plan()
        };
        assert_eq!(steps(&plan, &link), []);
    }
}

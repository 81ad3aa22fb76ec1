//! What netd says of itself: each link, and what is wrong in words.

use std::net::IpAddr;

use ipnet::IpNet;
use netfw::kernel::Link;
use netfw::{LinkReport, Report};
use serde::{Deserialize, Serialize};

use super::lease::{Lease, Leasehold};
use super::trial::Record;

/// `netd.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Status {
    /// The fingerprint of the site in force.
    pub(crate) site: Option<String>,
    /// Whether that site is on trial.
    pub(crate) on_trial: bool,
    /// What was tried, the latest last.
    pub(crate) trials: Vec<Record>,
    /// Why there is no site in force; absent when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trouble: Option<String>,
    /// The link into the hospital.
    pub(crate) uplink: LinkStatus,
    /// What the hospital's DHCP server gave and the box uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<Lease>,
    /// The instruments' ports.
    pub(crate) ports: Vec<LinkStatus>,
    /// What is wrong, each in a sentence.
    pub(crate) problems: Vec<String>,
}

/// One link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct LinkStatus {
    /// Its name.
    pub(crate) name: String,
    /// Its card, as the site writes it.
    pub(crate) nic: String,
    /// `up`, `no cable` or `error`.
    pub(crate) link: String,
    /// Its address, if it has one.
    pub(crate) address: Option<String>,
}

impl Status {
    /// What `report` and the lease say, and the `problems` found besides.
    pub(super) fn new(report: &Report, hold: &Leasehold, mut problems: Vec<String>) -> Self {
        let all = report.ports.iter().chain([&report.uplink]);
        problems.extend(all.filter_map(problem));
        problems.extend(report.leftovers.iter().map(|error| chain(error)));
        let uplink = link_status(&report.uplink);
        if uplink.link == "up" && uplink.address.is_none() {
            let why = hold.trouble.as_deref();
            let why = why.unwrap_or("no address yet from the hospital's DHCP server; the box keeps asking");
            problems.push(format!("uplink: {why}"));
        }
        Self {
            uplink,
            ports: report.ports.iter().map(link_status).collect(),
            problems,
            lease: hold.used.clone(),
            ..Self::default()
        }
    }

    /// That there is no site in force, and why.
    pub(super) fn without_site(trouble: &str) -> Self {
        Self {
            trouble: Some(trouble.to_owned()),
            ..Self::default()
        }
    }

    /// In one line.
    pub(super) fn summary(&self) -> String {
        if let Some(trouble) = &self.trouble {
            return trouble.clone();
        }
        let trial = if self.on_trial { "; on trial" } else { "" };
        let up = self.ports.iter().filter(|port| port.link == "up").count();
        let address = self.uplink.address.as_deref().unwrap_or("without address");
        format!(
            "{} ports, {up} up; uplink {} {address}; problems: {}{trial}",
            self.ports.len(),
            self.uplink.link,
            self.problems.len()
        )
    }

    /// What is to be said of the step from `before` to this.
    pub(super) fn news_since(&self, before: &Self) -> Vec<String> {
        let known = |link: &LinkStatus| before.ports.iter().chain([&before.uplink]).any(|old| old == link);
        let all = self.ports.iter().chain([&self.uplink]);
        let links = all.filter(|link| !link.name.is_empty() && !known(link));
        let links = links.map(|link| {
            let address = link.address.as_deref().unwrap_or("no address");
            format!("{} {}: {}, {address}", link.name, link.nic, link.link)
        });
        let new = |problem: &&String| !before.problems.contains(problem);
        links.chain(self.problems.iter().filter(new).cloned()).collect()
    }
}

fn link_status(report: &LinkReport) -> LinkStatus {
    let (link, address) = match &report.link {
        Ok(link) if link.carrier => ("up", address(link)),
        Ok(link) => ("no cable", address(link)),
        Err(_) => ("error", None),
    };
    LinkStatus {
        name: report.name.clone(),
        nic: report.nic.to_string(),
        link: link.to_owned(),
        address: address.map(|address| address.to_string()),
    }
}

/// The address people know the link by.
fn address(link: &Link) -> Option<IpNet> {
    let global = link
        .addresses
        .iter()
        .filter(|address| !is_link_local(address.network.addr()));
    let mut all: Vec<_> = global.map(|address| address.network).collect();
    all.sort_by_key(|address| address.addr().is_ipv6());
    all.first().copied()
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

fn problem(report: &LinkReport) -> Option<String> {
    let name = &report.name;
    match &report.link {
        Ok(link) if link.carrier => None,
        Ok(_) => Some(format!("{name}: no cable, or nothing at its other end")),
        Err(error) => Some(format!("{name}: {}", chain(error))),
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

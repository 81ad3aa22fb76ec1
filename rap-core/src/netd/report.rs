//! What netd says of itself: each link, and what is wrong in words.

use netfw::{LinkReport, Report};
use serde::Serialize;

use super::lease::Lease;

/// `netd.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Status {
    /// The link into the hospital.
    pub(super) uplink: LinkStatus,
    /// The instruments' ports.
    pub(super) ports: Vec<LinkStatus>,
    /// What is wrong, each in a sentence.
    pub(super) problems: Vec<String>,
}

/// One link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct LinkStatus {
    /// Its name.
    pub(super) name: String,
    /// Its card, as the site writes it.
    pub(super) nic: String,
    /// `up`, `no cable` or `error`.
    pub(super) link: &'static str,
    /// Its address, if it has one.
    pub(super) address: Option<String>,
}

impl Status {
    /// What `report` and the lease say, and the `problems` found besides.
    pub(super) fn new(report: &Report, lease: Option<&Lease>, mut problems: Vec<String>) -> Self {
        let all = report.ports.iter().chain([&report.uplink]);
        problems.extend(all.filter_map(problem));
        let mut uplink = link_status(&report.uplink);
        if uplink.address.is_none() {
            uplink.address = lease.map(|lease| lease.address.clone());
        }
        if uplink.link == "up" && uplink.address.is_none() {
            problems.push("uplink: no address yet from the hospital's DHCP server".to_owned());
        }
        Self {
            uplink,
            ports: report.ports.iter().map(link_status).collect(),
            problems,
        }
    }

    /// In one line.
    pub(super) fn summary(&self) -> String {
        let up = self.ports.iter().filter(|port| port.link == "up").count();
        let address = self.uplink.address.as_deref().unwrap_or("without address");
        format!(
            "{} ports, {up} up; uplink {} {address}; problems: {}",
            self.ports.len(),
            self.uplink.link,
            self.problems.len()
        )
    }

    /// What is to be said of the step from `before` to this.
    pub(super) fn news_since(&self, before: &Self) -> Vec<String> {
        let known = |link: &LinkStatus| before.ports.iter().chain([&before.uplink]).any(|old| old == link);
        let links = self
            .ports
            .iter()
            .chain([&self.uplink])
            .filter(|link| !known(link));
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
        Ok(link) if link.carrier => ("up", link.addresses.first()),
        Ok(link) => ("no cable", link.addresses.first()),
        Err(_) => ("error", None),
    };
    LinkStatus {
        name: report.name.clone(),
        nic: report.nic.to_string(),
        link,
        address: address.map(ToString::to_string),
    }
}

fn problem(report: &LinkReport) -> Option<String> {
    let name = &report.name;
    match &report.link {
        Ok(link) if link.carrier => None,
        Ok(_) => Some(format!("{name}: no cable, or nothing at its other end")),
        Err(error) => {
            let mut text = format!("{name}: {error}");
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            Some(text)
        }
    }
}

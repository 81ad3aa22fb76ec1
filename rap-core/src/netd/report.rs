//! What netd says of itself: each link, and what is wrong in words.

use netfw::{LinkReport, Report};
use serde::{Deserialize, Serialize};

use super::lease::Lease;
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
        Ok(link) if link.carrier => ("up", link.addresses.first()),
        Ok(link) => ("no cable", link.addresses.first()),
        Err(_) => ("error", None),
    };
    LinkStatus {
        name: report.name.clone(),
        nic: report.nic.to_string(),
        link: link.to_owned(),
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

//! Where the relay may connect to, and which way: the site's destinations, nothing else.

use std::path::{Path, PathBuf};

use super::trouble::Station;
use crate::site::{BitRate, Proxy, Site, Target};

/// One destination and the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// A short name, such as `centre`.
    pub(super) name: &'static str,
    /// What messages call it.
    pub(super) title: &'static str,
    pub(super) target: Target,
    pub(super) way: Way,
    /// No more than this is taken from it.
    pub(super) rate_limit: Option<BitRate>,
}

/// How a destination is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    Direct,
    Through(Hop),
}

/// A proxy, and where its password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) proxy: Proxy,
    pub(super) password: PathBuf,
}

/// The ways to all destinations of `site`; passwords are below `identity`.
pub(super) fn routes(site: &Site, identity: &Path) -> Vec<Route> {
    let destinations = site.destinations().into_iter();
    destinations
        .map(|destination| Route {
            way: match site.egress.proxy_to(&destination.target.host) {
                None => Way::Direct,
                Some(proxy) => Way::Through(Hop {
                    proxy: proxy.clone(),
                    password: identity.join(proxy.password_file()),
                }),
            },
            name: destination.name,
            title: destination.title,
            target: destination.target,
            rate_limit: destination.rate_limit,
        })
        .collect()
}

impl Route {
    /// The first station of the way: the proxy, or the destination itself.
    pub(super) fn first_station(&self) -> Station {
        match &self.way {
            Way::Direct => Station::Destination(self.title, self.target.clone()),
            Way::Through(hop) => Station::Proxy(hop.proxy.url()),
        }
    }
}

impl Way {
    /// `direct`, or the proxy's name and address.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Direct => "direct".to_owned(),
            Self::Through(hop) => format!("proxy {} {}", hop.proxy.name, hop.proxy.url()),
        }
    }
}

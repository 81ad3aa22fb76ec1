//! One change to the machine, as a value: for people in words, for programs as JSON, and for [`super::execute`] with
//! everything that is needed to do it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::seen::Place;
use crate::model::{Mac, Nic};
use crate::plan::Sysctl;
use crate::ruleset::Table;

/// One change, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The namespace that is changed.
    pub place: Place,
    /// The change.
    #[serde(flatten)]
    pub action: Action,
}

/// One change to a namespace or to a link in it. Links are named as they are at that moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Makes the namespace. It gets its name only when its tables are in force.
    Make {
        /// The tables.
        #[serde(serialize_with = "names")]
        tables: Vec<Table>,
    },
    /// Puts tables in the place of what is there, in one transaction.
    Load {
        /// The tables.
        #[serde(serialize_with = "names")]
        tables: Vec<Table>,
    },
    /// Takes a table away.
    Unload {
        /// Its name.
        table: String,
    },
    /// Writes kernel settings, in this order.
    Set {
        /// The link they are about; none: the namespace.
        link: Option<String>,
        /// The settings.
        #[serde(serialize_with = "values")]
        settings: Vec<Sysctl>,
    },
    /// Gives a card that is not planned here back to the root namespace, under the name it had before.
    Release {
        /// The card.
        link: String,
    },
    /// Takes a card in from the root namespace.
    Bring {
        /// The card.
        #[serde(serialize_with = "as_text")]
        nic: Nic,
        /// What it is called from now on.
        name: String,
    },
    /// Makes a link for one VLAN.
    MakeVlan {
        /// The link.
        link: String,
        /// The link below.
        below: String,
        /// The VLAN's number.
        id: u16,
    },
    /// Makes a pair of virtual links, one end here and one in a port's namespace, both switched off.
    MakePair {
        /// The end here.
        link: String,
        /// The end there.
        inner: String,
        /// Where.
        port: Place,
    },
    /// Deletes a virtual link.
    Delete {
        /// The link.
        link: String,
    },
    /// Sets the size of the largest packet.
    SetMtu {
        /// The link.
        link: String,
        /// In bytes.
        mtu: u32,
    },
    /// Takes an address off a link.
    RemoveAddress {
        /// The link.
        link: String,
        /// The address.
        address: IpNet,
    },
    /// Gives a link an address.
    AddAddress {
        /// The link.
        link: String,
        /// The address.
        address: IpNet,
    },
    /// Switches a link off.
    SwitchOff {
        /// The link.
        link: String,
    },
    /// Switches a link on.
    SwitchOn {
        /// The link.
        link: String,
    },
    /// Removes a default route.
    RemoveGateway {
        /// The link it leads through.
        link: String,
        /// The router.
        gateway: IpAddr,
    },
    /// Adds a default route.
    AddGateway {
        /// The link it leads through.
        link: String,
        /// The router.
        gateway: IpAddr,
    },
    /// Pins a neighbour's Ethernet address.
    Pin {
        /// The link.
        link: String,
        /// The neighbour.
        address: IpAddr,
        /// Its Ethernet address.
        #[serde(serialize_with = "as_text")]
        mac: Mac,
    },
    /// Forgets a pinned neighbour.
    Unpin {
        /// The link.
        link: String,
        /// The neighbour.
        address: IpAddr,
    },
    /// Forgets the tracked connections that were made to a session's service address.
    Forget {
        /// The address.
        service: Ipv4Addr,
    },
    /// Removes the namespace, with what is left in it.
    Remove,
}

impl Step {
    /// Whether the namespace is open to anybody as long as this is not done.
    pub(super) fn closes(&self) -> bool {
        match &self.action {
            Action::Make { .. } | Action::Load { .. } | Action::Set { link: None, .. } => true,
            Action::SwitchOn { link } => link == "lo",
            _ => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.action)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Make { .. } => write!(f, "make the namespace, closed"),
            Self::Load { tables } => {
                let names: Vec<_> = tables.iter().map(|table| table.name).collect();
                write!(f, "load table {}", names.join(", "))
            }
            Self::Unload { table } => write!(f, "remove table {table}"),
            Self::Set { settings, .. } => {
                let words = settings
                    .iter()
                    .map(|set| format!("{} to {}", set.path, set.value));
                write!(f, "set {}", words.collect::<Vec<_>>().join(", "))
            }
            Self::Release { link } => write!(f, "give {link} back to the root namespace"),
            Self::Bring { nic, name } => write!(f, "bring {nic} here as {name}"),
            Self::MakeVlan { link, below, id } => write!(f, "make {link}, VLAN {id} of {below}"),
            Self::MakePair { link, inner, port } => write!(f, "make {link}, a pair with {inner} in {port}"),
            Self::Delete { link } => write!(f, "delete {link}"),
            Self::SetMtu { link, mtu } => write!(f, "set the MTU of {link} to {mtu}"),
            Self::RemoveAddress { link, address } => write!(f, "remove address {address} from {link}"),
            Self::AddAddress { link, address } => write!(f, "add address {address} to {link}"),
            Self::SwitchOff { link } => write!(f, "switch {link} off"),
            Self::SwitchOn { link } => write!(f, "switch {link} on"),
            Self::RemoveGateway { gateway, .. } => write!(f, "remove default route via {gateway}"),
            Self::AddGateway { gateway, .. } => write!(f, "add default route via {gateway}"),
            Self::Pin { address, mac, .. } => write!(f, "pin {address} to {mac}"),
            Self::Unpin { address, .. } => write!(f, "unpin {address}"),
            Self::Forget { service } => write!(f, "forget connections to {service}"),
            Self::Remove => write!(f, "remove the namespace"),
        }
    }
}

fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// The rules of a table are long, and printed elsewhere.
fn names<S: Serializer>(tables: &[Table], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(tables.iter().map(|table| table.name))
}

fn values<S: Serializer>(settings: &[Sysctl], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(settings.iter().map(|setting| (&setting.path, setting.value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_sentence_and_an_object() {
        let step = Step {
            place: Place::Port("port1".to_owned()),
            action: Action::AddAddress {
                link: "port1".to_owned(),
                address: "192.168.1.1/24".parse().unwrap(),
            },
        };
        assert_eq!(step.to_string(), "port1: add address 192.168.1.1/24 to port1");
        assert_eq!(
            serde_json::to_string(&step).unwrap(),
            r#"{"place":"port1","action":"add-address","link":"port1","address":"192.168.1.1/24"}"#
        );
    }

    #[test]
    fn settings_are_an_object_by_path() {
        let settings = vec![Sysctl {
            path: "net/ipv4/ip_forward".to_owned(),
            value: "0",
        }];
        let set = Action::Set { link: None, settings };
        assert_eq!(
            serde_json::to_string(&set).unwrap(),
            r#"{"action":"set","link":null,"settings":{"net/ipv4/ip_forward":"0"}}"#
        );
        assert_eq!(set.to_string(), "set net/ipv4/ip_forward to 0");
    }
}

//! What is open, out of what `nft -j list table` prints: elements are `{"elem": {"val": {"concat": [address, protocol,
//! port]}, "timeout": s, "expires": s}}`. The protocol has its name where there is an `/etc/protocols`, and its number where
//! there is none, as on the box.

use std::time::Duration;

use serde_json::Value;

use super::Open;
use crate::model::{Opening, Protocol};
use crate::plan::SessionPlan;
use crate::ruleset::OPEN;

/// The openings in the root namespace's set. Elements for addresses that are nobody's are left out.
pub(super) fn open(listing: &Value, sessions: &SessionPlan) -> Result<Vec<Open>, String> {
    let objects = listing["nftables"].as_array().into_iter().flatten();
    let sets = objects.filter_map(|object| object.get("set"));
    let set = sets.into_iter().find(|set| set["name"] == OPEN);
    let elements = set.and_then(|set| set["elem"].as_array()).into_iter().flatten();
    let mut found = Vec::new();
    for element in elements {
        let opened = one(&element["elem"], sessions).ok_or_else(|| format!("found {element}"))?;
        found.extend(opened);
    }
    Ok(found)
}

/// None: it cannot be read; none within: it is nobody's.
fn one(element: &Value, sessions: &SessionPlan) -> Option<Option<Open>> {
    let [address, protocol, port] = element["val"]["concat"].as_array()?.as_slice() else {
        return None;
    };
    let service = address.as_str()?.parse().ok()?;
    let protocol = match (protocol.as_str(), protocol.as_u64()) {
        (Some("tcp"), _) | (_, Some(6)) => Protocol::Tcp,
        (Some("udp"), _) | (_, Some(17)) => Protocol::Udp,
        _ => return None,
    };
    let port = u16::try_from(port.as_u64()?).ok()?;
    // Left out in its last moment.
    let remaining = Duration::from_secs(element["expires"].as_u64().unwrap_or(0));
    let mut ports = sessions.ports.iter();
    let session = ports.find(|session| session.inner.address.addr() == service);
    Some(session.map(|session| Open {
        port: session.port.clone(),
        service,
        opening: Opening { protocol, port },
        remaining,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sessions() -> SessionPlan {
        let mut network = crate::sample::network();
        network.sessions = Some("10.200.0.0/24".parse().unwrap());
        for port in &mut network.ports {
            port.remote = vec![Opening {
                protocol: Protocol::Tcp,
                port: 22,
            }];
        }
        crate::plan::NetPlan::new(&network).sessions.unwrap()
    }

    fn listing(elements: Value) -> Value {
        json!({"nftables": [{"metainfo": {}}, {"set": {"name": "open", "elem": elements}}]})
    }

    #[test]
    fn an_element_is_an_opening_of_the_port_with_its_address() {
        for (written, protocol) in [
            (json!("tcp"), Protocol::Tcp),
            (json!(6), Protocol::Tcp),
            (json!("udp"), Protocol::Udp),
            (json!(17), Protocol::Udp),
        ] {
            let element =
                json!({"val": {"concat": ["10.200.0.3", written, 22]}, "timeout": 60, "expires": 42});
            let found = open(&listing(json!([{"elem": element}])), &sessions()).unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].port.as_str(), "port2");
            assert_eq!(found[0].opening, Opening { protocol, port: 22 });
            assert_eq!(found[0].remaining, Duration::from_secs(42));
        }
    }

    #[test]
    fn an_address_of_nobody_is_left_out_and_garbage_is_said() {
        let nobody = json!({"val": {"concat": ["10.200.0.9", "tcp", 22]}, "timeout": 60, "expires": 42});
        assert_eq!(
            open(&listing(json!([{"elem": nobody}])), &sessions()).unwrap(),
            []
        );
        let error = open(&listing(json!(["10.200.0.1"])), &sessions()).unwrap_err();
        assert!(error.contains("10.200.0.1"), "{error}");
        assert_eq!(open(&json!({"nftables": []}), &sessions()).unwrap(), []);
    }
}

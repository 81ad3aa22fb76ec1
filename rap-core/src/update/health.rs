//! Whether a box on trial does what it did before: pure, from the services' status files.
//!
//! It does when init says that everything is ready, every service runs and none was restarted for [`STEADY`], every port
//! that had its address has it, the uplink has one if it had, and somebody who proves to be the service centre or the
//! repository was reached if one was before. What never worked here is not asked for: a box whose centre is down must be
//! able to keep a good release.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::netd::report::{LinkStatus, Status as Network};
use crate::status::{InitStatus, read_all};

/// How long everything has to be well without a restart of a service.
pub const STEADY: Duration = Duration::from_secs(60);
/// How long after its start a box on trial may be unwell before it goes back.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// What worked before an update.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Before {
    /// The ports that had their address.
    pub ports: Vec<String>,
    /// Whether the uplink had one.
    pub uplink: bool,
    /// Whether somebody who matters was reached.
    pub reached: bool,
}

/// How the box is now.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    init: Option<InitStatus>,
    network: Option<Network>,
    /// Whether the service centre or the repository proved to be there, since this boot.
    reached: bool,
}

impl Seen {
    /// What the status files below `directory` say; `repository` is whether that was reached in this boot.
    #[must_use]
    pub fn read(directory: &Path, repository: bool) -> Self {
        let all = read_all(directory).unwrap_or_default();
        let centre = all.get("forward").is_some_and(|forward| {
            let exchanged = forward.get("exchanged").is_some_and(Value::is_u64);
            exchanged && forward.get("trouble").is_none_or(Value::is_null)
        });
        Self {
            init: one(&all, "init"),
            network: one(&all, "netd"),
            reached: repository || centre,
        }
    }

    /// What works, to be compared with after an update.
    #[must_use]
    pub fn works(&self) -> Before {
        let network = self.network.as_ref();
        let ports = network.into_iter().flat_map(|network| &network.ports);
        let works = ports.filter(|port| configured(port));
        Before {
            ports: works.map(|port| port.name.clone()).collect(),
            uplink: network.is_some_and(|network| configured(&network.uplink)),
            reached: self.reached,
        }
    }

    /// How often services ended without being asked to, all together.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        let services = self.init.iter().flat_map(|init| &init.services);
        services.map(|service| service.restarts).sum()
    }

    /// What is not as it was `before`, each in a sentence; nothing when all is well.
    #[must_use]
    pub fn lacks(&self, before: &Before) -> Vec<String> {
        let Some(init) = &self.init else {
            return vec!["init has said nothing yet".to_owned()];
        };
        let mut lacks = Vec::new();
        if init.ready_after_seconds.is_none() {
            lacks.push("not all services have become ready".to_owned());
        }
        let idle = init.services.iter().filter(|service| service.state != "running");
        lacks.extend(idle.map(|service| {
            format!(
                "the service {} is {} (restarted {} times)",
                service.name, service.state, service.restarts
            )
        }));
        self.network_lacks(before, &mut lacks);
        if before.reached && !self.reached {
            lacks.push(
                "neither the service centre nor the repository is reached, and one was before".to_owned(),
            );
        }
        lacks
    }

    fn network_lacks(&self, before: &Before, lacks: &mut Vec<String>) {
        let Some(network) = &self.network else {
            if before.uplink || !before.ports.is_empty() {
                lacks.push("netd has said nothing yet".to_owned());
            }
            return;
        };
        if let Some(trouble) = network.trouble.as_ref().filter(|_| !before.ports.is_empty()) {
            lacks.push(format!("no site is in force: {trouble}"));
        }
        for name in &before.ports {
            if !network
                .ports
                .iter()
                .any(|port| port.name == *name && configured(port))
            {
                lacks.push(format!("port {name} has lost its address"));
            }
        }
        if before.uplink && !configured(&network.uplink) {
            let why = network
                .problems
                .iter()
                .find(|problem| problem.starts_with("uplink"));
            lacks.push(match why {
                Some(why) => format!("the uplink has no address any more ({why})"),
                None => "the uplink has no address any more".to_owned(),
            });
        }
    }
}

fn one<T: serde::de::DeserializeOwned>(all: &BTreeMap<String, Value>, service: &str) -> Option<T> {
    serde_json::from_value(all.get(service)?.clone()).ok()
}

/// A pulled cable takes nothing away.
fn configured(link: &LinkStatus) -> bool {
    link.link != "error" && link.address.is_some()
}

/// How long all has been well: pure, fed with each look.
#[derive(Debug, Default)]
pub struct Steady {
    since: Option<Duration>,
    restarts: u32,
}

impl Steady {
    /// Takes a look at `now`; says for how long all has been well.
    pub fn look(&mut self, now: Duration, well: bool, restarts: u32) -> Duration {
        if !well || restarts != self.restarts {
            self.since = None;
        }
        self.restarts = restarts;
        if !well {
            return Duration::ZERO;
        }
        now.saturating_sub(*self.since.get_or_insert(now))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::status;

    fn link(name: &str, address: Option<&str>) -> Value {
        json!({ "name": name, "nic": "pci:0000:00:10.0", "link": "up", "address": address })
    }

    fn seen(state: &str, uplink: Option<&str>, exchanged: Option<u64>) -> Seen {
        let directory = tempfile::tempdir().unwrap();
        let init = json!({
            "ready-after-seconds": 3.0, "watchdog": null, "data": true, "problems": [],
            "services": [{"name": "netd", "state": state, "pid": 7, "restarts": 2, "text": ""}],
        });
        let netd = json!({
            "site": "x", "on-trial": false, "trials": [], "uplink": link("uplink", uplink),
            "ports": [link("port1", Some("192.168.1.1/24"))], "problems": ["uplink: no lease"],
        });
        let forward = json!({ "exchanged": exchanged });
        status::write(directory.path(), "init", &init).unwrap();
        status::write(directory.path(), "netd", &netd).unwrap();
        status::write(directory.path(), "forward", &forward).unwrap();
        Seen::read(directory.path(), false)
    }

    fn well() -> Seen {
        seen("running", Some("10.9.0.2/24"), Some(7))
    }

    #[test]
    fn what_worked_and_works_is_well() {
        let before = well().works();
        let expected = Before {
            ports: vec!["port1".to_owned()],
            uplink: true,
            reached: true,
        };
        assert_eq!(before, expected);
        assert_eq!(well().lacks(&before), Vec::<String>::new());
        assert_eq!(well().restarts(), 2);
    }

    #[test]
    fn each_thing_that_worked_and_does_not_is_said() {
        let before = well().works();
        let lacks = |seen: Seen| seen.lacks(&before).join("; ");
        assert!(
            lacks(seen("waiting", Some("10.9.0.2/24"), Some(7)))
                .contains("netd is waiting (restarted 2 times)")
        );
        let lost = lacks(seen("running", None, Some(7)));
        assert!(lost.contains("no address any more (uplink: no lease)"), "{lost}");
        assert!(lacks(seen("running", Some("10.9.0.2/24"), None)).contains("one was before"));
        assert!(lacks(Seen::default()).contains("init has said nothing"));
        let more = Before {
            ports: vec!["port9".to_owned()],
            ..before.clone()
        };
        assert_eq!(well().lacks(&more), ["port port9 has lost its address"]);
    }

    #[test]
    fn what_did_not_work_before_is_not_asked_for() {
        let before = seen("running", None, None).works();
        assert!(!before.uplink && !before.reached);
        assert_eq!(seen("running", None, None).lacks(&before), Vec::<String>::new());
        assert!(
            Seen {
                init: well().init,
                ..Seen::default()
            }
            .lacks(&Before::default())
            .is_empty()
        );
    }

    #[test]
    fn a_restart_or_a_bad_look_begins_anew() {
        let mut steady = Steady::default();
        let second = Duration::from_secs;
        assert_eq!(steady.look(second(10), true, 0), second(0));
        assert_eq!(steady.look(second(50), true, 0), second(40));
        assert_eq!(steady.look(second(60), true, 1), second(0));
        assert_eq!(steady.look(second(80), true, 1), second(20));
        assert_eq!(steady.look(second(90), false, 1), second(0));
        assert_eq!(steady.look(second(95), true, 1), second(0));
        assert_eq!(steady.look(second(99), true, 1), second(4));
    }
}

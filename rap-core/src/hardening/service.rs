//! What `/proc` says of every process of a service, held against the service's line in the table.

use std::path::Path;

use crate::confine::{self, Group, Needs};
use crate::init;

use super::Measure;

/// Every measure that can be read, for the service whose first process is `pid`.
pub(super) fn look(needs: &Needs, pid: Option<u32>) -> Vec<Measure> {
    let Some(pid) = pid else {
        return vec![Measure::new(
            needs.service,
            "is confined",
            false,
            "it does not run",
        )];
    };
    let group = Group::of(Path::new(confine::GROUPS), needs.service);
    let figure = |measure: &str, file: &str, wanted: String| {
        Measure::equal(needs.service, measure, &wanted, group.read(file))
    };
    let mut measures = vec![
        figure(
            "has so many bytes of memory",
            "memory.max",
            needs.limits.memory.to_string(),
        ),
        figure(
            "has so many processes and threads",
            "pids.max",
            needs.limits.processes.to_string(),
        ),
    ];
    let own = read(pid, "cgroup").map(|text| text.trim().to_owned());
    measures.push(Measure::equal(
        needs.service,
        "is in its control group",
        &format!("0::/{}", needs.service),
        own,
    ));
    let limits = read(pid, "limits").unwrap_or_default();
    for (name, wanted) in [
        ("Max open files", needs.limits.descriptors),
        ("Max core file size", 0),
    ] {
        let found = limit(&limits, name).unwrap_or("none");
        let measure = format!("{}: {wanted}", name.to_lowercase());
        measures.push(Measure::new(
            needs.service,
            measure,
            found == wanted.to_string(),
            found,
        ));
    }
    let user = init::user(needs.user).map(|(user, _)| user);
    let first = read(pid, "status").unwrap_or_default();
    let uid = field(&first, "Uid").unwrap_or("none");
    let holds = user.is_ok_and(|user| uid.split_whitespace().all(|one| one == user.to_string()));
    let measure = format!("is the user {}", needs.user);
    measures.push(Measure::new(needs.service, measure, holds && uid != "none", uid));

    // Whatever it started is in its group.
    let all = group.read("cgroup.procs").unwrap_or_default();
    let all: Vec<String> = all
        .split_whitespace()
        .filter_map(|pid| read(pid.parse().ok()?, "status").ok())
        .collect();
    measures.extend(promises(needs, &all));
    measures
}

/// What is true of every process of a service, by their `status` files.
fn promises(needs: &Needs, processes: &[String]) -> Vec<Measure> {
    let every = |measure: &str, name: &str, is: &dyn Fn(&str) -> bool| {
        let found: Vec<&str> = processes
            .iter()
            .map(|status| field(status, name).unwrap_or("none"))
            .collect();
        let holds = !found.is_empty() && found.iter().all(|value| is(value));
        Measure::new(needs.service, measure, holds, found.join(" "))
    };
    let allowed = needs.capabilities.bits();
    let within = move |value: &str| u64::from_str_radix(value, 16).is_ok_and(|set| set & !allowed == 0);
    vec![
        every("gains no privileges by exec", "NoNewPrivs", &|value| value == "1"),
        every("makes only listed system calls", "Seccomp", &|value| value == "2"),
        every("can never have other capabilities", "CapBnd", &within),
        every("has no other capabilities", "CapPrm", &within),
    ]
}

fn read(pid: u32, file: &str) -> std::io::Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{file}"))
}

/// A field of proc_pid_status(5).
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim())
}

/// The soft limit in proc_pid_limits(5).
fn limit<'a>(limits: &'a str, name: &str) -> Option<&'a str> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(bounding: &str, seccomp: &str) -> String {
        format!(
            "Name:\trap\nUid:\t906\t906\t906\t906\nCapPrm:\t0000000000000000\nCapBnd:\t{bounding}\n\
             NoNewPrivs:\t1\nSeccomp:\t{seccomp}\nSeccomp_filters:\t2\n"
        )
    }

    fn holds(processes: &[String]) -> Vec<bool> {
        let needs = confine::of("relay").unwrap();
        promises(needs, processes)
            .iter()
            .map(|measure| measure.holds)
            .collect()
    }

    #[test]
    fn one_process_that_is_not_confined_is_enough_to_fail() {
        let (good, none) = (status("0000000000000000", "2"), "0000000000000000");
        assert_eq!(holds(std::slice::from_ref(&good)), [true; 4]);
        assert_eq!(
            holds(&[good.clone(), status("0000000000000400", "2")]),
            [true, true, false, true]
        );
        assert_eq!(holds(&[good, status(none, "0")]), [true, false, true, true]);
        assert_eq!(holds(&["no status".to_owned()]), [false; 4]);
        assert_eq!(holds(&[]), [false; 4]);
    }

    #[test]
    fn limits_are_read_by_their_names() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max core file size        0                    0                    bytes     \n\
                    Max open files            1024                 1024                 files     \n";
        assert_eq!(limit(text, "Max open files"), Some("1024"));
        assert_eq!(limit(text, "Max core file size"), Some("0"));
        assert_eq!(limit(text, "Max pending signals"), None);
    }
}

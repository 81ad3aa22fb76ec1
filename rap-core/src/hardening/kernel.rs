//! The kernel's settings, locks and mounts.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{init, sys};

use super::Measure;

/// Where the image says which settings are to hold.
const SETTINGS: &str = "/etc/sysctl.d";
/// The lowest version of Landlock that refuses signals and abstract sockets (Linux 6.12).
const LANDLOCK: u32 = 6;

/// Mount points, and what must not be possible there.
const MOUNTS: [(&str, &[&str]); 6] = [
    ("/", &["ro"]),
    ("/proc", &["nosuid", "nodev", "noexec"]),
    ("/sys", &["nosuid", "nodev", "noexec"]),
    ("/dev", &["nosuid", "noexec"]),
    ("/run", &["nosuid", "nodev", "noexec"]),
    ("/data", &["nosuid", "nodev", "noexec"]),
];

pub(super) fn look() -> Vec<Measure> {
    let mut measures = settings();
    let read = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned());
    measures.push(Measure::equal(
        "kernel",
        "no module can be loaded any more",
        "1",
        read("/proc/sys/kernel/modules_disabled"),
    ));
    let lockdown = read("/sys/kernel/security/lockdown");
    let locked = lockdown
        .as_ref()
        .is_ok_and(|text| text.contains("[confidentiality]"));
    measures.push(Measure::new(
        "kernel",
        "nobody reaches into the kernel (lockdown)",
        locked,
        lockdown.unwrap_or_else(|error| error.to_string()),
    ));
    let version = sys::landlock_version();
    measures.push(Measure::new(
        "kernel",
        "Landlock knows files, ports and signals",
        version >= LANDLOCK,
        format!("version {version}"),
    ));
    let mounted = read("/proc/self/mountinfo").unwrap_or_default();
    measures.extend(mounts(&mounted));
    measures
}

/// Each setting of the image, held against the kernel's.
fn settings() -> Vec<Measure> {
    let wanted = init::settings(Path::new(SETTINGS));
    if wanted.is_empty() {
        let found = format!("{SETTINGS} has no setting");
        return vec![Measure::new("kernel", "is set as the image says", false, found)];
    }
    // The last one counts, as it does when they are written.
    let wanted: BTreeMap<_, _> = wanted.into_iter().collect();
    wanted
        .into_iter()
        .map(|(path, value)| {
            let name = path
                .strip_prefix("/proc/sys")
                .unwrap_or(&path)
                .display()
                .to_string();
            let found = std::fs::read_to_string(&path).map(|text| text.trim().to_owned());
            Measure::equal("kernel", format!("{name} = {value}"), &value, found)
        })
        .collect()
}

/// [`MOUNTS`] held against the text of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
fn mounts(text: &str) -> Vec<Measure> {
    MOUNTS
        .iter()
        .map(|(point, wanted)| {
            // What was mounted last lies on top.
            let options = text.lines().rev().find_map(|line| {
                let mut fields = line.split(' ').skip(4);
                (fields.next() == Some(point)).then(|| fields.next().unwrap_or_default())
            });
            let has = |option: &&str| options.is_some_and(|all| all.split(',').any(|one| one == *option));
            Measure::new(
                "mounts",
                format!("{point} is {}", wanted.join(",")),
                wanted.iter().all(has),
                options.unwrap_or("not mounted"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_holds_only_with_all_its_options_and_the_last_one_counts() {
        let text = "1 1 0:2 / / ro shared:1 - rootfs rootfs rw\n\
                    20 1 0:5 / /proc rw,nosuid,nodev,noexec - proc proc rw\n\
                    21 1 0:6 / /sys rw,nosuid,nodev,noexec - sysfs sysfs rw\n\
                    22 1 0:6 / /sys rw,nosuid,nodev - sysfs sysfs rw\n";
        let found: Vec<_> = mounts(text)
            .into_iter()
            .map(|measure| (measure.holds, measure.found))
            .collect();
        assert_eq!(found[0], (true, "ro".to_owned()));
        assert_eq!(found[1], (true, "rw,nosuid,nodev,noexec".to_owned()));
        assert_eq!(found[2], (false, "rw,nosuid,nodev".to_owned()));
        assert_eq!(found[3], (false, "not mounted".to_owned()));
    }
}

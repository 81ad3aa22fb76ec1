//! Twins on this machine, below a root of their own: each attempt is refused by the kernel, and is not where nothing is put
//! on.

use std::os::unix::fs::PermissionsExt as _;

use super::super::{Access, NEEDS, Reach, User};
use super::*;

const TWIN: &str = "RAP_TEST_TWIN";
/// A user of a twin, and another one whose files are there.
const TWIN_USER: User = User {
    user: 64_901,
    group: 64_901,
};
const OTHER: u32 = 64_902;

/// Not a test by itself: with a service in the environment this is its twin.
#[test]
fn twin_process() {
    let Some(service) = std::env::var_os(TWIN) else {
        return;
    };
    let root = std::env::current_dir().unwrap();
    // The lines must not be mixed with the test harness's.
    println!();
    let _ = twin(service.to_str().unwrap(), &root, &root.join("slot"));
    std::process::exit(0);
}

/// A box's files, as on a box: the other's and root's closed to the twin by their owners where they are on a box.
fn boxes_files(service: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    for path in [
        "data/config/identity",
        "data/forward",
        "run/rap/status",
        "usr/lib",
        "etc",
    ] {
        std::fs::create_dir_all(at(path)).unwrap();
    }
    for path in ["data/config/identity/device.key", "run/rap/site.toml", "slot"] {
        std::fs::write(at(path), "x").unwrap();
        std::fs::set_permissions(at(path), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let owner = if service == "forward" {
        TWIN_USER.user
    } else {
        OTHER
    };
    std::os::unix::fs::chown(at("data/forward"), Some(owner), None).unwrap();
    std::fs::set_permissions(at("data/forward"), std::fs::Permissions::from_mode(0o700)).unwrap();
    root
}

fn command(service: &str, root: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "confine::attempt::tests::twin_process",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(TWIN, service)
        .current_dir(root);
    command
}

fn confinement(needs: &Needs, root: &Path) -> Confinement {
    // This program and its libraries, wherever they are here.
    let also = ["/usr", "/lib", "/lib64", "/etc", "/proc"].map(|path| Reach {
        path,
        access: Access::Execute,
    });
    let program = std::env::current_exe().unwrap();
    let folder: &'static str = Box::leak(program.parent().unwrap().display().to_string().into_boxed_str());
    let also = [
        also.as_slice(),
        &[Reach {
            path: folder,
            access: Access::Execute,
        }],
    ]
    .concat();
    Confinement::below(root, &also, needs, TWIN_USER, None).unwrap()
}

fn has_rights() -> bool {
    let missing = if !rustix::process::geteuid().is_root() {
        "root"
    } else if crate::sys::landlock_version() < 6 {
        "Landlock with signals and sockets (Linux 6.12)"
    } else {
        return true;
    };
    assert!(std::env::var_os("CI").is_none(), "this test needs {missing}");
    println!("skipped: needs {missing}");
    false
}

#[test]
fn everything_a_compromised_service_would_try_is_refused() {
    if !has_rights() {
        return;
    }
    for needs in &NEEDS {
        let root = boxes_files(needs.service);
        let command = command(needs.service, root.path());
        let outcomes = try_all(needs, confinement(needs, root.path()), command).unwrap();
        let done: Vec<_> = outcomes
            .iter()
            .filter(|outcome| outcome.refused.is_none())
            .collect();
        assert!(done.is_empty(), "{}: {done:?}", needs.service);
        assert!(outcomes.len() >= 8, "{}: {outcomes:?}", needs.service);
    }
}

#[test]
fn without_confinement_they_succeed_so_the_refusals_mean_something() {
    if !has_rights() {
        return;
    }
    let needs = of("relay").unwrap();
    let root = boxes_files("relay");
    let target = Target {
        root: root.path().to_owned(),
        slot: root.path().join("slot"),
    };
    for attempt in [
        Attempt::ReadKey,
        Attempt::OthersData,
        Attempt::WriteSite,
        Attempt::WriteSlot,
        Attempt::Firewall,
        Attempt::Listen,
        Attempt::Signal,
        Attempt::RunMemory,
    ] {
        let result = attempt.make(needs, &target);
        assert!(result.is_ok(), "{attempt:?}: {result:?}");
    }
    // Nobody is there, which is no refusal.
    assert_eq!(refusal(Attempt::Connect.make(needs, &target)), None);
}

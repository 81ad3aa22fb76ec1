//! A machine without QEMU, and one that allows nobody a namespace.

use std::path::{Path, PathBuf};
use std::process::Command;

use rap_tests::system::program;

use crate::rig::{self, BUILD, Outcome, QUICK, clean, full_store, has, names, rap_image, repository};

/// The lab's programs with what they need to come as far as the fault.
struct Desk {
    image: PathBuf,
    folder: tempfile::TempDir,
}

impl Desk {
    /// `None` when there is no image yet.
    fn new() -> Option<Self> {
        let image = repository().join("target/image/qemu");
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tmp")).unwrap();
        let there = image.join("disk.img").is_file();
        has(there, "the image (rap-image build)").then_some(Self { image, folder })
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// `rap-image run` and `rap-demo --check`, with development keys and a folder of their own for temporary files.
    fn programs(&self) -> [Command; 2] {
        let keys = self.path("keys");
        let mut make = rap_image();
        let outcome = rig::run(make.args(["keys", "dev", "--out"]).arg(&keys), QUICK, None);
        assert_eq!(outcome.code, Some(0), "{}", outcome.text);
        let mut run = rap_image();
        run.args(["run", "--image"]).arg(&self.image);
        let mut demo = clean(Command::new(program("rap-demo").unwrap()));
        demo.args(["--check", "--image"])
            .arg(&self.image)
            .arg("--keys")
            .arg(&keys);
        [run, demo].map(|mut command| {
            command.env("TMPDIR", self.path("tmp"));
            command
        })
    }

    /// The fault is told as `parts`, and the copy of the disk is gone.
    #[track_caller]
    fn expect_refused(&self, outcome: &Outcome, parts: &[&str]) {
        outcome.expect_refused(parts);
        assert_eq!(names(&self.path("tmp")), [""; 0], "{}", outcome.text);
    }
}

#[test]
fn without_qemu_the_lab_names_the_package() {
    let allowed = has(
        rap_qemu::lab::permitted(),
        "root, or a user namespace of one's own",
    );
    let Some(desk) = Desk::new().filter(|_| allowed) else {
        return;
    };
    let path = desk.path("bin");
    all_programs_but("qemu-system-", &path);
    for mut command in desk.programs() {
        command.env("PATH", &path);
        let outcome = rig::run(&mut command, QUICK, None);
        desk.expect_refused(
            &outcome,
            &[
                "`qemu-system-x86_64` is not installed",
                "apt-get install qemu-system-x86",
            ],
        );
    }
}

/// Links in `to` to every program of this machine whose name does not begin with `prefix`.
fn all_programs_but(prefix: &str, to: &Path) {
    std::fs::create_dir(to).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    for entry in folders
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .flatten()
    {
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            // The first of a name wins, as in PATH.
            let _ = std::os::unix::fs::symlink(entry.path(), to.join(entry.file_name()));
        }
    }
    assert!(to.join("unshare").exists() && !to.join("qemu-system-x86_64").exists());
}

/// The kernel gives a user namespace to nobody who has no name in his own (`user_namespaces(7)`).
fn without_rights(program: &Command) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--"])
        .arg(program.get_program())
        .args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(repository());
    command
}

/// Whether [`without_rights`] can be had.
fn rights_can_go() -> bool {
    let status = without_rights(&Command::new("true")).status();
    has(
        status.is_ok_and(|status| status.success()),
        "user namespaces, to lose rights in",
    )
}

#[test]
fn without_root_and_user_namespaces_the_lab_says_what_to_allow() {
    let Some(desk) = Desk::new().filter(|_| rights_can_go()) else {
        return;
    };
    for command in desk.programs() {
        let outcome = rig::run(&mut without_rights(&command), QUICK, None);
        desk.expect_refused(
            &outcome,
            &[
                "the lab needs network namespaces",
                "run it as root, or allow user namespaces",
                "sysctl",
            ],
        );
    }
}

#[test]
fn without_root_and_user_namespaces_the_build_says_what_to_allow() {
    let lock = rap_image::lock::Lock::read(&repository().join("overlays/image.lock")).unwrap();
    if !rights_can_go() || full_store(&lock).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut build = rap_image();
    build
        .args(["build", "--offline", "--out"])
        .arg(folder.path().join("out"));
    let outcome = rig::run(&mut without_rights(&build), BUILD, None);
    outcome.expect_refused(&[
        "cannot make the build's namespaces",
        "run as root, or allow user namespaces",
        "--host-toolchain",
    ]);
    assert_eq!(names(folder.path()), [""; 0]);
}

//! Running the real programs with a deadline, and a repository of one's own whose store can be tampered with.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rap_core::digest::Sha256;
use rap_image::lock::{Lock, Package};
use rap_image::store::Store;
use rap_tests::system::program;
use rustix::process::{Pid, Signal, kill_process_group};

/// Long enough for a core that must be compiled from nothing on a slow machine.
pub(crate) const BUILD: Duration = Duration::from_secs(40 * 60);
/// Long enough for everything that compiles nothing.
pub(crate) const QUICK: Duration = Duration::from_secs(5 * 60);

/// The workspace's root.
pub(crate) fn repository() -> PathBuf {
    let below = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    below.canonicalize().unwrap()
}

/// Whether a test can go on that needs `what`; with `CI` set it must.
pub(crate) fn has(there: bool, what: &str) -> bool {
    assert!(
        there || std::env::var_os("CI").is_none(),
        "this test needs {what}"
    );
    if !there {
        eprintln!("skipped: needs {what}");
    }
    there
}

/// Whether this process may mount things in a mount namespace of its own, as root or in a user namespace.
pub(crate) fn may_mount() -> bool {
    let status = in_mount_namespace().arg("true").stderr(Stdio::null()).status();
    has(
        status.is_ok_and(|status| status.success()),
        "root or user namespaces, to mount",
    )
}

/// `unshare` into a mount namespace where mounting is allowed; the program is still to be named.
pub(crate) fn in_mount_namespace() -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--uts", "--"]);
    command
}

/// `rap-image`, knowing no mirror and none of this user's configuration.
pub(crate) fn rap_image() -> Command {
    clean(Command::new(program("rap-image").unwrap()))
}

/// Takes from a program's environment what would tell it where packages come from.
pub(crate) fn clean(mut command: Command) -> Command {
    command
        .current_dir(repository())
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env_remove("RAP_IMAGE_MIRROR")
        .env_remove("RAP_IMAGE_SECURITY_MIRROR");
    command
}

/// How a program ended and what it said.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

impl Outcome {
    /// It ended with exit code 2 and said all of `parts`.
    #[track_caller]
    pub(crate) fn expect_refused(&self, parts: &[&str]) {
        let missing: Vec<_> = parts.iter().filter(|part| !self.text.contains(**part)).collect();
        assert!(
            self.code == Some(2) && missing.is_empty(),
            "expected exit code 2, found {:?}; unsaid: {missing:?}; it said:\n{}",
            self.code,
            self.text
        );
    }
}

/// Runs `command`; after `deadline` it and all it started are killed and the test fails. What it says is returned,
/// and its steps, with `voice` before them, are shown at once, past the capture of the tests' output.
#[track_caller]
pub(crate) fn run(command: &mut Command, deadline: Duration, voice: Option<&'static str>) -> Outcome {
    let end = Instant::now() + deadline;
    let (reader, writer) = std::io::pipe().unwrap();
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .process_group(0);
    let mut child = command.spawn().unwrap();
    // The command holds the pipe's end for writing until it is given another.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let said = std::thread::spawn(move || listen(BufReader::new(reader), voice));
    let ended = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > end {
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let group = Pid::from_child(&child);
    if ended.is_none() {
        let _ = kill_process_group(group, Signal::KILL);
        let _ = child.wait();
    }
    let text = said.join().unwrap();
    let status = ended.unwrap_or_else(|| panic!("not done after {deadline:?}; it said:\n{text}"));
    Outcome {
        code: status.code(),
        text,
    }
}

/// Collects the lines; shows the builder's steps and, every so often, how far cargo is.
fn listen(lines: impl BufRead, voice: Option<&str>) -> String {
    let (mut text, mut crates) = (String::new(), 0);
    for line in lines.split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        let is_crate = line.trim_start().starts_with("Compiling ");
        crates += usize::from(is_crate);
        if let Some(voice) = voice
            && (line.starts_with('[') || is_crate && crates.is_multiple_of(40))
        {
            let _ = writeln!(std::io::stderr(), "{voice}: {}", line.trim_start());
        }
        text += &line;
        text.push('\n');
    }
    text
}

/// The names in a folder, sorted; none when there is no folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Copies a folder, but not what has one of `skipped` names at its top.
pub(crate) fn copy(from: &Path, to: &Path, skipped: &[&str]) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (name, kind) = (entry.file_name(), entry.file_type().unwrap());
        let target = to.join(&name);
        if skipped.iter().any(|skip| name == *skip) {
        } else if kind.is_dir() {
            copy(&entry.path(), &target, &[]);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The user's store, when it has everything the lock names.
pub(crate) fn full_store(lock: &Lock) -> Option<Store> {
    let store = Store::of_user().ok();
    let store = store.filter(|store| lock.packages.iter().all(|package| store.has(&package.sha256)));
    has(
        store.is_some(),
        "all locked packages in the store (rap-image build)",
    )
    .then_some(store)
    .flatten()
}

/// The recipes, the lock and the store's packages, in a folder of their own.
pub(crate) struct Workshop {
    pub(crate) lock: Lock,
    pub(crate) store: Store,
    folder: tempfile::TempDir,
}

impl Workshop {
    /// `None` when the user's store does not have everything yet.
    pub(crate) fn open() -> Option<Self> {
        let lock = Lock::read(&repository().join("overlays/image.lock")).unwrap();
        let full = full_store(&lock)?;
        // Where the store is, most likely: so that links do.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = |below| folder.path().join(below);
        copy(&repository().join("overlays"), &path("overlays"), &[]);
        // What makes a folder the repository of the core; no test gets as far as compiling it.
        std::fs::create_dir(path("rap-core")).unwrap();
        std::fs::write(path("rap-core/Cargo.toml"), "").unwrap();
        let store = Store::open(&path("cache/rap-image")).unwrap();
        for Package { sha256, .. } in &lock.packages {
            let (from, to) = (full.path(sha256), store.path(sha256));
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            if std::fs::hard_link(&from, &to).is_err() {
                std::fs::copy(&from, &to).unwrap();
            }
        }
        Some(Self { lock, store, folder })
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn package(&self, name: &str) -> &Package {
        self.lock.package(name).unwrap()
    }

    /// Takes a package out of the store.
    pub(crate) fn take(&self, sha256: &Sha256) -> Vec<u8> {
        let content = self.store.bytes(sha256).unwrap();
        std::fs::remove_file(self.store.path(sha256)).unwrap();
        content
    }

    /// Runs `rap-image VERB` here.
    pub(crate) fn run(&self, verb: &str, arguments: &[&str]) -> Outcome {
        let mut command = rap_image();
        command
            .arg(verb)
            .args(arguments)
            .env("XDG_CACHE_HOME", self.path("cache"))
            .current_dir(self.folder.path());
        run(&mut command, QUICK, None)
    }

    /// Nothing but what was there from the start, and the lock as it was: no image, no half of one.
    #[track_caller]
    pub(crate) fn expect_untouched(&self) {
        assert_eq!(names(self.folder.path()), ["cache", "overlays", "rap-core"]);
        let (ours, theirs) = (self.path("overlays"), repository().join("overlays"));
        assert_eq!(names(&ours), names(&theirs));
        let lock = |folder: &Path| std::fs::read_to_string(folder.join("image.lock")).unwrap();
        assert_eq!(lock(&ours), lock(&theirs));
    }
}

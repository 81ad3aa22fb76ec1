//! `rap-image lock` as a person runs it, against an archive of our own making, signed with a key made for the test; and
//! what happens when mirrors forget.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../src/testing.rs"]
#[allow(dead_code, reason = "the library's own tests use the rest")]
mod testing;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pgp::composed::{ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedSecretKey};
use pgp::types::Password;
use rap_core::digest::Sha256;
use rap_image::fetch::Fetcher;
use rap_image::lock::{self, Group, Lock};
use rap_image::mirror::Mirrors;
use rap_image::overlay::Stack;
use rap_image::store::Store;

const OVERLAY: &str = r#"version = 1
[kernel]
package = "linux-image-amd64"
[packages.tool]
files = ["usr/bin/tool"]
[boot]
loader = { package = "loader", file = "l" }
stub = { package = "loader", file = "s" }
[lab]
code = { package = "loader", file = "c" }
vars = { package = "loader", file = "v" }
secure-code = { package = "loader", file = "c" }
[toolchain]
packages = ["loader"]
"#;

/// Name, version, depends. Their content is their name and version.
const PACKAGES: [(&str, &str, &str); 5] = [
    ("linux-image-amd64", "6.1", "linux-image-6.1-amd64"),
    ("linux-image-6.1-amd64", "6.1", ""),
    ("loader", "1", ""),
    ("tool", "1", "libtool9"),
    ("libtool9", "9", ""),
];

struct Case {
    server: testing::Server,
    key: SignedSecretKey,
    folder: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        let mut parameters = SecretKeyParamsBuilder::default();
        parameters
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .primary_user_id("test".into());
        let key = parameters.build().unwrap().generate(rand::rngs::OsRng).unwrap();
        let case = Self {
            server: testing::Server::start(),
            key,
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir_all(case.path("overlays/base")).unwrap();
        std::fs::create_dir_all(case.path("overlays/keyring")).unwrap();
        std::fs::write(case.path("overlays/base/overlay.toml"), OVERLAY).unwrap();
        let certificate = case
            .key
            .to_public_key()
            .to_armored_string(ArmorOptions::default())
            .unwrap();
        std::fs::write(case.path("overlays/keyring/test.asc"), certificate).unwrap();
        case.publish(&PACKAGES, "Sat, 21 Nov 2026 09:15:44 UTC");
        case
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Serves a main suite with these packages, and the two others empty.
    fn publish(&self, packages: &[(&str, &str, &str)], date: &str) {
        let mut index = String::new();
        for (name, version, depends) in packages {
            let (content, path) = (format!("{name} {version}"), format!("pool/{name}_{version}.deb"));
            self.server.put(&format!("/debian/{path}"), content.as_bytes());
            index += &format!(
                "Package: {name}\nVersion: {version}\nDepends: {depends}\nFilename: {path}\nSize: {}\nSHA256: {}\n\n",
                content.len(),
                Sha256::of(content.as_bytes())
            );
        }
        for (base, suite, index) in [
            ("/debian", "trixie", index.as_str()),
            ("/debian", "trixie-updates", ""),
            ("/debian-security", "trixie-security", ""),
        ] {
            let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
            xz.write_all(index.as_bytes()).unwrap();
            let xz = xz.finish().unwrap();
            let release = format!(
                "Codename: {suite}\nDate: {date}\nSHA256:\n {} {} main/binary-amd64/Packages.xz\n",
                Sha256::of(&xz),
                xz.len()
            );
            self.server.put(
                &format!("{base}/dists/{suite}/main/binary-amd64/Packages.xz"),
                &xz,
            );
            self.server.put(
                &format!("{base}/dists/{suite}/InRelease"),
                self.signed(&release).as_bytes(),
            );
        }
    }

    fn signed(&self, text: &str) -> String {
        let password = Password::empty();
        let message = CleartextSignedMessage::sign(rand::rngs::OsRng, text, &self.key.primary_key, &password);
        message
            .unwrap()
            .to_armored_string(ArmorOptions::default())
            .unwrap()
    }

    /// Changes the text of the main suite's signed Release.
    fn change_release(&self, change: impl FnOnce(String) -> String) {
        let release = self.server.content("/debian/dists/trixie/InRelease");
        self.server.put(
            "/debian/dists/trixie/InRelease",
            change(String::from_utf8(release).unwrap()).as_bytes(),
        );
    }

    /// Runs `rap-image lock`: exit code and all it printed.
    fn lock(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_rap-image"))
            .arg("lock")
            .args(arguments)
            .args(["--mirror", &self.server.url("/debian"), "--overlays"])
            .arg(self.path("overlays"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env_remove("RAP_IMAGE_MIRROR")
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    fn file(&self) -> PathBuf {
        self.path("overlays/image.lock")
    }

    /// `lock` fails with exit code 2, says all of `parts`, and leaves no lock and nothing half-written.
    fn expect_refused(&self, parts: &[&str]) {
        let (code, text) = self.lock(&[]);
        assert_eq!(code, 2, "{text}");
        assert!(
            parts.iter().all(|part| text.contains(part)),
            "{parts:?} in:\n{text}"
        );
        assert_eq!(names(&self.path("overlays")), ["base", "keyring"]);
    }

    fn fetcher(&self) -> Fetcher {
        let mirrors = Mirrors {
            main: vec![self.server.url("/debian")],
            security: vec![self.server.url("/debian-security")],
            snapshot: None,
        };
        Fetcher::new(Store::open(&self.path("cache/rap-image")).unwrap(), Some(mirrors))
            .with_patience(Duration::ZERO)
    }

    fn refresh(&self, allowed: bool) -> Result<(Lock, Vec<lock::Change>), lock::Refused> {
        let overlays = self.path("overlays");
        let groups = [Group::Image, Group::Kernel, Group::Boot];
        let stack = || Stack::all(&overlays);
        lock::refresh(
            &self.fetcher(),
            stack,
            &overlays.join("keyring"),
            &self.file(),
            &groups,
            allowed,
        )
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_lock_is_made_checked_and_made_anew() {
    let case = Case::new();
    let (code, text) = case.lock(&[]);
    assert_eq!(code, 0, "{text}");
    let lock = Lock::read(&case.file()).unwrap();
    let names: Vec<_> = lock
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(names, ["libtool9", "linux-image-6.1-amd64", "loader", "tool"]);
    assert_eq!(lock.group(Group::Kernel)[0].name, "linux-image-6.1-amd64");
    let text = std::fs::read_to_string(case.file()).unwrap();
    assert!(!text.contains("127.0.0.1"), "the lock names no host");

    assert_eq!(case.lock(&["--check"]).0, 0);
    let mut newer = PACKAGES;
    newer[4].1 = "9+deb13u1";
    case.publish(&newer, "Sun, 22 Nov 2026 09:15:44 UTC");
    let (code, said) = case.lock(&["--check"]);
    assert_eq!(
        (code, said.contains("libtool9: 9 → 9+deb13u1")),
        (1, true),
        "{said}"
    );
    assert_eq!(
        std::fs::read_to_string(case.file()).unwrap(),
        text,
        "--check writes nothing"
    );
    assert_eq!(case.lock(&[]).0, 0);
    assert_eq!(case.lock(&["--check"]).0, 0);
}

#[test]
fn an_unsigned_release_is_refused() {
    let case = Case::new();
    case.change_release(|_| "Codename: trixie\nDate: Sat, 21 Nov 2026 09:15:44 UTC\n".to_owned());
    case.expect_refused(&[
        "trixie: the mirror's InRelease is not to be believed",
        "not signed",
    ]);
}

#[test]
fn a_release_changed_after_signing_is_refused() {
    let case = Case::new();
    case.change_release(|text| text.replace("2026", "2027"));
    case.expect_refused(&[
        "trixie: the mirror's InRelease is not to be believed",
        "no valid signature",
    ]);
}

#[test]
fn a_release_signed_by_somebody_else_is_refused() {
    let (case, other) = (Case::new(), Case::new());
    case.change_release(|_| other.signed("Codename: trixie\n"));
    case.expect_refused(&["not to be believed", "no valid signature"]);
}

#[test]
fn an_index_with_a_wrong_hash_is_refused() {
    let case = Case::new();
    let path = "/debian/dists/trixie/main/binary-amd64/Packages.xz";
    let mut index = case.server.content(path);
    index[20] ^= 1;
    case.server.put(path, &index);
    case.expect_refused(&["Packages.xz has the SHA-256", "it was not used"]);
}

#[test]
fn a_missing_package_and_a_missing_dependency_are_named() {
    let case = Case::new();
    case.publish(&PACKAGES[..4], "Sat, 21 Nov 2026 09:15:44 UTC");
    case.expect_refused(&["tool 1 depends on \"libtool9\", which no suite has"]);
    case.publish(&PACKAGES[..3], "Sat, 21 Nov 2026 09:15:44 UTC");
    case.expect_refused(&["no suite has a package \"tool\", wanted by overlays/base"]);
}

#[test]
fn a_mirror_behind_the_lock_is_refused() {
    let case = Case::new();
    assert_eq!(case.lock(&[]).0, 0);
    case.publish(&PACKAGES, "Fri, 20 Nov 2026 09:15:44 UTC");
    let (code, text) = case.lock(&["--check"]);
    assert!(code == 2 && text.contains("the mirror is behind"), "{text}");
}

#[test]
fn offline_a_lock_cannot_be_made() {
    let (code, text) = Case::new().lock(&["--offline"]);
    assert!(code == 2 && text.contains("--offline forbids fetching"), "{text}");
}

#[test]
fn a_forgotten_file_is_named_with_what_is_current_and_only_it_is_locked_anew() {
    let case = Case::new();
    assert_eq!(case.lock(&[]).0, 0);
    let before = std::fs::read_to_string(case.file()).unwrap();
    let mut newer = PACKAGES;
    (newer[2].1, newer[3].1) = ("2", "2");
    newer[0] = ("linux-image-amd64", "6.2", "linux-image-6.2-amd64");
    newer[1] = ("linux-image-6.2-amd64", "6.2", "");
    case.publish(&newer, "Sun, 22 Nov 2026 09:15:44 UTC");
    case.server.remove("/debian/pool/tool_1.deb");
    case.server.remove("/debian/pool/linux-image-6.1-amd64_6.1.deb");

    let message = case.refresh(false).unwrap_err().to_string();
    for part in [
        "tool 1: current is tool 2",
        "6.1: current is linux-image-6.2-amd64 6.2",
        "--refresh-missing",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(std::fs::read_to_string(case.file()).unwrap(), before);

    let (lock, changes) = case.refresh(true).unwrap();
    let changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        [
            "linux-image-6.1-amd64: 6.1 → none",
            "linux-image-6.2-amd64: none → 6.2",
            "tool: 1 → 2"
        ]
    );
    assert_eq!(Lock::read(&case.file()).unwrap(), lock);
    assert_eq!(
        lock.package("loader").unwrap().version,
        "1",
        "loader is still to be had and stays"
    );
    assert!(case.refresh(false).unwrap().1.is_empty());
}

#[test]
fn a_full_disk_leaves_the_lock_as_it_was_and_no_file_under_its_name() {
    if !rustix::process::geteuid().is_root() {
        assert!(
            std::env::var_os("CI").is_none(),
            "needs root, to mount a small disk"
        );
        eprintln!("skipped: needs root, to mount a small disk");
        return;
    }
    let case = Case::new();
    assert_eq!(case.lock(&[]).0, 0);
    let disk = SmallDisk::mount(&case.path("disk"));
    let (lock, path) = (Lock::read(&case.file()).unwrap(), disk.0.join("image.lock"));
    lock.write(&path).unwrap();
    disk.fill();
    let error = lock.write(&path).unwrap_err();
    assert!(
        matches!(&error, lock::Error::Write(_, source) if source.kind() == std::io::ErrorKind::StorageFull)
    );
    assert_eq!(Lock::read(&path).unwrap(), lock);
    assert_eq!(names(&disk.0), ["filler", "image.lock"]);

    let content = vec![7; 1 << 20];
    case.server.put("/debian/pool/large.deb", &content);
    let package = lock::Package {
        path: "pool/large.deb".to_owned(),
        sha256: Sha256::of(&content),
        size: content.len() as u64,
        ..lock.packages[0].clone()
    };
    std::fs::remove_file(disk.0.join("filler")).unwrap();
    let store = Store::open(&disk.0.join("store")).unwrap();
    let mirrors = Mirrors {
        main: vec![case.server.url("/debian")],
        ..Mirrors::default()
    };
    let fetcher = Fetcher::new(store.clone(), Some(mirrors)).with_patience(Duration::ZERO);
    let error = fetcher.packages(&[&package], lock.time()).unwrap_err();
    assert!(error.to_string().starts_with("cannot write "), "{error}");
    assert!(!store.has(&package.sha256));
}

/// A disk of 256 KiB in memory, taken away at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Self {
        std::fs::create_dir(at).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", at, "tmpfs", flags, c"size=256k").unwrap();
        Self(at.to_owned())
    }

    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

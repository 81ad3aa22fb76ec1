//! Compiling the core inside a root made of locked packages, so that the host's distribution cannot show in the bits.
//!
//! ```text
//! /usr     the toolchain packages, unpacked, with cc and c++      read-only
//! /rust    the pinned Rust toolchain                              read-only
//! /cargo   an empty CARGO_HOME; its registry is the host's        read-only
//! /src     this repository                                        read-only
//! /target  target/hermetic/ROOT of the repository, kept between builds
//! /proc /dev (null, zero, full, random, urandom) /tmp
//! ```
//!
//! Paths, environment and umask inside are always the same; there is no network. The program `unshare` makes the
//! namespaces (as root, or as a user in a user namespace) and starts this program again as [`VERB`], which builds
//! the view ([`cell`]), enters it and becomes cargo. The crates are fetched outside, before, and cargo is asked there
//! which of them the programs are made of: that is attached to them ([`crate::auditable`]).

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

pub mod cell;

use cell::Cell;

use crate::auditable::{self, AuditableError};

/// The hidden verb that this program starts itself with, inside the namespaces.
pub const VERB: &str = "hermetic-cell";

/// Why the core was not built.
#[derive(Debug, thiserror::Error)]
pub enum HermeticError {
    /// A file or folder could not be made, read or replaced.
    #[error("cannot {0} {1}")]
    File(&'static str, PathBuf, #[source] std::io::Error),
    /// The packages could not be unpacked.
    #[error("cannot assemble the build root in {0}")]
    Unpack(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// A program could not be started.
    #[error("cannot start `{program}`; {fix}")]
    Start {
        /// Which.
        program: &'static str,
        /// How to get it.
        fix: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The Rust toolchain is not the pinned one in a folder of its own.
    #[error(
        "the Rust toolchain at {0} cannot be bound into the build root: install rustup, which brings the pinned one"
    )]
    Toolchain(PathBuf),
    /// The crates could not be fetched.
    #[error(
        "`cargo fetch --locked` failed ({0}): without a network the crates must have been fetched before"
    )]
    Fetch(ExitStatus),
    /// Cargo could not say which crates it would compile.
    #[error("`cargo tree --locked` failed ({0}); its message is above")]
    Tree(ExitStatus),
    /// The list of crates could not be attached to a program.
    #[error("the list of its crates cannot be attached to {0}")]
    Auditable(&'static str, #[source] AuditableError),
    /// The namespaces could not be made.
    #[error(
        "cannot make the build's namespaces: run as root, or allow user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1, and on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0), \
         or use --host-toolchain for a development image"
    )]
    Namespaces,
    /// The compiler said no.
    #[error("the core does not compile ({0}); the compiler's messages are above")]
    Compile(ExitStatus),
    /// Inside: the view could not be built.
    #[error("cannot mount {0} in the build root")]
    Mount(PathBuf, #[source] rustix::io::Errno),
    /// Inside: what to do was not understood.
    #[error("`{VERB}` is for rap-image itself")]
    Plan(#[source] serde_json::Error),
}

/// Makes sure that the build root named `key` is assembled below `cache`, and returns it. `unpack` fills an empty
/// folder; the result appears under its name only when it is whole.
///
/// # Errors
/// When unpacking or writing fails.
pub fn assemble<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    cache: &Path,
    key: &str,
    unpack: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<PathBuf, HermeticError> {
    let root = cache.join(key);
    if root.is_dir() {
        return Ok(root);
    }
    std::fs::create_dir_all(cache).map_err(|error| HermeticError::File("make", cache.to_owned(), error))?;
    let partial = tempfile::Builder::new()
        .prefix(".partial-")
        .tempdir_in(cache)
        .map_err(|error| HermeticError::File("make a folder in", cache.to_owned(), error))?;
    let folder = partial.path().join("root");
    std::fs::create_dir(&folder).map_err(|error| HermeticError::File("make", folder.clone(), error))?;
    unpack(&folder).map_err(|error| HermeticError::Unpack(folder.clone(), error.into()))?;
    // Debian's alternatives make these links when gcc is installed; here nothing is installed.
    for (link, target) in [("cc", "gcc"), ("c++", "g++")] {
        let link = folder.join("usr/bin").join(link);
        if !link.is_symlink() {
            std::os::unix::fs::symlink(target, &link)
                .map_err(|error| HermeticError::File("make", link, error))?;
        }
    }
    match std::fs::rename(&folder, &root) {
        // Another build was faster; its root is as good.
        Err(_) if root.is_dir() => Ok(root),
        result => result
            .map(|()| root.clone())
            .map_err(|error| HermeticError::File("make", root, error)),
    }
}

/// The core: its programs' names, as cargo and the box know them, and their bytes.
pub type Core = std::collections::BTreeMap<&'static str, Vec<u8>>;

/// The core's programs. `rap` is process 1, the network and `rapctl`; `rap-tls` is every service that speaks TLS.
const PROGRAMS: [&str; 2] = ["rap", "rap-tls"];
/// What they are compiled for.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// One build of the core.
#[derive(Debug, Clone, Copy)]
pub struct Build<'a> {
    /// The repository.
    pub repository: &'a Path,
    /// Whether the crates must be there already.
    pub offline: bool,
}

impl Build<'_> {
    /// Compiles the core with the FIPS module inside `root`; cargo's messages go to standard error.
    ///
    /// # Errors
    /// When the toolchain, the crates or the namespaces are not to be had, or the core does not compile.
    pub fn hermetic(&self, root: &Path) -> Result<Core, HermeticError> {
        self.fetch()?;
        // Cargo cannot see that the C compiler changed: another root gets another folder.
        let key: String = root
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .chars()
            .take(16)
            .collect();
        let target = self.repository.join("target/hermetic").join(key);
        std::fs::create_dir_all(&target)
            .map_err(|error| HermeticError::File("make", target.clone(), error))?;
        let view =
            tempfile::tempdir().map_err(|error| HermeticError::File("make", std::env::temp_dir(), error))?;
        let plan = Cell {
            root: root.to_owned(),
            rust: self.toolchain()?,
            registry: cargo_home().join("registry"),
            source: absolute(self.repository)?,
            target: absolute(&target)?,
            view: absolute(view.path())?,
        };
        let status = self.in_namespaces(&plan)?;
        match status.code() {
            Some(0) => self.programs(&target.join("release"), &["--features", "fips"]),
            // `unshare` itself ends with 1, the cell with its own code; each has said why.
            Some(1 | cell::NO_VIEW) => Err(HermeticError::Namespaces),
            _ => Err(HermeticError::Compile(status)),
        }
    }

    /// Compiles the core with the host's tools and without the FIPS module: quick, for development only.
    ///
    /// # Errors
    /// When it does not compile.
    pub fn with_host_toolchain(&self) -> Result<Core, HermeticError> {
        let mut cargo = self.cargo();
        cargo
            .args(["build", "--release", "--locked", "--package", "rap-core"])
            .env_remove("CARGO_TARGET_DIR");
        if self.offline {
            cargo.arg("--offline");
        }
        let status = start(&mut cargo, "cargo", "install rustup")?;
        if !status.success() {
            return Err(HermeticError::Compile(status));
        }
        self.programs(&self.repository.join("target/release"), &[])
    }

    /// The programs that were compiled into `folder`, each with the list of its crates.
    fn programs(&self, folder: &Path, features: &[&str]) -> Result<Core, HermeticError> {
        let all = self.tree(features, "normal,build")?;
        let runtime = self.tree(features, "normal,no-proc-macro")?;
        let program = |name| {
            let bytes = read(&folder.join(name))?;
            let attached = auditable::inventory(&all, &runtime)
                .and_then(|crates| auditable::attach(&bytes, &crates.encode()?))
                .map_err(|error| HermeticError::Auditable(name, error))?;
            Ok((name, attached))
        };
        PROGRAMS.into_iter().map(program).collect()
    }

    /// What cargo would compile for the core, as `cargo tree` says it.
    fn tree(&self, features: &[&str], edges: &str) -> Result<String, HermeticError> {
        let output = self
            .cargo()
            .args([
                "tree",
                "--locked",
                "--offline",
                "--package",
                "rap-core",
                "--target",
                TARGET,
            ])
            .args([
                "--prefix", "depth", "--format", "{p}", "--color", "never", "--edges", edges,
            ])
            .args(features)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|source| HermeticError::Start {
                program: "cargo",
                fix: "install rustup",
                source,
            })?;
        if !output.status.success() {
            return Err(HermeticError::Tree(output.status));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn fetch(&self) -> Result<(), HermeticError> {
        let mut cargo = self.cargo();
        cargo.args(["fetch", "--locked", "--quiet"]);
        if self.offline {
            cargo.arg("--offline");
        }
        let status = start(&mut cargo, "cargo", "install rustup")?;
        if status.success() {
            Ok(())
        } else {
            Err(HermeticError::Fetch(status))
        }
    }

    fn cargo(&self) -> Command {
        let mut cargo = Command::new("cargo");
        // An outer `cargo run` names its own toolchain; the repository's pin must win.
        cargo
            .current_dir(self.repository)
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO");
        cargo
    }

    /// The folder of the toolchain that rust-toolchain.toml pins.
    fn toolchain(&self) -> Result<PathBuf, HermeticError> {
        let output = Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(self.repository)
            .env_remove("RUSTUP_TOOLCHAIN")
            .output()
            .map_err(|source| HermeticError::Start {
                program: "rustc",
                fix: "install rustup",
                source,
            })?;
        let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        let whole = sysroot != Path::new("/usr")
            && ["cargo", "rustc"]
                .iter()
                .all(|name| sysroot.join("bin").join(name).is_file());
        if whole {
            Ok(sysroot)
        } else {
            Err(HermeticError::Toolchain(sysroot))
        }
    }

    fn in_namespaces(&self, plan: &Cell) -> Result<ExitStatus, HermeticError> {
        let this = std::env::current_exe()
            .map_err(|error| HermeticError::File("find", PathBuf::from("/proc/self/exe"), error))?;
        let mut unshare = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        unshare
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--"])
            .arg(this)
            .arg(VERB)
            .arg(plan.to_text());
        start(&mut unshare, "unshare", "install util-linux")
    }
}

fn start(
    command: &mut Command,
    program: &'static str,
    fix: &'static str,
) -> Result<ExitStatus, HermeticError> {
    command
        .status()
        .map_err(|source| HermeticError::Start { program, fix, source })
}

/// Where cargo keeps what it fetched: `CARGO_HOME`, else `~/.cargo`.
#[must_use]
pub fn cargo_home() -> PathBuf {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"))
}

fn absolute(path: &Path) -> Result<PathBuf, HermeticError> {
    path.canonicalize()
        .map_err(|error| HermeticError::File("find", path.to_owned(), error))
}

fn read(path: &Path) -> Result<Vec<u8>, HermeticError> {
    std::fs::read(path).map_err(|error| HermeticError::File("read", path.to_owned(), error))
}

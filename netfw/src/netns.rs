//! Network namespaces by name, as iproute2 keeps them: a bind mount of the namespace at `/run/netns/NAME`.
//!
//! Invariant: only threads made for the purpose change their namespace, and they end there; the caller's never does.

use std::fs::{self, File};
use std::future::Future;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::sys;

/// Where named namespaces are (iproute2 `include/namespace.h`, `NETNS_RUN_DIR`).
pub const DIRECTORY: &str = "/run/netns";
/// `linux/magic.h`: `NSFS_MAGIC`.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// A network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// The one the program was started in.
    Current,
    /// A named one.
    Named(String),
}

/// Why a namespace could not be made or entered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be created or bound to its name.
    #[error("cannot create network namespace {0} (root's rights are needed)")]
    Create(String, #[source] io::Error),
    /// It could not be entered.
    #[error("cannot enter network namespace {0}")]
    Enter(String, #[source] io::Error),
    /// It could not be removed.
    #[error("cannot remove network namespace {0}")]
    Remove(String, #[source] io::Error),
    /// No netlink socket inside it.
    #[error("cannot open a netlink socket in network namespace {0}")]
    Socket(String, #[source] io::Error),
    /// No thread or runtime for work inside it.
    #[error("cannot start a thread in network namespace {0}")]
    Thread(String, #[source] io::Error),
}

impl Namespace {
    /// Its name for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Current => "root",
            Self::Named(name) => name,
        }
    }

    /// Whether it exists.
    #[must_use]
    pub fn exists(&self) -> bool {
        match self {
            Self::Current => true,
            Self::Named(name) => is_namespace(&path(name)),
        }
    }

    /// Makes a named namespace, and does `prepare` inside before anybody can find it by its name; so nobody ever sees
    /// one that is not prepared, whatever happens in between.
    ///
    /// # Errors
    /// [`Error::Create`], and those of `prepare`.
    pub fn create<E: From<Error> + Send>(
        &self,
        prepare: impl FnOnce() -> Result<(), E> + Send,
    ) -> Result<(), E> {
        let Self::Named(name) = self else {
            return prepare();
        };
        let failed = |error| Error::Create(name.clone(), error);
        fs::create_dir_all(DIRECTORY).map_err(failed)?;
        // A file without a mount is what a crash in between leaves; it is used.
        File::create(path(name)).map_err(failed)?;
        on_own_thread(name, || {
            sys::unshare_network().map_err(|errno| failed(errno.into()))?;
            prepare()?;
            // The calling thread's own namespace, not the process's (proc(5)).
            rustix::mount::mount_bind("/proc/thread-self/ns/net", path(name))
                .map_err(|errno| E::from(failed(errno.into())))
        })?
    }

    /// Removes a named namespace's name; the namespace goes with its last user. One that is not there is removed.
    ///
    /// # Errors
    /// [`Error::Remove`].
    pub fn remove(&self) -> Result<(), Error> {
        let Self::Named(name) = self else {
            return Ok(());
        };
        let failed = |error| Error::Remove(name.clone(), error);
        let path = path(name);
        if is_namespace(&path) {
            rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH)
                .map_err(|errno| failed(errno.into()))?;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// Opens the namespace itself.
    ///
    /// # Errors
    /// [`Error::Enter`].
    pub fn open(&self) -> Result<File, Error> {
        let path = match self {
            Self::Current => PathBuf::from("/proc/self/ns/net"),
            Self::Named(name) => path(name),
        };
        File::open(path).map_err(|error| Error::Enter(self.name().to_owned(), error))
    }

    /// Runs `work` inside, on a thread of its own, and waits for it. Children started by it are inside as well.
    ///
    /// # Errors
    /// [`Error::Enter`], [`Error::Thread`].
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let namespace = self.open()?;
        on_own_thread(self.name(), move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).map(|()| work())
        })?
        .map_err(|errno| Error::Enter(self.name().to_owned(), errno.into()))
    }

    /// Runs what `work` makes inside, on a thread with a runtime of its own, and waits for it.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn block_on<T: Send, F: Future<Output = T>>(
        &self,
        work: impl FnOnce() -> F + Send,
    ) -> Result<T, Error> {
        self.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(work()))
        })?
        .map_err(|error| Error::Thread(self.name().to_owned(), error))
    }
}

/// Runs `work` in a namespace of its own that nobody else sees and that ends with it.
///
/// # Errors
/// [`Error::Create`], [`Error::Thread`].
pub(crate) fn in_scratch<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let name = "for a trial";
    on_own_thread(name, || sys::unshare_network().map(|()| work()))?
        .map_err(|errno| Error::Create(name.to_owned(), errno.into()))
}

fn on_own_thread<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name(format!("ns {name}"))
            .spawn_scoped(scope, work)
            .map_err(|error| Error::Thread(name.to_owned(), error))?;
        // A panic inside is the caller's.
        Ok(thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

fn is_namespace(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|facts| u64::try_from(facts.f_type) == Ok(NSFS_MAGIC))
}

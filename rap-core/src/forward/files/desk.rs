//! The thread that keeps the files: agents' requests one after the other, and what is to be done in between.
//!
//! Invariant: what waits here is bounded ([`WAITING`] ranges); more is refused at once.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Config;
use super::label::{FileName, MediaType};
use super::shelf::{Holding, Key, PutError, Reserve, Shelf, Upload};
use super::status::FilesStatus;
use crate::forward::clock;
use crate::forward::log::Disk;
use crate::forward::signal::Signal;
use crate::moment;

/// Requests that may wait.
const WAITING: usize = 8;
/// Between looks for what nobody goes on with, and attempts to open a directory that could not be opened.
const ROUND: Duration = Duration::from_secs(60);

/// The shelf, once its directory could be opened.
pub(in crate::forward) type Shared = Arc<Mutex<Option<Shelf>>>;

/// What an agent asks for.
#[derive(Debug)]
pub(in crate::forward) struct Request {
    /// Which file.
    pub(in crate::forward) key: Key,
    /// Bytes of the whole file.
    pub(in crate::forward) size: u64,
    /// Some of its bytes, and where they begin; else it only asks.
    pub(in crate::forward) part: Option<(u64, Vec<u8>)>,
    pub(in crate::forward) name: Option<FileName>,
    pub(in crate::forward) media: MediaType,
}

struct Job {
    request: Request,
    reply: oneshot::Sender<Result<Holding, PutError>>,
}

/// Where requests are handed in; the thread ends when the last of these is dropped.
#[derive(Debug, Clone)]
pub(in crate::forward) struct Desk {
    jobs: SyncSender<Job>,
}

impl Desk {
    /// Starts the thread, with files in `directory`. `news` is raised when a file is whole.
    pub(in crate::forward) fn start(
        directory: PathBuf,
        config: Config,
        reserve: Reserve,
        news: Arc<Signal>,
    ) -> std::io::Result<(Self, Shared, JoinHandle<()>)> {
        let shared = Shared::default();
        let (jobs, waiting) = sync_channel(WAITING);
        let shelf = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("files".to_owned())
            .spawn(move || serve(&directory, config, reserve, &shelf, &waiting, &news))?;
        Ok((Self { jobs }, shared, thread))
    }

    /// Does what is asked, when its turn comes.
    pub(in crate::forward) async fn ask(&self, request: Request) -> Result<Holding, PutError> {
        let stopped = || PutError::Storage(std::io::Error::other("the forwarder stops"));
        let (reply, answer) = oneshot::channel();
        match self.jobs.try_send(Job { request, reply }) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(stopped())),
            Err(TrySendError::Full(_)) => Err(PutError::Full),
            Err(TrySendError::Disconnected(_)) => Err(stopped()),
        }
    }
}

/// What the shelf says of itself; all zeros until it is open.
pub(in crate::forward) fn status(shared: &Shared) -> FilesStatus {
    hold(shared).as_ref().map(Shelf::status).unwrap_or_default()
}

pub(in crate::forward) fn hold(shared: &Shared) -> MutexGuard<'_, Option<Shelf>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(
    directory: &std::path::Path,
    config: Config,
    reserve: Reserve,
    shared: &Shared,
    waiting: &Receiver<Job>,
    news: &Signal,
) {
    loop {
        if hold(shared).is_none() {
            match open(directory, config, Arc::clone(&reserve)) {
                Ok(shelf) => *hold(shared) = Some(shelf),
                Err(error) => log::error!("{}: files cannot be kept here: {error}", directory.display()),
            }
            news.raise();
        }
        // The shelf is not held between two steps, so that delivery comes in between.
        let busy = hold(shared).as_mut().is_some_and(|shelf| {
            let busy = shelf.work();
            shelf.tidy(moment::since_boot());
            busy
        });
        let job = match busy {
            true => waiting
                .try_recv()
                .map_err(|error| error == TryRecvError::Disconnected),
            false => waiting
                .recv_timeout(ROUND)
                .map_err(|error| error == RecvTimeoutError::Disconnected),
        };
        match job {
            Ok(job) => {
                let answer = match hold(shared).as_mut() {
                    Some(shelf) => done(shelf, &job.request),
                    None => Err(PutError::Storage(std::io::Error::other(
                        "the files' directory cannot be used",
                    ))),
                };
                // Whoever asked may have gone; what was stored is stored.
                drop(job.reply.send(answer));
            }
            Err(true) => return,
            Err(false) => {}
        }
        // Something may have become whole.
        news.raise();
    }
}

fn open(directory: &std::path::Path, config: Config, reserve: Reserve) -> std::io::Result<Shelf> {
    let disk = Disk::new(directory)?;
    let shelf = Shelf::open(Arc::new(disk), config, reserve, moment::since_boot())?;
    let status = shelf.status();
    if status.waiting + status.partial > 0 {
        log::info!(
            "{} file(s) wait, of {} more a part is here",
            status.waiting,
            status.partial
        );
    }
    Ok(shelf)
}

fn done(shelf: &mut Shelf, request: &Request) -> Result<Holding, PutError> {
    let now = moment::since_boot();
    let Some((first, bytes)) = &request.part else {
        return shelf.ask(&request.key, request.size, now);
    };
    let upload = Upload {
        key: &request.key,
        size: request.size,
        first: *first,
        bytes,
        name: request.name.as_ref(),
        media: &request.media,
        received: clock::now_ms(),
    };
    let answer = shelf.put(&upload, now);
    if let Err(PutError::Storage(error)) = &answer {
        log::error!("the data partition refused to store a file, nobody is acknowledged: {error}");
    }
    answer
}

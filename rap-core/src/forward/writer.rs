//! Group commit: one thread takes what waits, appends it, syncs once, and answers everybody.
//!
//! Another thread makes the log's next segments ahead, so that no answer waits for zeros to be written.
//!
//! Invariant: a caller of [`Writer::store`] hears [`Stored::Durable`] only after `fdatasync`.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::lane::Lane;
use super::log::{AppendError, Log, NewRecord};
use super::signal::Signal;

/// Requests that may wait; more are refused, so that memory stays bounded.
const WAITING: usize = 256;
/// Requests committed together.
const GROUP: usize = 256;
/// Event ids remembered, so that a re-post need not be stored twice.
const REMEMBERED: usize = 4096;
/// After so long a full disk is asked again whether there is room for another segment.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Reports of one request, in order.
pub type Request = Vec<(Lane, NewRecord)>;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// All of it is durable, now or since an earlier post.
    Durable,
    /// No room now.
    Full,
    /// A report is larger than the log takes.
    TooLarge,
    /// An id was used before for something else.
    Conflict(String),
    /// The disk failed.
    Failed(String),
}

struct Job {
    request: Request,
    reply: oneshot::Sender<Stored>,
}

/// A handle to the writing thread; the thread ends when the last handle is dropped.
#[derive(Debug, Clone)]
pub struct Writer {
    jobs: SyncSender<Job>,
}

impl Writer {
    /// Starts the thread. `news` is raised after each commit.
    pub(super) fn start(log: Arc<Mutex<Log>>, news: Arc<Signal>) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, waiting) = sync_channel(WAITING);
        let (wake, woken) = sync_channel(1);
        let shared = Arc::clone(&log);
        std::thread::Builder::new()
            .name("log-space".to_owned())
            .spawn(move || prepare(&woken, &shared))?;
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || write(&waiting, &log, &news, &wake))?;
        Ok((Self { jobs }, thread))
    }

    /// Stores a request; at most 64 KiB of ids and 256 reports are expected of the caller.
    pub async fn store(&self, request: Request) -> Stored {
        let (reply, answer) = oneshot::channel();
        match self.jobs.try_send(Job { request, reply }) {
            Ok(()) => answer
                .await
                .unwrap_or_else(|_| Stored::Failed("the writer stopped".to_owned())),
            Err(TrySendError::Full(_)) => Stored::Full,
            Err(TrySendError::Disconnected(_)) => Stored::Failed("the writer stopped".to_owned()),
        }
    }
}

fn write(waiting: &Receiver<Job>, log: &Mutex<Log>, news: &Signal, space: &SyncSender<()>) {
    let mut recent = Recent::default();
    let mut gather = None;
    while let Some(group) = group(waiting, gather) {
        let (answers, begun) = (group.len(), Instant::now());
        commit(group, log, &mut recent);
        gather = Gather::after(answers, begun.elapsed(), Instant::now());
        news.raise();
        // When it is awake already, it will look.
        let _ = space.try_send(());
    }
}

/// The next jobs to be committed together, at least one; `None` when there will be none any more.
fn group(waiting: &Receiver<Job>, gather: Option<Gather>) -> Option<Vec<Job>> {
    let mut group: Vec<Job> = waiting.try_iter().take(GROUP).collect();
    let enough = gather
        .map_or(0, |gather| group.len() + gather.answered)
        .min(GROUP);
    if group.is_empty() {
        group.push(waiting.recv().ok()?);
    }
    while let Some(gather) = gather
        && group.len() < enough
        && Instant::now() < gather.until
    {
        std::thread::sleep(gather.look);
        group.extend(waiting.try_iter().take(GROUP - group.len()));
    }
    group.extend(waiting.try_iter().take(GROUP - group.len()));
    Some(group)
}

/// Whom a slow disk waits for: those who have just been answered often post again at once, and when the disk is given
/// the first of them alone, all others wait for it twice. So after a slow commit the next one begins when as many have
/// come as were answered, or half the time of the last has passed.
#[derive(Debug, Clone, Copy)]
struct Gather {
    answered: usize,
    until: Instant,
    /// Between two looks at who has come; being woken for each would cost more than it saves.
    look: Duration,
}

impl Gather {
    /// A commit that takes less is over before it is worth to wait.
    const SLOW: Duration = Duration::from_millis(1);

    fn after(answered: usize, took: Duration, now: Instant) -> Option<Self> {
        (took >= Self::SLOW).then(|| Self {
            answered,
            until: now + (took / 2).min(Duration::from_millis(20)),
            look: (took / 32).min(Duration::from_millis(1)),
        })
    }
}

/// Makes segments before they are needed, until the writer is gone. The log is not held meanwhile.
fn prepare(woken: &Receiver<()>, log: &Mutex<Log>) {
    let hold = || log.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        loop {
            let Some(preparation) = hold().preparation() else {
                break;
            };
            let made = preparation.make();
            if !hold().prepared(made) {
                break;
            }
        }
        if woken.recv_timeout(ASK_AGAIN) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

/// Appends the new reports of all jobs lane by lane and answers each.
fn commit(group: Vec<Job>, log: &Mutex<Log>, recent: &mut Recent) {
    let mut lanes: [Vec<NewRecord>; 2] = Default::default();
    let mut touched = Vec::new();
    let mut fresh: HashMap<Key, Hash> = HashMap::new();
    for job in group {
        match recent.novel(&job.request, &fresh) {
            Err(id) => drop(job.reply.send(Stored::Conflict(id))),
            Ok(novel) => {
                let mut uses = [false; 2];
                for ((lane, record), (key, hash, known)) in job.request.into_iter().zip(novel) {
                    // A copy earlier in this group is not durable yet: share its fate.
                    uses[lane.index()] |= !known;
                    if !known && fresh.insert(key, hash).is_none() {
                        lanes[lane.index()].push(record);
                    }
                }
                touched.push((job.reply, uses));
            }
        }
    }
    let mut outcome = [Stored::Durable, Stored::Durable];
    {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        for lane in Lane::ALL {
            let records = std::mem::take(&mut lanes[lane.index()]);
            if !records.is_empty() {
                outcome[lane.index()] = stored(log.append(lane, records));
            }
        }
    }
    if outcome.iter().all(|o| *o == Stored::Durable) {
        recent.remember(fresh);
    }
    for (reply, uses) in touched {
        let bad = Lane::ALL
            .iter()
            .map(|l| l.index())
            .find(|i| uses[*i] && outcome[*i] != Stored::Durable);
        let answer = bad.map_or(Stored::Durable, |i| outcome[i].clone());
        // Whoever asked may have gone; the report is stored all the same.
        drop(reply.send(answer));
    }
}

fn stored(result: Result<(), AppendError>) -> Stored {
    match result {
        Ok(()) => Stored::Durable,
        Err(AppendError::Full) => Stored::Full,
        Err(AppendError::TooLarge { .. }) => Stored::TooLarge,
        Err(AppendError::Storage(error)) => {
            log::error!("the data partition refused to store reports, nobody is acknowledged: {error}");
            Stored::Failed(error.to_string())
        }
    }
}

type Key = (String, String);
type Hash = [u8; 32];

/// The ids stored last, with what was stored under them.
#[derive(Debug, Default)]
struct Recent {
    hashes: HashMap<Key, Hash>,
    order: VecDeque<Key>,
}

impl Recent {
    /// For each report its key, its hash and whether it is durable already; or the id that means something else.
    fn novel(&self, request: &Request, fresh: &HashMap<Key, Hash>) -> Result<Vec<(Key, Hash, bool)>, String> {
        request
            .iter()
            .map(|(_, record)| {
                let key = (record.source.clone(), record.id.clone());
                let hash: Hash = Sha256::digest(&record.event).into();
                let durable = self.hashes.get(&key);
                match durable.or_else(|| fresh.get(&key)) {
                    Some(other) if *other != hash => Err(key.1),
                    _ => Ok((key, hash, durable.is_some())),
                }
            })
            .collect()
    }

    fn remember(&mut self, fresh: HashMap<Key, Hash>) {
        for (key, hash) in fresh {
            if self.hashes.insert(key.clone(), hash).is_none() {
                self.order.push_back(key);
            }
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.hashes.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        let (reply, _) = oneshot::channel();
        Job {
            request: Vec::new(),
            reply,
        }
    }

    fn gather(answered: usize, wait: Duration) -> Gather {
        Gather {
            answered,
            until: Instant::now() + wait,
            look: Duration::from_millis(1),
        }
    }

    #[test]
    fn those_who_were_answered_are_waited_for() {
        // A sender goes on only when its job was taken, so they come one by one.
        let (jobs, waiting) = sync_channel(0);
        let posting = std::thread::spawn(move || (0..20).all(|_| jobs.send(job()).is_ok()));
        let group = group(&waiting, Some(gather(20, Duration::from_secs(60)))).unwrap();
        assert_eq!(group.len(), 20);
        assert!(posting.join().unwrap());
    }

    #[test]
    fn but_not_for_ever_and_not_in_vain() {
        let (jobs, waiting) = sync_channel(8);
        jobs.send(job()).unwrap();
        let over = Some(gather(5, Duration::ZERO));
        assert_eq!(group(&waiting, over).unwrap().len(), 1);
        jobs.send(job()).unwrap();
        jobs.send(job()).unwrap();
        assert_eq!(group(&waiting, None).unwrap().len(), 2);
        drop(jobs);
        assert!(group(&waiting, Some(gather(5, Duration::from_secs(60)))).is_none());
    }

    #[test]
    fn only_a_slow_disk_waits() {
        let now = Instant::now();
        assert!(Gather::after(9, Duration::from_micros(900), now).is_none());
        let after = Gather::after(9, Duration::from_millis(3), now).unwrap();
        assert_eq!(
            (after.answered, after.until - now),
            (9, Duration::from_micros(1500))
        );
    }
}

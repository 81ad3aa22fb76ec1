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
    let (mut early, mut gather) = (Vec::new(), None);
    while let Some(group) = group(waiting, early, gather) {
        let begun = Instant::now();
        let answers = commit(group, log, &mut recent);
        // Before anybody is answered, so that who posts again at once is not counted twice.
        early = waiting.try_iter().take(GROUP).collect();
        gather = Gather::after(early.len() + answers.len(), begun.elapsed(), Instant::now());
        for (reply, stored) in answers {
            // Whoever asked may have gone; the report is stored all the same.
            drop(reply.send(stored));
        }
        news.raise();
        // When it is awake already, it will look.
        let _ = space.try_send(());
    }
}

/// The next jobs to be committed together, at least one and first those that came early; `None` when there will be none
/// any more.
fn group(waiting: &Receiver<Job>, early: Vec<Job>, gather: Option<Gather>) -> Option<Vec<Job>> {
    let mut group = early;
    if group.is_empty() {
        group.push(waiting.recv().ok()?);
    }
    group.extend(waiting.try_iter().take(GROUP - group.len()));
    while let Some(gather) = gather
        && group.len() < gather.expected
        && Instant::now() < gather.until
    {
        std::thread::sleep(gather.look);
        group.extend(waiting.try_iter().take(GROUP - group.len()));
    }
    Some(group)
}

/// Whom a slow disk waits for: those who have just been answered often post again at once, and when the disk is given
/// the first of them alone, all others wait for it twice. So after a slow commit the next one begins when all who were
/// answered have come again, beside those who waited already, or half the time of the last has passed.
#[derive(Debug, Clone, Copy)]
struct Gather {
    expected: usize,
    until: Instant,
    /// Between two looks at who has come; being woken for each would cost more than it saves.
    look: Duration,
}

impl Gather {
    /// A commit that takes less is over before it is worth to wait.
    const SLOW: Duration = Duration::from_millis(1);

    fn after(expected: usize, took: Duration, now: Instant) -> Option<Self> {
        (took >= Self::SLOW).then(|| Self {
            expected: expected.min(GROUP),
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

/// Appends the new reports of all jobs lane by lane; what each is to be answered.
fn commit(group: Vec<Job>, log: &Mutex<Log>, recent: &mut Recent) -> Vec<(oneshot::Sender<Stored>, Stored)> {
    let mut answers = Vec::with_capacity(group.len());
    let mut lanes: [Vec<NewRecord>; 2] = Default::default();
    let mut touched = Vec::new();
    let mut fresh: HashMap<Print, Print> = HashMap::new();
    for job in group {
        match recent.novel(&job.request, &fresh) {
            Err(id) => answers.push((job.reply, Stored::Conflict(id))),
            Ok(novel) => {
                let mut uses = [false; 2];
                for ((lane, record), (key, event, known)) in job.request.into_iter().zip(novel) {
                    // A copy earlier in this group is not durable yet: share its fate.
                    uses[lane.index()] |= !known;
                    if !known && fresh.insert(key, event).is_none() {
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
        answers.push((reply, bad.map_or(Stored::Durable, |i| outcome[i].clone())));
    }
    answers
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

/// The first half of a SHA-256: two are alike by chance only among 2⁶⁴.
type Print = [u8; 16];

fn print(parts: &[&[u8]]) -> Print {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let whole: [u8; 32] = hash.finalize().into();
    std::array::from_fn(|nth| whole[nth])
}

/// The ids stored last, with what was stored under them; prints of both, because there are thousands.
#[derive(Debug, Default)]
struct Recent {
    events: HashMap<Print, Print>,
    order: VecDeque<Print>,
}

impl Recent {
    /// For each report the prints of its id and event and whether it is durable already; or the id that means something
    /// else.
    fn novel(
        &self,
        request: &Request,
        fresh: &HashMap<Print, Print>,
    ) -> Result<Vec<(Print, Print, bool)>, String> {
        request
            .iter()
            .map(|(_, record)| {
                // No source has a zero byte, so that nothing else is the same text.
                let key = print(&[record.source.as_bytes(), &[0], record.id.as_bytes()]);
                let event = print(&[&record.event]);
                let durable = self.events.get(&key);
                match durable.or_else(|| fresh.get(&key)) {
                    Some(other) if *other != event => Err(record.id.clone()),
                    _ => Ok((key, event, durable.is_some())),
                }
            })
            .collect()
    }

    fn remember(&mut self, fresh: HashMap<Print, Print>) {
        for (key, event) in fresh {
            if self.events.insert(key, event).is_none() {
                self.order.push_back(key);
            }
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.events.remove(&oldest);
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

    fn gather(expected: usize, wait: Duration) -> Gather {
        Gather {
            expected,
            until: Instant::now() + wait,
            look: Duration::from_millis(1),
        }
    }

    #[test]
    fn those_who_were_answered_are_waited_for_beside_those_who_came_early() {
        // A sender goes on only when its job was taken, so they come one by one.
        let (jobs, waiting) = sync_channel(0);
        let posting = std::thread::spawn(move || (0..20).all(|_| jobs.send(job()).is_ok()));
        let early = vec![job(), job()];
        let group = group(&waiting, early, Some(gather(22, Duration::from_secs(60)))).unwrap();
        assert_eq!(group.len(), 22);
        assert!(posting.join().unwrap());
    }

    #[test]
    fn but_not_for_ever_and_not_in_vain() {
        let (jobs, waiting) = sync_channel(8);
        jobs.send(job()).unwrap();
        let over = Some(gather(5, Duration::ZERO));
        assert_eq!(group(&waiting, Vec::new(), over).unwrap().len(), 1);
        jobs.send(job()).unwrap();
        jobs.send(job()).unwrap();
        assert_eq!(group(&waiting, Vec::new(), None).unwrap().len(), 2);
        drop(jobs);
        let long = Some(gather(5, Duration::from_secs(60)));
        assert!(group(&waiting, Vec::new(), long).is_none());
    }

    #[test]
    fn who_posts_again_at_once_is_waited_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let disk = crate::forward::log::Disk::new(folder.path()).unwrap();
        let log = Log::open(Box::new(disk), crate::forward::log::Config::default()).unwrap();
        let (reply, mut answer) = oneshot::channel();
        let asked = vec![Job {
            request: Vec::new(),
            reply,
        }];
        let answers = commit(asked, &Mutex::new(log), &mut Recent::default());
        assert_eq!(answers.len(), 1);
        assert!(
            answer.try_recv().is_err(),
            "nobody may post again before those who wait were counted"
        );
    }

    #[test]
    fn only_a_slow_disk_waits() {
        let now = Instant::now();
        assert!(Gather::after(9, Duration::from_micros(900), now).is_none());
        let after = Gather::after(900, Duration::from_millis(3), now).unwrap();
        assert_eq!(
            (after.expected, after.until - now),
            (GROUP, Duration::from_micros(1500))
        );
    }
}

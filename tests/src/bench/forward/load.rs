//! The load: many posters in one thread, each with so many reports on their way as its window allows, and the next
//! one sent as soon as an answer comes.
//!
//! Invariant: a report counts as acknowledged only when its own answer was heard.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::time::{ClockId, clock_gettime};
use rustls::ClientConfig;

use super::pipe::Pipe;
use super::wire::{Answer, Wire};

/// Events taken from the kernel at once.
const EVENTS: usize = 256;
/// Numbers of reports, so that no two of a run have one id.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What is posted and how long.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) address: SocketAddr,
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// Connections.
    pub(super) posters: usize,
    /// Reports of one connection that wait for their answers.
    pub(super) window: usize,
    /// Before what is counted.
    pub(super) warm_up: Duration,
    /// What is counted.
    pub(super) length: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Numbers of all reports that were acknowledged, in the warm-up too.
    pub(super) acknowledged: Vec<u64>,
    /// For those acknowledged while it counted, how long each took, sorted.
    latencies: Vec<Duration>,
    /// How long it counted.
    counted: Duration,
    /// Answers that asked to come again later.
    pub(super) refused: u64,
    /// Connections that the other side ended.
    pub(super) broken: usize,
    /// Processor time of the load itself.
    pub(super) cpu: Duration,
}

impl Outcome {
    /// Acknowledged reports a second.
    pub(super) fn rate(&self) -> f64 {
        float(self.latencies.len()) / self.counted.as_secs_f64()
    }

    /// The latency that so many of a thousand do not exceed, in milliseconds.
    pub(super) fn latency(&self, per_mille: usize) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = (self.latencies.len() * per_mille / 1000).min(last);
        self.latencies
            .get(at)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    }
}

/// A count as a float; counts here are far below 2⁵².
pub(super) fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// Posts as planned; ends early when every connection was ended by the other side.
///
/// # Errors
/// When it cannot connect, or an answer is neither an acknowledgement nor a wish to come later.
pub(super) fn run<W: Wire>(plan: &Plan, wire: impl Fn() -> W) -> anyhow::Result<Outcome> {
    let cpu = thread_cpu();
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut posters = Vec::with_capacity(plan.posters);
    for nth in 0..plan.posters {
        let pipe = Pipe::open(plan.address, plan.tls.as_ref())
            .with_context(|| format!("poster {} cannot connect to {}", nth + 1, plan.address))?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&poll, &pipe.socket, epoll::EventData::new_u64(nth as u64), flags)?;
        posters.push(Poster::new(pipe, wire(), plan.window));
    }
    let begin = Instant::now() + plan.warm_up;
    let end = begin + plan.length;
    let mut tally = Tally {
        outcome: Outcome::default(),
        begin,
    };
    for poster in &mut posters {
        poster.start()?;
    }
    let mut events = Vec::with_capacity(EVENTS);
    while Instant::now() < end && tally.outcome.broken < plan.posters {
        let wait = posters.iter().filter_map(|poster| poster.pause).min();
        let wait = wait
            .unwrap_or(end)
            .min(end)
            .saturating_duration_since(Instant::now());
        // At least a millisecond, so that a pause that is nearly over is not a loop.
        let wait = Timespec::try_from(wait.max(Duration::from_millis(1)))?;
        events.clear();
        epoll::wait(&poll, spare_capacity(&mut events), Some(&wait))?;
        for event in &events {
            let data = event.data;
            if let Some(poster) = usize::try_from(data.u64())
                .ok()
                .and_then(|nth| posters.get_mut(nth))
            {
                poster.turn(&mut tally)?;
            }
        }
        for poster in posters.iter_mut().filter(|poster| poster.pause.is_some()) {
            poster.resume()?;
        }
    }
    let mut outcome = tally.outcome;
    outcome.counted = Instant::now().saturating_duration_since(begin).min(plan.length);
    outcome.latencies.sort_unstable();
    outcome.cpu = thread_cpu().saturating_sub(cpu);
    ensure!(!outcome.acknowledged.is_empty(), "nothing was acknowledged");
    Ok(outcome)
}

struct Tally {
    outcome: Outcome,
    begin: Instant,
}

/// One connection.
struct Poster<W> {
    /// `None` once the other side has ended it.
    pipe: Option<Pipe>,
    wire: W,
    window: usize,
    greeting: bool,
    /// Numbers that wait for their answers, and since when.
    waiting: VecDeque<(u64, Instant)>,
    /// To be sent again when the pause is over.
    again: VecDeque<u64>,
    pause: Option<Instant>,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl<W: Wire> Poster<W> {
    fn new(pipe: Pipe, wire: W, window: usize) -> Self {
        Self {
            pipe: Some(pipe),
            wire,
            window,
            greeting: false,
            waiting: VecDeque::new(),
            again: VecDeque::new(),
            pause: None,
            input: Vec::new(),
            output: Vec::new(),
        }
    }

    fn start(&mut self) -> anyhow::Result<()> {
        match (self.wire.hello(), &mut self.pipe) {
            (Some(hello), Some(pipe)) => {
                self.greeting = true;
                Ok(pipe.send(&hello)?)
            }
            _ => self.fill(),
        }
    }

    /// Sends until the window is full.
    fn fill(&mut self) -> anyhow::Result<()> {
        while self.pause.is_none() && self.waiting.len() < self.window {
            let Some(pipe) = &mut self.pipe else {
                return Ok(());
            };
            let k = self.again.pop_front();
            let k = k.unwrap_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed));
            self.output.clear();
            self.wire.say(k, &mut self.output);
            self.waiting.push_back((k, Instant::now()));
            if pipe.send(&self.output).is_err() {
                // Whoever ended it is noticed when its end is read.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes what has come, and goes on.
    fn turn(&mut self, tally: &mut Tally) -> anyhow::Result<()> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(());
        };
        // A reset is an end as well.
        let open = pipe
            .flush()
            .and_then(|()| pipe.receive(&mut self.input))
            .unwrap_or(false);
        while let Some((answer, length)) = self.wire.hear(&self.input)? {
            self.input.drain(..length);
            if std::mem::take(&mut self.greeting) {
                continue;
            }
            let (k, since) = self.waiting.pop_front().context("an answer to nothing")?;
            let now = Instant::now();
            match answer {
                Answer::Taken => {
                    tally.outcome.acknowledged.push(k);
                    if now >= tally.begin {
                        tally.outcome.latencies.push(now - since);
                    }
                }
                Answer::Later(wait) => {
                    tally.outcome.refused += 1;
                    self.again.push_back(k);
                    self.pause = Some(now + wait);
                }
            }
        }
        if !open {
            self.pipe = None;
            self.pause = None;
            tally.outcome.broken += 1;
            return Ok(());
        }
        if self.greeting {
            return Ok(());
        }
        self.fill()
    }

    fn resume(&mut self) -> anyhow::Result<()> {
        if self.pause.is_some_and(|until| until <= Instant::now()) {
            self.pause = None;
            return self.fill();
        }
        Ok(())
    }
}

fn thread_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

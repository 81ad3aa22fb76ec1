//! Delivery to the service centre: one request in flight, alerts first, until the receipt for it comes.
//!
//! Invariants
//! - The cursor moves only behind what a receipt with our own key and count confirms, or what was written down as a
//!   dead letter (`hunt` says when that may be). Whatever else answers (a captive portal's 200, a proxy's page, a
//!   redirect) is trouble and not delivery.
//! - After each request the lanes are looked at anew, the alerts' first: an alert waits for the post in flight at most,
//!   while delivery works.
//!
//! `client` is the one way to the centre, `deliver` what is done in a lane, `upload` what is done with data files when
//! nothing waits in the lanes, this file the loop around them; the lower half of `client` is `crate::client`. Decisions
//! are pure: `hunt`, `encoding`, `backoff`. The protocol is in docs/protocol.md.

pub(in crate::forward) mod answer;
pub(crate) mod backoff;
mod batch;
pub(in crate::forward) mod client;
mod deliver;
pub mod encoding;
mod hunt;
mod notice;
pub(in crate::forward) mod receipt;
mod trouble;
mod upload;
mod voice;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::answer::Answer;
use self::backoff::{Pause, random_fraction};
use self::batch::Size;
use self::client::{Client, Request, Way};
use self::deliver::Course;
use self::encoding::{Codings, Encoding};
use self::notice::Notices;
use self::trouble::Trouble;
use self::upload::Uploads;
use self::voice::Voice;
use super::clock;
use super::courier::Inbox;
use super::files;
use super::lane::Lane;
use super::log::{Log, NewRecord, Record};
use super::signal::Signal;
use crate::client::meter::Meter;
use crate::moment;

/// Where batches are posted, below the service centre's URL.
pub const PATH: &str = "/v1/batches";

/// The longest pause of a site on trial until the centre has answered.
const TRIAL_PAUSE: Duration = Duration::from_secs(10);
/// With nothing to do the clocks and certificates are looked at this often.
const LOOK_ROUND: Duration = Duration::from_secs(60);

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a TCP connection, its TLS handshake, and each read or write.
    pub step: Duration,
    /// The longest pause after the first failure; doubled with each further one.
    pub first_pause: Duration,
    /// The longest pause at all.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            step: Duration::from_secs(30),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// How delivery goes. What is counted is counted since the forwarder started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// What keeps it from working, in words; `None` while it works.
    pub trouble: Option<String>,
    /// The last trouble, kept after it is over, and when it was there last, milliseconds since 1970 by the box's clock.
    pub last_error: Option<(String, u64)>,
    /// What may become trouble, or may be its cause: the end of `device.crt`, clocks that differ.
    pub warnings: Vec<String>,
    /// When the last receipt came, milliseconds since 1970 by the box's clock.
    pub delivered_at: Option<u64>,
    /// Reports with a receipt.
    pub delivered: u64,
    /// Reports set aside as dead letters because the centre refuses them.
    pub refused: u64,
    /// When the service centre last answered over TLS, whatever it answered, in milliseconds since boot.
    pub exchanged: Option<u64>,
    /// When the next attempt is due after a failure, in milliseconds since boot; `None` while nothing is waited for.
    pub next_try: Option<u64>,
    /// Failures in a row.
    pub failures: u32,
    /// Bytes sent to the centre, with TLS's and without those of TCP and below.
    pub sent_bytes: u64,
    /// Bytes received from it, likewise.
    pub received_bytes: u64,
    /// Bytes of the batches with a receipt before compression.
    pub payload_bytes: u64,
    /// Bytes of the batches with a receipt as they were sent.
    pub compressed_bytes: u64,
    /// How batches are compressed at present.
    pub encoding: Encoding,
}

impl Progress {
    /// Fills in what the meter counts.
    pub(super) fn metered(mut self, meter: &Meter) -> Self {
        let total = meter.read();
        self.sent_bytes = total.sent;
        self.received_bytes = total.received;
        self
    }
}

/// What the delivering thread is given.
pub(super) struct Parts {
    pub(super) log: Arc<Mutex<Log>>,
    pub(super) files: files::Shared,
    pub(super) signal: Arc<Signal>,
    pub(super) progress: Arc<Mutex<Progress>>,
    pub(super) meter: Arc<Meter>,
    pub(super) way: Way,
    /// Where directives in receipts go.
    pub(super) inbox: Option<Inbox>,
    /// The box's own `source`, `/SITE`.
    pub(super) source: Option<String>,
    /// Whether the site is on trial: then the first answer of the centre is waited for.
    pub(super) on_trial: bool,
}

/// The delivering thread's state.
pub(super) struct Uplink {
    log: Arc<Mutex<Log>>,
    signal: Arc<Signal>,
    progress: Arc<Mutex<Progress>>,
    client: Client,
    inbox: Option<Inbox>,
    patience: Patience,
    on_trial: bool,
    courses: [Course; 2],
    uploads: Uploads,
    codings: Codings,
    size: Size,
    notices: Notices,
    voice: Voice,
    failures: u32,
    /// Reports accepted in all, duplicates too: what a refusal is held against.
    accepted: u64,
    /// The last report that was accepted, and its lane: what the centre accepted once it accepts again.
    probe: Option<(Lane, Record)>,
    /// How often one was sent for that alone.
    probes: usize,
}

/// What a step of the loop came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Did {
    /// One request, and there may be more to do.
    Something,
    /// There was nothing to do.
    Nothing,
}

impl Uplink {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            patience: parts.way.patience,
            size: Size::new(parts.way.rate_limit),
            uploads: Uploads::new(parts.files, parts.way.rate_limit),
            client: Client::new(parts.way, parts.meter),
            inbox: parts.inbox,
            log: parts.log,
            signal: parts.signal,
            progress: parts.progress,
            on_trial: parts.on_trial,
            courses: Default::default(),
            codings: Codings::default(),
            notices: Notices::new(parts.source),
            voice: Voice::default(),
            failures: 0,
            accepted: 0,
            probe: None,
            probes: 0,
        }
    }

    /// Delivers until told to stop.
    pub(super) fn run(mut self) {
        self.look_round();
        loop {
            let outcome = self.step();
            self.look_round();
            let go_on = match outcome {
                Ok(did) => {
                    self.tell(None);
                    match did {
                        Did::Something => self.signal.pause(Duration::ZERO),
                        Did::Nothing => self.idle(),
                    }
                }
                Err(trouble) => self.wait_out(&trouble),
            };
            if !go_on {
                return;
            }
        }
    }

    /// Does the most urgent thing there is to do: at most one request.
    fn step(&mut self) -> Result<Did, Trouble> {
        for lane in Lane::ALL {
            let rests = self.resting(lane, moment::since_boot()).is_some();
            if !rests && self.deliver(lane)? == Did::Something {
                return Ok(Did::Something);
            }
        }
        // Then the loop looks at the lanes again.
        self.upload()
    }

    /// Sends one request of any kind.
    fn send(&self, request: &Request<'_>) -> Result<Answer, Trouble> {
        let answer = self.client.send(request)?;
        // An answer of any kind came through TLS from who has the centre's key: the network is right.
        self.progress().exchanged = Some(clock::since_boot_ms());
        Ok(answer)
    }

    /// Says what may become trouble, and tells the centre of what was set aside.
    fn look_round(&mut self) {
        let warnings = self.client.times().warnings();
        self.voice.warnings(&warnings);
        self.progress().warnings = warnings;
        if let Some(notice) = self.notices.due(moment::since_boot()) {
            self.queue(Lane::Routine, notice);
        }
    }

    /// Puts a report of the box's own into a lane.
    fn queue(&self, lane: Lane, notice: NewRecord) {
        if let Err(error) = self.log().append(lane, vec![notice]) {
            log::warn!("the service centre cannot be told of refused reports: {error}");
        }
    }

    /// Waits until there is something to do, or a resting lane's time has come. Returns whether to go on.
    fn idle(&mut self) -> bool {
        let now = moment::since_boot();
        let rests = Lane::ALL.iter().filter_map(|lane| self.resting(*lane, now));
        let rests = rests.chain(self.uploads.resting(now));
        let next = rests.min();
        self.progress().next_try = next.map(ms);
        let limit = next.map_or(LOOK_ROUND, |at| at.saturating_sub(now));
        let go_on = self.signal.wait_for_news(limit.min(LOOK_ROUND));
        self.progress().next_try = None;
        go_on
    }

    /// Waits after a failure. Returns whether to go on.
    fn wait_out(&mut self, trouble: &Trouble) -> bool {
        self.tell(Some(&trouble.words));
        let pause = backoff::pause(&self.patience(), self.failures, random_fraction(), trouble.asked);
        self.failures = self.failures.saturating_add(1);
        self.progress().failures = self.failures;
        self.pause(pause)
    }

    /// Waits, but not for longer than an alert may that comes meanwhile. Returns whether to go on.
    fn pause(&self, pause: Pause) -> bool {
        let begun = moment::since_boot();
        let alerts = self.log().waiting(Lane::Alert);
        let mut until = begun + pause.whole;
        loop {
            let left = until.saturating_sub(moment::since_boot());
            self.progress().next_try = (!left.is_zero()).then(|| ms(until));
            if left.is_zero() {
                return self.signal.pause(Duration::ZERO);
            }
            if !self.signal.wait_for_news(left) {
                return false;
            }
            if self.log().waiting(Lane::Alert) > alerts {
                until = until.min(begun + pause.for_alert);
            }
        }
    }

    /// Says how it goes: `link` is what keeps everything from being delivered.
    fn tell(&mut self, link: Option<&str>) {
        let resting = || self.courses.iter().find_map(Course::trouble);
        let trouble = link.or_else(resting).map(str::to_owned);
        match &trouble {
            Some(text) => self.voice.trouble(text),
            None => self.voice.fine(),
        }
        let mut progress = self.progress();
        if let Some(text) = &trouble {
            progress.last_error = Some((text.clone(), clock::now_ms()));
        }
        progress.trouble = trouble;
    }

    /// How long to wait now: on trial the network has two minutes to be confirmed in.
    fn patience(&self) -> Patience {
        let mut patience = self.patience;
        if self.on_trial && self.progress().exchanged.is_none() {
            patience.longest_pause = patience.longest_pause.min(TRIAL_PAUSE);
        }
        patience
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ms(since_boot: Duration) -> u64 {
    u64::try_from(since_boot.as_millis()).unwrap_or(u64::MAX)
}

//! What is done in one lane: the next portion is packed and posted, and the answer decides what becomes of it.

use std::time::Duration;

use ureq::http::Method;

use super::answer::{Failure, Refusal};
use super::backoff::{full_jitter, random_fraction};
use super::batch::{self, MOST_REPORTS, Parcel};
use super::client::Request;
use super::hunt::{Hunt, Portion, Verdict};
use super::meter::Amounts;
use super::trouble::Trouble;
use super::{Did, PATH, Uplink, receipt};
use crate::forward::clock;
use crate::forward::lane::Lane;
use crate::forward::log::{Batch, Record};
use crate::moment;

/// How it goes in a lane.
#[derive(Debug, Default)]
pub(super) struct Course {
    pub(super) hunt: Hunt,
    /// Until then, since boot, nothing of the lane is sent, unless a report comes that may help.
    rest_until: Duration,
    /// Reports that waited in the lane when it began to rest.
    waiting: u64,
    /// Rests in a row.
    rests: u32,
    /// Why it rests, in words.
    pub(super) trouble: Option<String>,
}

impl Uplink {
    /// Whether the lane does not rest; a lane in which nothing waits does not.
    pub(super) fn is_due(&self, lane: Lane) -> bool {
        self.resting(lane, moment::since_boot()).is_none()
    }

    /// Until when, since boot, the lane rests, if it does.
    pub(super) fn resting(&self, lane: Lane, now: Duration) -> Option<Duration> {
        let course = &self.courses[lane.index()];
        let another = course.hunt.wants_another() && self.log().waiting(lane) > course.waiting;
        (now < course.rest_until && !another).then_some(course.rest_until)
    }

    /// Sends one portion of the lane, if something waits in it.
    pub(super) fn deliver(&mut self, lane: Lane) -> Result<Did, Trouble> {
        let Some((mut batch, portion)) = self.next(lane)? else {
            return Ok(Did::Nothing);
        };
        let Some(records) = batch.records.get(portion.skip..).filter(|rest| !rest.is_empty()) else {
            let verdict = self.hunt(lane).ended();
            self.follow(lane, verdict)?;
            return Ok(Did::Nothing);
        };
        let parcel = batch::pack(records, &self.size, self.codings.current()).map_err(unreadable)?;
        let verdict = match self.post(lane, &parcel) {
            Ok(()) => {
                batch.truncate(portion.skip + parcel.count);
                self.accept(lane, batch, portion.skip, &parcel)?;
                return Ok(Did::Something);
            }
            Err(Failure::Trouble(trouble)) => return Err(trouble),
            Err(Failure::Coding(accepts)) => {
                if !self.codings.refused(accepts.as_deref()) {
                    let words = "the service centre takes neither zstd nor gzip (HTTP 415)";
                    return Err(Trouble::new(words));
                }
                self.progress().encoding = self.codings.current();
                log::info!(
                    "batches are sent as {} from now on",
                    self.codings.current().as_str()
                );
                return Ok(Did::Something);
            }
            Err(Failure::Refused(refusal)) => self.refuse(lane, records, &parcel, &refusal),
        };
        self.follow(lane, verdict)?;
        Ok(Did::Something)
    }

    /// The lane's oldest reports, and which of them come next; nothing when the lane is empty.
    fn next(&mut self, lane: Lane) -> Result<Option<(Batch, Portion)>, Trouble> {
        let portion = self.hunt(lane).portion(MOST_REPORTS);
        let (count, bytes) = match portion.skip {
            0 => (portion.most, self.size.to_read()),
            // Few, and they have to be passed over, however large they are.
            skip => (skip + portion.most, usize::MAX),
        };
        let batch = self.log().peek(lane, count, bytes).map_err(unreadable)?;
        let oldest = batch.records.iter().map(|record| record.seq);
        self.hunt(lane).look(oldest);
        if batch.records.is_empty() {
            return Ok(None);
        }
        let portion = self.hunt(lane).portion(MOST_REPORTS);
        Ok(Some((batch, portion)))
    }

    fn post(&self, lane: Lane, parcel: &Parcel) -> Result<(), Failure> {
        let answer = self.send(&Request {
            method: Method::POST,
            path: PATH,
            headers: &[
                ("content-type", "application/cloudevents-batch+json"),
                ("content-encoding", parcel.encoding.as_str()),
                ("accept", receipt::MEDIA_TYPE),
                ("idempotency-key", &parcel.key),
                ("rap-lane", lane.as_str()),
            ],
            body: &parcel.body,
        })?;
        if answer.status != 200 || !answer.is_of_type(receipt::MEDIA_TYPE) {
            return Err(answer.failure());
        }
        if !receipt::is_for(answer.body()?, &parcel.key, parcel.count) {
            return Err(Trouble::new("the service centre's receipt is for something else").into());
        }
        Ok(())
    }

    /// A receipt came for `batch` behind its first `skip` reports.
    fn accept(&mut self, lane: Lane, batch: Batch, skip: usize, parcel: &Parcel) -> Result<(), Trouble> {
        let count = parcel.count as u64;
        self.accepted += count;
        self.failures = 0;
        self.codings.taken();
        self.size.taken();
        self.meter.add(Amounts {
            reports: count,
            ..Amounts::default()
        });
        {
            let mut progress = self.progress();
            progress.failures = 0;
            progress.delivered_at = Some(clock::now_ms());
            progress.delivered += count;
            progress.payload_bytes += parcel.plain as u64;
            progress.compressed_bytes += parcel.body.len() as u64;
        }
        let verdict = self.hunt(lane).accepted(skip, parcel.count);
        if skip == 0 {
            self.advance(lane, &batch);
            return self.follow(lane, verdict);
        }
        self.follow(lane, verdict)?;
        // Those before it are dead letters now, and it is the oldest.
        let mut oldest = self
            .log()
            .peek(lane, parcel.count, usize::MAX)
            .map_err(unreadable)?;
        let delivered = batch.records.get(skip..).unwrap_or_default();
        let same = oldest
            .records
            .iter()
            .zip(delivered)
            .take_while(|(a, b)| a.seq == b.seq);
        let count = same.count();
        oldest.truncate(count);
        self.advance(lane, &oldest);
        Ok(())
    }

    /// The content of a parcel was refused.
    fn refuse(&mut self, lane: Lane, records: &[Record], parcel: &Parcel, refusal: &Refusal) -> Verdict {
        let accepted = self.accepted;
        match records {
            _ if parcel.count > 1 && refusal.status == 413 => {
                self.size.too_large(parcel.body.len());
                Verdict::GoOn
            }
            [only, ..] if parcel.count == 1 => {
                self.hunt(lane).refused(only.seq, refusal.to_string(), accepted)
            }
            _ => {
                self.hunt(lane).refused_together(parcel.count, accepted);
                Verdict::GoOn
            }
        }
    }

    /// Does what the hunt says.
    fn follow(&mut self, lane: Lane, verdict: Verdict) -> Result<(), Trouble> {
        match verdict {
            Verdict::GoOn => {}
            Verdict::SetAside(reasons) => self.set_aside(lane, &reasons)?,
            Verdict::Rest => {
                self.rest(lane)?;
                return Ok(());
            }
        }
        let course = &mut self.courses[lane.index()];
        if course.hunt.suspects() == 0 {
            (course.rests, course.rest_until, course.trouble) = (0, Duration::ZERO, None);
        }
        self.tell(None);
        Ok(())
    }

    /// Moves the lane's oldest reports to the dead letters, one for each reason.
    fn set_aside(&mut self, lane: Lane, reasons: &[String]) -> Result<(), Trouble> {
        for reason in reasons {
            let one = self.log().peek(lane, 1, 0).map_err(unreadable)?;
            let buried = self.log().bury(lane, &one, reason, clock::now_ms());
            buried.map_err(|e| {
                Trouble::new(format!("a refused report cannot be kept as a dead letter: {e}"))
            })?;
            for record in &one.records {
                self.notices.note(lane, record, reason);
                self.progress().refused += 1;
            }
        }
        Ok(())
    }

    /// Lets the lane rest: longer each time.
    fn rest(&mut self, lane: Lane) -> Result<(), Trouble> {
        let oldest = self.log().peek(lane, 1, 0).map_err(unreadable)?;
        let (waiting, patience) = (self.log().waiting(lane), self.patience());
        let course = &mut self.courses[lane.index()];
        let pause = full_jitter(&patience, course.rests, random_fraction());
        course.rests = course.rests.saturating_add(1);
        course.rest_until = moment::since_boot() + pause;
        course.waiting = waiting;
        let reason = course.hunt.first_reason().unwrap_or_default();
        let words = match (oldest.records.first(), course.hunt.suspects()) {
            (Some(only), 1) => format!(
                "the service centre refuses report {} of {} ({reason}), and has taken no other since",
                only.id, only.source
            ),
            (_, count) => format!(
                "the service centre refuses each of the first {count} reports of the {} lane, the first with {reason}",
                lane.as_str()
            ),
        };
        course.trouble = Some(words);
        self.tell(None);
        Ok(())
    }

    fn advance(&self, lane: Lane, batch: &Batch) {
        if let Err(error) = self.log().advance(lane, batch) {
            log::error!("how far delivery came could not be stored, a restart will send again: {error}");
        }
    }

    fn hunt(&mut self, lane: Lane) -> &mut Hunt {
        &mut self.courses[lane.index()].hunt
    }
}

fn unreadable(error: std::io::Error) -> Trouble {
    Trouble::new(format!("the log cannot be read: {error}"))
}

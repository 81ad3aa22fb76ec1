//! What is done in one lane: the next portion is packed and posted, and the answer decides what becomes of it.

use std::time::Duration;

use ureq::http::Method;

use super::answer::{Failure, Refusal};
use super::backoff::{full_jitter, random_fraction};
use super::batch::{self, MOST_REPORTS, Parcel};
use super::client::Request;
use super::hunt::{Hunt, Verdict};
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
    rest: Option<Rest>,
    /// Rests in a row.
    rests: u32,
}

/// A lane rests because its oldest report is refused, and nobody knows whose fault that is.
#[derive(Debug)]
struct Rest {
    /// Since boot.
    until: Duration,
    /// How many reports had been accepted in all: when it is more, the report is asked about again at once.
    accepted: u64,
    /// Why, in words.
    trouble: String,
}

impl Course {
    /// Why it rests, in words.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.rest.as_ref().map(|rest| rest.trouble.as_str())
    }
}

impl Uplink {
    /// Until when, since boot, the lane rests, if it does.
    pub(super) fn resting(&self, lane: Lane, now: Duration) -> Option<Duration> {
        let rest = self.courses[lane.index()].rest.as_ref()?;
        (now < rest.until && self.accepted == rest.accepted).then_some(rest.until)
    }

    /// Sends one portion of the lane, if something waits in it.
    pub(super) fn deliver(&mut self, lane: Lane) -> Result<Did, Trouble> {
        let Some(mut batch) = self.next(lane)? else {
            return Ok(Did::Nothing);
        };
        let parcel =
            batch::pack(&batch.records, &self.size, self.codings.current(), 0).map_err(unreadable)?;
        batch.truncate(parcel.count);
        match self.post(lane, &parcel) {
            Ok(()) => self.accept(lane, &batch, &parcel),
            Err(Failure::Trouble(trouble)) => return Err(trouble),
            Err(Failure::Coding(accepts)) => self.change_coding(accepts.as_deref())?,
            Err(Failure::Refused(refusal)) => self.refuse(lane, &batch, &parcel, &refusal)?,
        }
        Ok(Did::Something)
    }

    /// The lane's next portion; nothing when the lane is empty.
    fn next(&mut self, lane: Lane) -> Result<Option<Batch>, Trouble> {
        let bytes = self.size.to_read();
        let mut batch = self.log().peek(lane, MOST_REPORTS, bytes).map_err(unreadable)?;
        let Some(oldest) = batch.records.first() else {
            return Ok(None);
        };
        let hunt = self.hunt(lane);
        hunt.look(oldest.seq);
        batch.truncate(hunt.portion(MOST_REPORTS));
        Ok(Some(batch))
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
        if let Some(inbox) = &self.inbox {
            inbox.put(answer.body()?);
        }
        Ok(())
    }

    /// A receipt came for `batch`, the oldest of the lane.
    fn accept(&mut self, lane: Lane, batch: &Batch, parcel: &Parcel) {
        let count = parcel.count as u64;
        if let Err(error) = self.log().advance(lane, batch) {
            log::error!("how far delivery came could not be stored, a restart will send again: {error}");
        }
        self.accepted += count;
        self.probe = batch.records.last().map(|record| (lane, record.clone()));
        self.failures = 0;
        self.codings.taken();
        self.size.taken();
        self.hunt(lane).accepted(parcel.count);
        self.rested(lane);
        let mut progress = self.progress();
        progress.failures = 0;
        progress.delivered_at = Some(clock::now_ms());
        progress.delivered += count;
        progress.payload_bytes += parcel.plain as u64;
        progress.compressed_bytes += parcel.body.len() as u64;
    }

    /// The content coding was refused: another is used, if there is one.
    fn change_coding(&mut self, accepts: Option<&str>) -> Result<(), Trouble> {
        if !self.codings.refused(accepts) {
            return Err(Trouble::new(
                "the service centre takes neither zstd nor gzip (HTTP 415)",
            ));
        }
        let coding = self.codings.current();
        self.progress().encoding = coding;
        log::info!("batches are sent as {} from now on", coding.as_str());
        Ok(())
    }

    /// The content of `batch`, the oldest of the lane, was refused.
    fn refuse(
        &mut self,
        lane: Lane,
        batch: &Batch,
        parcel: &Parcel,
        refusal: &Refusal,
    ) -> Result<(), Trouble> {
        let [only] = batch.records.as_slice() else {
            match refusal.status {
                413 => self.size.too_large(parcel.body.len()),
                _ => self.hunt(lane).refused_together(parcel.count),
            }
            return Ok(());
        };
        let accepted = self.accepted;
        match self.hunt(lane).refused(only.seq, refusal.to_string(), accepted) {
            Verdict::SetAside(reason) => self.set_aside(lane, batch, &reason),
            Verdict::Probe => self.probe(lane, only),
        }
    }

    /// Moves `batch`, the oldest of the lane, to the dead letters.
    fn set_aside(&mut self, lane: Lane, batch: &Batch, reason: &str) -> Result<(), Trouble> {
        let buried = self.log().bury(lane, batch, reason, clock::now_ms());
        buried.map_err(|e| Trouble::new(format!("a refused report cannot be kept as a dead letter: {e}")))?;
        for record in &batch.records {
            self.notices.note(lane, record, reason);
        }
        self.progress().refused += batch.records.len() as u64;
        self.rested(lane);
        Ok(())
    }

    /// Sees whether the centre accepts anything, while it refuses `suspect`: a report it accepted before is sent once
    /// more. Where there is none since start, and this is the first such case, the box says in the other lane that it
    /// has a refused report: that is one which may be accepted.
    fn probe(&mut self, lane: Lane, suspect: &Record) -> Result<(), Trouble> {
        let Some((of, record)) = self.probe.clone() else {
            let reason = self.courses[lane.index()].hunt.suspicion();
            if let Some(notice) = self.notices.doubt(lane, suspect, reason) {
                let other = if lane == Lane::Alert {
                    Lane::Routine
                } else {
                    Lane::Alert
                };
                self.queue(other, notice);
            }
            self.rest(
                lane,
                suspect,
                "and has taken no other since the forwarder started",
            );
            return Ok(());
        };
        self.probes += 1;
        let coding = self.codings.current();
        let parcel = batch::pack(&[record], &self.size, coding, self.probes).map_err(unreadable)?;
        match self.post(of, &parcel) {
            Ok(()) => self.accepted += 1,
            Err(Failure::Trouble(trouble)) => return Err(trouble),
            Err(Failure::Coding(accepts)) => self.change_coding(accepts.as_deref())?,
            Err(Failure::Refused(_)) => {
                self.rest(lane, suspect, "and now even what it took before");
            }
        }
        Ok(())
    }

    /// Lets the lane rest: longer each time, until the centre accepts something.
    fn rest(&mut self, lane: Lane, suspect: &Record, besides: &str) {
        let (patience, accepted) = (self.patience(), self.accepted);
        let course = &mut self.courses[lane.index()];
        let pause = full_jitter(&patience, course.rests, random_fraction());
        course.rests = course.rests.saturating_add(1);
        let reason = course.hunt.suspicion().unwrap_or_default();
        let trouble = format!(
            "the service centre refuses report {} of {} ({reason}), {besides}",
            suspect.id, suspect.source
        );
        course.rest = Some(Rest {
            until: moment::since_boot() + pause,
            accepted,
            trouble,
        });
    }

    fn rested(&mut self, lane: Lane) {
        let course = &mut self.courses[lane.index()];
        (course.rest, course.rests) = (None, 0);
    }

    fn hunt(&mut self, lane: Lane) -> &mut Hunt {
        &mut self.courses[lane.index()].hunt
    }
}

fn unreadable(error: std::io::Error) -> Trouble {
    Trouble::new(format!("the log cannot be read: {error}"))
}

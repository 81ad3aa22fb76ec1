//! The log and everybody around it: an agent that posts again what was refused, a service centre that keeps what it
//! gets, somebody else who fills the disk, and damage. What must hold is in `promises`.

use std::collections::{HashMap, HashSet};

use super::super::frame::{self, Owner};
use super::super::*;
use super::history::Act;
use super::promises::{Check, ensure, frames, record_of};
use super::sim::{End, Mutant, SECTOR, SimDisk};

/// A report's source and id.
pub(super) type Key = (String, String);

/// Rounds after which draining would never end.
const ROUNDS: usize = 5000;

/// The log and everybody around it.
pub(super) struct Model {
    pub(super) config: Config,
    pub(super) disk: SimDisk,
    pub(super) log: Option<Log>,
    pub(super) next_id: u32,
    /// Reports as they were posted.
    pub(super) posted: HashMap<Key, NewRecord>,
    /// A request of each lane that failed, to be posted again.
    pub(super) failed: [Vec<NewRecord>; 2],
    pub(super) acknowledged: [Vec<Key>; 2],
    /// The generations and sequences they were acknowledged with.
    pub(super) frames: [HashSet<(u64, u64)>; 2],
    /// What the service centre got, in order.
    pub(super) centre: [Vec<Record>; 2],
    /// Sequences up to here must not come again.
    pub(super) forgotten: [u64; 2],
    /// Lane, sequence and report of each dead letter.
    pub(super) buried: Vec<(String, u64, Key)>,
    /// Segments that alerts were promised.
    pub(super) promised: usize,
    pub(super) harm: Harm,
}

/// What was damaged on purpose, and so may be missing.
#[derive(Debug, Default)]
pub(super) struct Harm {
    /// Places damaged.
    pub(super) places: u64,
    pub(super) records: HashSet<Key>,
    pub(super) cursor: bool,
    /// Syncs failed while the log was opened: what a kill left in the page cache may be delivered and vanish.
    pub(super) opening: bool,
}

impl Model {
    pub(super) fn new(seed: u64, config: Config, mutant: Option<Mutant>) -> Self {
        let disk = SimDisk::new(seed, 1 << 20);
        if let Some(mutant) = mutant {
            disk.mutate(mutant);
        }
        let log = Log::open(Box::new(disk.clone()), config).ok();
        let mut model = Self {
            config,
            disk,
            log,
            next_id: 0,
            posted: HashMap::new(),
            failed: Default::default(),
            acknowledged: Default::default(),
            frames: Default::default(),
            centre: Default::default(),
            forgotten: [0; 2],
            buried: Vec::new(),
            promised: 0,
            harm: Harm::default(),
        };
        model.promise();
        model
    }

    pub(super) fn act(&mut self, act: &Act) -> Check {
        match act {
            Act::Append {
                lane,
                sources,
                size,
                again,
                received,
            } => self.append(*lane, sources, *size, *again, *received)?,
            Act::Deliver {
                lane,
                count,
                bytes,
                keep,
                receipt,
            } => drop(self.deliver(*lane, (*count, *bytes), *keep, *receipt)?),
            Act::DeliverAll => {
                for lane in Lane::ALL {
                    for _ in 0..20 {
                        self.deliver(lane, (9, 9000), 9, true)?;
                    }
                }
            }
            Act::Bury { lane, keep } => self.bury(*lane, *keep)?,
            Act::Alarms { size } => self.alarms(*size)?,
            Act::EndAfter(operations, end) => self.disk.end_after(*operations, *end),
            Act::End { end, filled } => self.restart(*end, *filled)?,
            Act::FailSyncs(count) => self.disk.fail_next_syncs(*count),
            Act::FailWrites(count) => self.disk.fail_next_writes(*count),
            Act::Fill { left } => self.disk.fill(*left),
            Act::Drain => self.disk.drain(),
            Act::Prepare => {
                self.log().prepare();
                self.promise();
            }
            Act::PrepareUntil(operations, end) => {
                self.disk.end_after(*operations, *end);
                self.log().prepare();
            }
            Act::Damage { file, at, sector } => self.damage(*file, *at, *sector),
        }
        if let Some(end) = self.disk.ended() {
            self.restart(end, false)?;
        }
        self.check_always()
    }

    /// Everything is put right, the power goes once more, and everything must come.
    pub(super) fn finish(mut self) -> Check {
        self.disk.drain();
        if self.next_id.is_multiple_of(2) {
            self.restart(End::PowerCut, false)?;
        }
        self.disk.fail_next_syncs(0);
        self.disk.fail_next_writes(0);
        self.disk.end_after(u64::MAX, End::Kill);
        for lane in Lane::ALL {
            let waiting = self.log().waiting(lane);
            let lost = self.log().figures(lane).losses.reports;
            let (mut drained, mut rounds) = (0, 0);
            while self.log().waiting(lane) > 0 {
                drained += self.deliver(lane, (7, 5000), 7, true)?;
                rounds += 1;
                ensure(rounds < ROUNDS, || format!("{lane:?}: draining does not end"))?;
            }
            let lost = self.log().figures(lane).losses.reports - lost;
            ensure(waiting == drained + lost || self.harm.places > 0, || {
                format!("{lane:?}: {waiting} waited, {drained} came, {lost} were lost")
            })?;
        }
        self.log().prepare();
        for lane in Lane::ALL {
            let refused = self.log().append(lane, vec![report("z", "last", 900, 1)]).err();
            ensure(refused.is_none(), || {
                format!("{lane:?}: drained and still refused: {refused:?}")
            })?;
        }
        self.restart(End::PowerCut, false)?;
        self.check_centre()?;
        self.check_letters()?;
        self.check_always()
    }

    fn append(&mut self, lane: Lane, sources: &[u8], size: usize, again: bool, received: u64) -> Check {
        let failed = std::mem::take(&mut self.failed[lane.index()]);
        let records = if again && !failed.is_empty() {
            failed
        } else {
            sources
                .iter()
                .map(|s| self.report(lane, *s, size, received))
                .collect()
        };
        let keys: Vec<Key> = records.iter().map(key_of_new).collect();
        let (faults, held) = (self.disk.faults(), self.held_by_alerts());
        match self.log().append(lane, records.clone()) {
            Ok(()) => {
                let queue = &self.log().queues[lane.index()];
                let mut frames = HashSet::new();
                for seq in queue.next_seq - keys.len() as u64..queue.next_seq {
                    let of = queue.segments.iter().rfind(|s| (s.first..=s.last).contains(&seq));
                    frames.extend(of.map(|segment| (segment.generation, seq)));
                }
                self.frames[lane.index()].extend(frames);
                let acknowledged = &mut self.acknowledged[lane.index()];
                for key in keys {
                    if !acknowledged.contains(&key) {
                        acknowledged.push(key);
                    }
                }
                return Ok(());
            }
            Err(_) if self.disk.ended().is_some() || self.disk.faults() > faults => {}
            // A request of several segments may be begun with the last of them.
            Err(AppendError::Full) if lane == Lane::Routine || self.held_by_alerts() >= self.promised => {}
            Err(error) => {
                return Err(format!(
                    "{lane:?} refused, alerts hold {held} of {}: {error}",
                    self.promised
                ));
            }
        }
        self.failed[lane.index()] = records;
        Ok(())
    }

    fn alarms(&mut self, size: usize) -> Check {
        for _ in 0..400 {
            self.append(Lane::Alert, &[0], size, true, 1)?;
            if !self.failed[Lane::Alert.index()].is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Peeks, and with a receipt moves on. Returns how many reports came.
    fn deliver(
        &mut self,
        lane: Lane,
        most: (usize, usize),
        keep: usize,
        receipt: bool,
    ) -> Result<u64, String> {
        let Some(mut batch) = self.peek(lane, most)? else {
            return Ok(0);
        };
        batch.truncate(keep);
        for record in &batch.records {
            let posted = self.posted.get(&key(record));
            let same = posted.is_some_and(|p| p.event == record.event && p.received == record.received);
            ensure(same, || format!("{record:?} was not posted so"))?;
            let again = record.seq <= self.forgotten[lane.index()] && !self.harm.cursor;
            ensure(!again, || {
                format!("{lane:?}: {} came after its receipt was stored", record.seq)
            })?;
        }
        self.centre[lane.index()].extend(batch.records.iter().cloned());
        if receipt && let Some(last) = batch.records.last() {
            let waiting = self.log().waiting(lane);
            let advanced = self.log().advance(lane, &batch);
            let left = self.log().waiting(lane);
            ensure(left + batch.records.len() as u64 == waiting, || {
                format!(
                    "{lane:?}: {} delivered, {left} of {waiting} wait",
                    batch.records.len()
                )
            })?;
            if advanced.is_ok() {
                self.forgotten[lane.index()] = last.seq;
            }
        }
        Ok(batch.records.len() as u64)
    }

    fn bury(&mut self, lane: Lane, keep: usize) -> Check {
        let Some(mut batch) = self.peek(lane, (keep, 5000))? else {
            return Ok(());
        };
        batch.truncate(keep);
        if self.log().bury(lane, &batch, "because", 1).is_ok() {
            for record in &batch.records {
                let letter = (lane.as_str().to_owned(), record.seq, key(record));
                if !self.buried.contains(&letter) {
                    self.buried.push(letter);
                }
            }
        }
        Ok(())
    }

    fn peek(&mut self, lane: Lane, most: (usize, usize)) -> Result<Option<Batch>, String> {
        // A place that cannot be read is stepped over in the end.
        for _ in 0..4 {
            match self.log().peek(lane, most.0, most.1) {
                Ok(batch) => return Ok(Some(batch)),
                Err(_) if self.disk.ended().is_some() => return Ok(None),
                Err(error) => ensure(self.harm.places > 0, || {
                    format!("{lane:?} cannot be read: {error}")
                })?,
            }
        }
        Err(format!("{lane:?} stays unreadable"))
    }

    /// The machine or the program starts again, through further ends if need be.
    fn restart(&mut self, end: End, filled: bool) -> Check {
        self.log = None;
        self.disk.restart(end);
        if filled {
            self.disk.fill(0);
        }
        let faults = self.disk.faults();
        match Log::open(Box::new(self.disk.clone()), self.config) {
            Ok(log) if self.disk.ended().is_none() => self.log = Some(log),
            Err(error) if self.disk.ended().is_none() => return Err(format!("does not start: {error}")),
            _ => return self.restart(self.disk.ended().unwrap_or(end), false),
        }
        self.harm.opening |= self.disk.faults() > faults;
        self.promise();
        Ok(())
    }

    fn damage(&mut self, file: u64, at: u64, sector: bool) {
        let names = self.disk.list().unwrap_or_default();
        if names.is_empty() {
            return;
        }
        let name = &names[usize::try_from(file % names.len() as u64).unwrap()];
        let contents = self.disk.content(name);
        let Ok(at) = usize::try_from(at % contents[0].len().max(1) as u64) else {
            return;
        };
        let range = if sector {
            self.disk.spoil(name, at);
            let begin = at / SECTOR * SECTOR;
            begin..begin + SECTOR
        } else {
            self.disk.flip(name, at);
            at..at + 1
        };
        self.harm.places += 1;
        self.harm.cursor |= name.starts_with("cursor");
        for content in contents {
            let group = |frame: &frame::Frame<'_>| frame.seq - u64::from(frame.place);
            let mut torn = None;
            for (place, frame) in frames(&content) {
                let Some(record) = record_of(&frame) else { continue };
                if place < range.end && range.start < place + frame.size() {
                    torn = Some((frame.generation, group(&frame)));
                }
                // Behind the damage the rest of a group is not delivered while nothing says that it was synced.
                if torn == Some((frame.generation, group(&frame))) {
                    self.harm.records.insert(key(&record));
                }
            }
        }
    }

    /// Notes how many segments alerts can count on, whatever comes.
    fn promise(&mut self) {
        if let Some(log) = &self.log {
            let held = log.held();
            let dead = usize::from(held[Owner::Dead.index()] == 0);
            let alert = held[Lane::Alert.index()] + log.space.free().saturating_sub(dead);
            self.promised = self.promised.max(alert.min(log.space.reserve()));
        }
    }

    fn report(&mut self, lane: Lane, source: u8, size: usize, received: u64) -> NewRecord {
        self.next_id += 1;
        let id = format!("{}{}", lane.as_str(), self.next_id);
        let report = report(&source.to_string(), &id, size, received);
        self.posted.insert(key_of_new(&report), report.clone());
        report
    }

    fn held_by_alerts(&mut self) -> usize {
        self.log().held()[Lane::Alert.index()]
    }

    pub(super) fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("opened or failed before")
    }
}

fn report(source: &str, id: &str, size: usize, received: u64) -> NewRecord {
    NewRecord {
        source: source.to_owned(),
        id: id.to_owned(),
        received,
        event: id.bytes().cycle().take(size).collect(),
    }
}

pub(super) fn key(record: &Record) -> Key {
    (record.source.clone(), record.id.clone())
}

fn key_of_new(record: &NewRecord) -> Key {
    (record.source.clone(), record.id.clone())
}

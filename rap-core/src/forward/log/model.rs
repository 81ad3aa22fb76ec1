//! What must hold, seen from outside: by an agent, by the service centre, by whoever owns the disk.

use std::collections::{HashMap, HashSet};

use super::frame::{self, Kind, Owner};
use super::sim::{End, Mutant, SimDisk};
use super::history::Act;
use super::*;

/// A report's source and id.
type Key = (String, String);
type Check = Result<(), String>;

/// Rounds after which draining would never end.
const ROUNDS: usize = 5000;

/// The log and everybody around it.
pub(super) struct Model {
    config: Config,
    disk: SimDisk,
    log: Option<Log>,
    next_id: u32,
    /// Reports as they were posted.
    posted: HashMap<Key, NewRecord>,
    /// A request of each lane that failed, to be posted again.
    failed: [Vec<NewRecord>; 2],
    acknowledged: [Vec<Key>; 2],
    /// The generations and sequences they were acknowledged with.
    frames: [HashSet<(u64, u64)>; 2],
    /// What the service centre got, in order.
    centre: [Vec<Record>; 2],
    /// Sequences up to here must not come again.
    forgotten: [u64; 2],
    /// Lane, sequence and report of each dead letter.
    buried: Vec<(String, u64, Key)>,
    /// Segments that alerts were promised.
    promised: usize,
    harm: Harm,
}

/// What was damaged on purpose, and so may be missing.
#[derive(Debug, Default)]
struct Harm {
    /// Places damaged.
    places: u64,
    records: HashSet<Key>,
    cursor: bool,
    /// Syncs failed while the log was opened: what a kill left in the page cache may be delivered and vanish.
    opening: bool,
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
            let lost = self.log().losses(lane).reports;
            let (mut drained, mut rounds) = (0, 0);
            while self.log().waiting(lane) > 0 {
                drained += self.deliver(lane, (7, 5000), 7, true)?;
                rounds += 1;
                ensure(rounds < ROUNDS, || format!("{lane:?}: draining does not end"))?;
            }
            let lost = self.log().losses(lane).reports - lost;
            ensure(waiting == drained + lost || self.harm.places > 0, || {
                format!("{lane:?}: {waiting} waited, {drained} came, {lost} were lost")
            })?;
        }
        self.log().prepare();
        for lane in Lane::ALL {
            let refused = self.log().append(lane, vec![report("z", "last", 900, 1)]).err();
            ensure(refused.is_none(), || format!("{lane:?}: drained and still refused: {refused:?}"))?;
        }
        self.restart(End::PowerCut, false)?;
        if std::env::var("DUMP").is_ok() { self.dump(); self.show("segment-000001"); }
        self.check_centre()?;
        self.check_letters()?;
        self.check_always()
    }

    fn append(&mut self, lane: Lane, sources: &[u8], size: usize, again: bool, received: u64) -> Check {
        let failed = std::mem::take(&mut self.failed[lane.index()]);
        let records = if again && !failed.is_empty() {
            failed
        } else {
            sources.iter().map(|s| self.report(lane, *s, size, received)).collect()
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
                return Err(format!("{lane:?} refused, alerts hold {held} of {}: {error}", self.promised));
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
    fn deliver(&mut self, lane: Lane, most: (usize, usize), keep: usize, receipt: bool) -> Result<u64, String> {
        let Some(mut batch) = self.peek(lane, most)? else {
            return Ok(0);
        };
        batch.truncate(keep);
        for record in &batch.records {
            let posted = self.posted.get(&key(record));
            let same = posted.is_some_and(|p| p.event == record.event && p.received == record.received);
            ensure(same, || format!("{record:?} was not posted so"))?;
            let again = record.seq <= self.forgotten[lane.index()] && !self.harm.cursor;
            ensure(!again, || format!("{lane:?}: {} came after its receipt was stored", record.seq))?;
        }
        self.centre[lane.index()].extend(batch.records.iter().cloned());
        if receipt && let Some(last) = batch.records.last() {
            let waiting = self.log().waiting(lane);
            let advanced = self.log().advance(lane, &batch);
            let left = self.log().waiting(lane);
            ensure(left + batch.records.len() as u64 == waiting, || {
                format!("{lane:?}: {} delivered, {left} of {waiting} wait", batch.records.len())
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
                Err(error) => ensure(self.harm.places > 0, || format!("{lane:?} cannot be read: {error}"))?,
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
            let begin = at / super::sim::SECTOR * super::sim::SECTOR;
            begin..begin + super::sim::SECTOR
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

    fn check_always(&mut self) -> Check {
        let used = self.disk.used();
        ensure(used <= self.config.total, || {
            format!("{used} bytes on the disk, {} configured", self.config.total)
        })?;
        for lane in Lane::ALL {
            let losses = self.log().losses(lane);
            ensure(self.harm.places > 0 || losses == Losses::default(), || {
                format!("{lane:?}: {losses:?} though nothing was damaged")
            })?;
        }
        for overwritten in self.disk.take_overwritten() {
            self.check_overwritten(&overwritten)?;
        }
        Ok(())
    }

    /// Nothing acknowledged is overwritten before the cursor on the platter has passed it.
    fn check_overwritten(&self, overwritten: &super::sim::Overwritten) -> Check {
        let before = frames(&overwritten.before);
        let generation = |frames: &[(usize, frame::Frame<'_>)]| frames.iter().map(|f| f.1.generation).max();
        if generation(&before) == generation(&frames(&overwritten.after)) || self.harm.places > 0 {
            return Ok(());
        }
        for (_, frame) in before.iter().filter(|(_, f)| Some(f.generation) == generation(&before)) {
            let Owner::Lane(lane) = frame.owner else { continue };
            let cursor = format!("cursor-{}", lane.as_str());
            let platter = SimDisk::new(1, 1 << 20);
            let (_, passed) = match overwritten.cursors.get(&cursor) {
                Some(bytes) => {
                    drop(platter.create(&cursor).and_then(|()| platter.write(&cursor, 0, bytes)));
                    super::cursor::Cursor::read(&platter, cursor)
                }
                None => super::cursor::Cursor::read(&platter, cursor),
            };
            let acknowledged = self.frames[lane.index()].contains(&(frame.generation, frame.seq));
            ensure(!acknowledged || frame.seq <= passed, || {
                format!("{lane:?}: {} overwritten, the cursor on the disk is at {passed}", frame.seq)
            })?;
        }
        Ok(())
    }

    fn check_centre(&self) -> Check {
        for lane in Lane::ALL {
            let mut known = HashSet::new();
            let fresh = |r: &&Record| known.insert(key(r));
            let first: Vec<&Record> = self.centre[lane.index()].iter().filter(fresh).collect();
            let place: HashMap<Key, usize> = first.iter().enumerate().map(|(i, r)| (key(r), i)).collect();
            let mut last: HashMap<&str, usize> = HashMap::new();
            for acknowledged in &self.acknowledged[lane.index()] {
                let buried = self.buried.iter().any(|(_, _, key)| key == acknowledged);
                let gone = buried || self.harm.records.contains(acknowledged);
                if gone {
                    continue;
                }
                let Some(index) = place.get(acknowledged) else {
                    return Err(format!("{lane:?}: {acknowledged:?} was acknowledged and is lost"));
                };
                let before = last.insert(&acknowledged.0, *index);
                ensure(before.is_none_or(|b| b < *index), || format!("{lane:?}: {acknowledged:?} overtook"))?;
            }
            if self.harm.places == 0 && !self.harm.opening {
                check_numbers(lane, &self.centre[lane.index()], &first)?;
            }
        }
        Ok(())
    }

    fn check_letters(&mut self) -> Check {
        if self.harm.places > 0 {
            return Ok(());
        }
        let letters = self.log().dead_letters(0, usize::MAX).map_err(|e| e.to_string())?;
        let count = self.log().dead_letter_count();
        ensure(count.kept == letters.len() as u64, || format!("{count:?}, {} there", letters.len()))?;
        let there: Vec<_> = letters.iter().map(|l| (l.lane.clone(), l.record.seq, key(&l.record))).collect();
        let once: HashSet<_> = there.iter().collect();
        ensure(once.len() == there.len(), || format!("a dead letter is there twice: {there:?}"))?;
        let kept: Vec<_> = there.iter().filter(|letter| self.buried.contains(letter)).collect();
        let youngest: Vec<_> = self.buried.iter().rev().take(kept.len()).rev().collect();
        ensure(kept == youngest, || format!("dead letters {kept:?}, buried {:?}", self.buried))?;
        ensure(count.dropped > 0 || kept.len() == self.buried.len(), || {
            format!("{} of {} dead letters, none dropped", kept.len(), self.buried.len())
        })
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

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("opened or failed before")
    }
}

/// Each sequence and each number means one report, and the reports come in their order.
fn check_numbers(lane: Lane, all: &[Record], first: &[&Record]) -> Check {
    let mut seqs = HashMap::new();
    let mut numbers = HashMap::new();
    for record in all {
        let same = *seqs.entry(record.seq).or_insert_with(|| key(record)) == key(record);
        let number = numbers.entry((&record.source, record.number)).or_insert_with(|| key(record));
        ensure(same && *number == key(record), || {
            format!("{lane:?}: sequence {} or number {} was another report's", record.seq, record.number)
        })?;
    }
    let mut seq = 0;
    let mut last: HashMap<&str, u64> = HashMap::new();
    for record in first {
        let before = last.insert(&record.source, record.number).unwrap_or(0);
        ensure(before < record.number, || format!("{lane:?}: number {} after {before}", record.number))?;
        ensure(seq < record.seq, || format!("{lane:?}: sequence {} after {seq}", record.seq))?;
        seq = record.seq;
    }
    Ok(())
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// All whole frames of a segment with their offsets.
fn frames(bytes: &[u8]) -> Vec<(usize, frame::Frame<'_>)> {
    let mut frames = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match frame::decode(&bytes[at..]) {
            Some(frame) => {
                frames.push((at, frame));
                at += frame.size();
            }
            None => at += frame::ALIGN,
        }
    }
    frames
}

fn record_of(frame: &frame::Frame<'_>) -> Option<Record> {
    match frame.kind {
        Kind::Record => payload::decode_record(frame.seq, frame.payload),
        Kind::Letter => payload::decode_letter(frame.payload).map(|(_, _, _, record)| record),
        Kind::Head | Kind::Summary | Kind::Confirm => None,
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

fn key(record: &Record) -> Key {
    (record.source.clone(), record.id.clone())
}

fn key_of_new(record: &NewRecord) -> Key {
    (record.source.clone(), record.id.clone())
}
impl Model {
    pub(super) fn dump(&mut self) {
        for o in Owner::ALL {
            let q = &self.log.as_ref().unwrap().queues[o.index()];
            println!("  {} delivered {} durable {} next {} ack {} pos {:?} waiting {}", o.as_str(), q.delivered, q.durable, q.next_seq, q.acknowledged, q.position, q.waiting());
            for s in &q.segments { println!("     {s:?}"); }
        }
    }
}
impl Model {
    pub(super) fn show(&self, name: &str) {
        for c in self.disk.content(name) { for (at, f) in frames(&c) { println!("   {name} {at} {:?} {:?} gen {} seq {} place {}", f.owner, f.kind, f.generation, f.seq, f.place); } println!("--"); }
    }
}

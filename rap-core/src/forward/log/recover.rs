//! Finding out at start what is in the segments.
//!
//! A full segment is known from its head and its summary. Read as a whole are the newest of each owner, because the
//! numbers given in it are nowhere else, and whatever lacks head or summary. When the newest has lost its head,
//! everything is read, because numbers may stand in any older segment.
//!
//! A glance does not see what a write that was cut short left in a segment about to be reused. So generations of one
//! start are never those of another: starts are counted in a file of their own, like a cursor.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::cursor::Cursor;
use super::frame::Owner;
use super::payload::Numbers;
use super::queue::{Losses, Position, Queue};
use super::segment::{self, Opened};
use super::space::Space;
use super::storage::Storage;
use super::{Config, Log};

/// Generations that one start may use.
pub(super) const GENERATIONS_A_RUN: u64 = 1 << 32;

/// Reads the directory. Nothing is released yet, because nobody knows whether the cursors are on the disk.
pub(super) fn open(storage: Arc<dyn Storage>, config: Config) -> io::Result<Log> {
    let (mut space, names) = Space::open(storage.as_ref(), &config)?;
    let mut numbers: [Numbers; 3] = Default::default();
    let mut opened = Vec::new();
    for name in names {
        match look(storage.as_ref(), &config, &name, &mut numbers) {
            Ok(Some(segment)) => opened.push(segment),
            Ok(None) => space.give_back(storage.as_ref(), name),
            Err(error) => space.abandon(&name, &error),
        }
    }
    opened.sort_by_key(|o| o.segment.generation);
    look_closer(storage.as_ref(), &mut opened, &mut numbers);
    let (run, runs) = Cursor::read(storage.as_ref(), "run".to_owned());
    let newest = opened
        .last()
        .map_or(0, |o| o.segment.generation / GENERATIONS_A_RUN);
    let next_generation = (runs.max(newest) + 1).saturating_mul(GENERATIONS_A_RUN);

    let mut rest = opened;
    let queues = Owner::ALL.map(|owner| {
        let mine;
        (mine, rest) = std::mem::take(&mut rest)
            .into_iter()
            .partition(|o| o.owner == owner);
        let numbers = std::mem::take(&mut numbers[owner.index()]);
        queue(storage.as_ref(), &config, owner, mine, numbers)
    });
    Ok(Log {
        storage,
        config,
        space,
        queues,
        next_generation,
        run,
        settled: false,
        found_letters: None,
    })
}

/// Glances where that is enough.
fn look(
    storage: &dyn Storage,
    config: &Config,
    name: &str,
    numbers: &mut [Numbers; 3],
) -> io::Result<Option<Opened>> {
    if storage.size(name)? == config.segment
        && let Some(opened) = segment::glance(storage, name, config.segment)
    {
        let table = &mut numbers[opened.owner.index()];
        for (source, number) in opened.head.iter().flat_map(|head| &head.numbers) {
            let last = table.entry(source.clone()).or_default();
            *last = (*last).max(*number);
        }
        return Ok(Some(opened));
    }
    segment::examine(storage, name, numbers)
}

/// Reads as a whole what a glance was not enough for after all.
fn look_closer(storage: &dyn Storage, opened: &mut [Opened], numbers: &mut [Numbers; 3]) {
    let newest = |opened: &[Opened], owner| opened.iter().rposition(|o| o.owner == owner);
    let headless = Owner::ALL
        .iter()
        .filter_map(|owner| newest(opened, *owner))
        .any(|i| opened[i].head.is_none());
    for index in 0..opened.len() {
        let is_newest = newest(opened, opened[index].owner) == Some(index);
        let current = &mut opened[index];
        if current.found.is_some() || !(is_newest || headless) {
            continue;
        }
        // What cannot be read now could be glanced at before: keep that.
        if let Ok(Some(closer)) = segment::examine(storage, &current.segment.name, numbers) {
            *current = closer;
        }
    }
}

/// Puts one owner's segments together and counts what is missing.
fn queue(
    storage: &dyn Storage,
    config: &Config,
    owner: Owner,
    opened: Vec<Opened>,
    numbers: Numbers,
) -> Queue {
    let (cursor, delivered) = Cursor::read(storage, format!("cursor-{}", owner.as_str()));
    let mut queue = Queue {
        owner,
        segments: VecDeque::new(),
        cursor,
        delivered,
        durable: 0,
        position: Position::default(),
        next_seq: delivered + 1,
        acknowledged: delivered,
        numbers,
        losses: Losses::default(),
        unreadable: 0,
    };
    missing_before(&mut queue, opened.first());
    let last = opened.len().saturating_sub(1);
    let previous: Vec<Option<u64>> = opened
        .iter()
        .map(|o| o.head.as_ref().map(|h| h.previous))
        .collect();
    for (index, mut opened) in opened.into_iter().enumerate() {
        // Said by the next head there is: a segment whose first write failed may have none.
        let acknowledged = previous[index + 1..].iter().flatten().next().copied();
        let confirmed = opened.confirmed().max(acknowledged.unwrap_or(0));
        // What is forgotten keeps its sequences: it is still on the disk.
        queue.next_seq = queue.next_seq.max(opened.segment.last + 1);
        let cut = opened.cut(acknowledged);
        let settled = opened.settle(storage);
        if let Err(error) = &settled {
            log::warn!(
                "{}: what it holds cannot be made durable again: {error}",
                opened.segment.name
            );
        }
        let Opened {
            mut segment, found, ..
        } = opened;
        let missing = std::mem::take(&mut segment.missing);
        let tail = (confirmed > segment.last).then(|| segment.last + 1..=confirmed);
        segment.last = segment.last.max(confirmed);
        let damaged = found.as_ref().map_or(0..segment.end, |f| {
            let first = f.damaged.first().map_or(f.end, |d| d.start);
            first..f.damaged.last().map_or(f.end, |d| d.end)
        });
        queue.next_seq = queue.next_seq.max(segment.last + 1);
        if segment.last >= segment.first {
            queue.acknowledged = queue.acknowledged.max(segment.last);
        }
        let intact = !cut && missing.is_empty() && tail.is_none() && settled.is_ok();
        let full = found.as_ref().is_none_or(|f| f.full);
        let right = storage
            .size(&segment.name)
            .is_ok_and(|size| size == config.segment);
        if index == last {
            segment.sealed = full || !intact || !right || segment.last + 1 != queue.next_seq;
            if settled.is_ok() && right {
                segment.confirm(storage, owner, config.capacity());
            }
        } else if !full && intact && right {
            segment.summarize(storage, owner, config.segment);
        }
        queue.segments.push_back(segment);
        for gap in missing.into_iter().chain(tail) {
            queue.miss(index, &gap, &damaged, confirmed);
        }
    }
    queue
}

/// The first segment's head says what was acknowledged before it: all of that must have been delivered.
fn missing_before(queue: &mut Queue, first: Option<&Opened>) {
    let Some(previous) = first.and_then(|o| o.head.as_ref()).map(|head| head.previous) else {
        return;
    };
    queue.next_seq = queue.next_seq.max(previous + 1);
    if queue.cursor.whole && previous > queue.delivered {
        queue.losses.places += 1;
        queue.losses.reports += previous - queue.delivered;
        log::error!(
            "{} log: {} report(s) are lost with a segment that is not there any more",
            queue.owner.as_str(),
            previous - queue.delivered,
        );
    }
}

//! What goes to the service centre next, and what its answers do to a file.
//!
//! Invariant: a file is removed only when the centre's receipt says that all of it is durable there.

use super::range::Range;
use super::record::{Description, Phase};
use super::shelf::{Key, Shelf};

/// A file that cannot be read so often in a row is left alone until the next start; a centre that goes back so often is
/// left alone for a while.
const MOST_FAILURES: u32 = 4;

/// One request to the service centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// The file.
    pub file: Description,
    /// The bytes, or the question how many the centre has.
    pub range: Range,
    /// The bytes of the range.
    pub bytes: Vec<u8>,
}

/// An answer that makes no sense: going on as if it did could go on for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the service centre contradicts itself about how much of a file it has")]
pub struct Contradiction;

impl Errand {
    fn key(&self) -> Key {
        Key {
            source: self.file.source.clone(),
            digest: self.file.digest,
        }
    }

    /// Where its bytes begin; `None` for a question.
    fn first(&self) -> Option<u64> {
        match self.range {
            Range::Part { first, .. } => Some(first),
            Range::Ask { .. } => None,
        }
    }
}

impl Shelf {
    /// The next request, with at most `most` bytes: of the oldest file of each port in turn.
    pub fn next(&mut self, most: usize) -> Option<Errand> {
        let most = most.clamp(1, super::LONGEST_RANGE);
        while let Some(key) = self.choose() {
            if let Err(error) = self.verify(&key) {
                self.unreadable(&key, &error);
                continue;
            }
            // Damage may have made it another one.
            let Some(entry) = self.entries.get(&key).filter(|e| e.mark.phase == Phase::Whole) else {
                continue;
            };
            self.turn = Some(key.clone());
            let (file, size) = (entry.description.clone(), entry.description.size);
            let first = match entry.sent {
                Some(sent) => sent,
                // Asking costs as much as sending one that is small.
                None if size <= most as u64 => 0,
                None => {
                    let range = Range::Ask { total: size };
                    return Some(Errand {
                        file,
                        range,
                        bytes: Vec::new(),
                    });
                }
            };
            let end = size.min(first.saturating_add(most as u64));
            let bytes = entry.read(self.storage.as_ref(), first, end);
            self.storage.close(&entry.file);
            match bytes {
                Ok(bytes) if bytes.len() as u64 == end - first => {
                    self.readable(&key);
                    let range = Range::part(first, bytes.len(), size)?;
                    return Some(Errand { file, range, bytes });
                }
                Ok(_) => self.unreadable(&key, &"it is shorter than it was"),
                Err(error) => self.unreadable(&key, &error),
            }
        }
        None
    }

    /// The centre's receipt: it has the first `have` bytes durably, and at the file's size has checked its digest.
    /// Returns whether the file is delivered.
    ///
    /// # Errors
    /// When the answer is impossible, or says that nothing came of what was sent; then the centre is asked next time.
    pub fn confirmed(&mut self, errand: &Errand, have: u64) -> Result<bool, Contradiction> {
        let key = errand.key();
        let size = errand.file.size;
        let progress = errand.first().is_none_or(|first| have > first);
        if have > size || !progress {
            self.failed(errand);
            return Err(Contradiction);
        }
        if have == size {
            // Given up meanwhile, or not: the centre has it.
            if self.discard(&key).is_some() {
                self.past.remember(self.storage.as_ref(), &key, size);
                self.delivered += 1;
            }
            return Ok(true);
        }
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.sent = Some(have);
            entry.went_back = 0;
        }
        Ok(false)
    }

    /// The centre has only `have` bytes and wants what follows.
    ///
    /// # Errors
    /// When that is what it was sent, or what it says changes again and again.
    pub fn behind(&mut self, errand: &Errand, have: u64) -> Result<(), Contradiction> {
        let Some(entry) = self.entries.get_mut(&errand.key()) else {
            return Ok(());
        };
        entry.went_back += 1;
        let again = entry.went_back >= MOST_FAILURES;
        if errand.first().is_none_or(|first| first == have) || have >= errand.file.size || again {
            self.failed(errand);
            return Err(Contradiction);
        }
        entry.sent = Some(have);
        Ok(())
    }

    /// The centre does not want the file: it is kept beside, while there is room, and not sent again.
    pub fn refuse(&mut self, errand: &Errand, reason: &str) {
        let key = errand.key();
        let Some(mut mark) = self.next_mark(&key) else {
            return;
        };
        mark.phase = Phase::Refused;
        mark.reason = reason.to_owned();
        if let Some(entry) = self.entries.get_mut(&key) {
            // Nothing waits for it: when it is lost, the centre refuses once more.
            if let Err(error) = entry.write(self.storage.as_ref(), &mark, &[]) {
                log::warn!("that a file was refused is not remembered over a restart: {error}");
            }
            entry.mark = mark;
        }
    }

    /// Nothing is known of what became of an errand: the centre is asked before the next.
    pub fn failed(&mut self, errand: &Errand) {
        if let Some(entry) = self.entries.get_mut(&errand.key()) {
            entry.sent = None;
            entry.went_back = 0;
        }
    }

    /// Notes what keeps files from being delivered, in words. Returns whether that is news.
    pub fn note(&mut self, trouble: Option<&str>) -> bool {
        let news = self.trouble.as_deref() != trouble;
        self.trouble = trouble.map(str::to_owned);
        news
    }

    /// The oldest file of the port whose turn it is.
    fn choose(&self) -> Option<Key> {
        let waiting = || {
            self.entries
                .iter()
                .filter(|(_, e)| e.mark.phase == Phase::Whole && !e.is_left_alone())
        };
        let last = self.turn.as_ref().map(|key| key.source.as_str());
        let sources = || waiting().map(|(key, _)| key.source.as_str());
        let source = sources()
            .filter(|source| Some(*source) > last)
            .min()
            .or_else(|| sources().min())?;
        waiting()
            .filter(|(key, _)| key.source == source)
            .min_by_key(|(_, entry)| entry.mark.order)
            .map(|(key, _)| key.clone())
    }

    fn readable(&mut self, key: &Key) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.unread = 0;
        }
    }

    pub(super) fn unreadable(&mut self, key: &Key, error: &dyn std::fmt::Display) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        entry.unread += 1;
        if entry.is_left_alone() {
            self.losses += 1;
            let name = entry.description.name.as_str();
            log::error!(
                "the file \"{name}\" from {} cannot be read and is left alone: {error}",
                key.source
            );
        }
    }
}

impl super::shelf::Entry {
    pub(super) fn is_left_alone(&self) -> bool {
        self.unread >= MOST_FAILURES
    }
}

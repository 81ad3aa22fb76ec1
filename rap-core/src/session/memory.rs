//! What the session service keeps on the disk: the docket, and reports and orders that the forwarder has not taken yet. One
//! small file, replaced as a whole.
//!
//! Invariants: what [`Memory::change`] returned from is on the medium; a file that cannot be read is set aside, and a new
//! docket with a new name begun, so that nothing signed for the old one counts again. Reports are at most
//! [`MOST_REPORTS`]; the oldest are given up and counted. Wrong PINs are counted here, so that no restart gives anybody
//! more tries.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::consent::Guesses;
use super::errand::Tried;
use super::people::Past;
use crate::directive::{Docket, DocketId};
use crate::folder::Folder;
use crate::forward::inbox::Order;

/// The file, and one that was damaged.
const FILE: &str = "docket.json";
const DAMAGED: &str = "docket.damaged";
/// Reports that wait for the forwarder, at most.
const MOST_REPORTS: usize = 256;
/// Orders that wait for the forwarder, at most.
pub(super) const MOST_ORDERS: usize = 64;
/// Sessions that are told of at their ports; older ones are forgotten.
const MOST_PAST: usize = 32;

/// A report of the box's own, on its way to the forwarder's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    /// The event's id; by it the forwarder says that it has it.
    pub(crate) id: String,
    /// The event's type.
    pub(crate) r#type: String,
    /// Its data.
    pub(crate) data: Value,
}

impl Report {
    /// One that was not told before.
    pub(super) fn new(kind: &str, data: Value) -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            r#type: kind.to_owned(),
            data,
        }
    }
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) docket: Docket,
    reports: VecDeque<Report>,
    /// How many were given up.
    lost: u64,
    #[serde(default)]
    orders: VecDeque<Order>,
    /// A site of the service centre's that is on trial.
    #[serde(default)]
    pub(super) tried: Option<Tried>,
    /// Wrong PINs, by port.
    #[serde(default)]
    guesses: BTreeMap<String, Guesses>,
    /// Sessions that were asked for, the latest last.
    #[serde(default)]
    past: VecDeque<Past>,
}

/// It, and where.
#[derive(Debug)]
pub(super) struct Memory<F> {
    folder: F,
    kept: Kept,
}

impl<F: Folder> Memory<F> {
    /// Reads what is there, or begins anew under the name `fresh`. Says in words what was wrong.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub(super) fn open(mut folder: F, fresh: DocketId) -> io::Result<(Self, Option<String>)> {
        let found = folder.read(FILE)?;
        let read = found.as_deref().map(parse);
        let trouble = match &read {
            Some(Err(why)) => {
                folder.rename(FILE, DAMAGED)?;
                folder.sync()?;
                Some(format!(
                    "the docket was damaged ({why}) and is set aside as {DAMAGED}; directives for it do not count any more"
                ))
            }
            _ => None,
        };
        let is_new = !matches!(read, Some(Ok(_)));
        let kept = read.and_then(Result::ok).unwrap_or_else(|| Kept {
            docket: Docket::new(fresh),
            reports: VecDeque::new(),
            lost: 0,
            orders: VecDeque::new(),
            tried: None,
            guesses: BTreeMap::new(),
            past: VecDeque::new(),
        });
        let mut memory = Self { folder, kept };
        if is_new {
            memory.change(|_| {})?;
        }
        Ok((memory, trouble))
    }

    /// What is kept.
    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Changes it, on the disk first.
    ///
    /// # Errors
    /// When the disk does not take it; then nothing has changed.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Kept)) -> io::Result<()> {
        let mut next = self.kept.clone();
        change(&mut next);
        self.folder.replace(FILE, &serde_json::to_vec(&next)?)?;
        self.kept = next;
        Ok(())
    }
}

impl Kept {
    /// Puts a report where the forwarder finds it.
    pub(super) fn tell(&mut self, report: Report) {
        self.reports.push_back(report);
        if self.reports.len() > MOST_REPORTS {
            self.reports.pop_front();
            self.lost += 1;
        }
    }

    /// The oldest reports, at most so many.
    pub(super) fn reports(&self, most: usize) -> Vec<Report> {
        self.reports.iter().take(most).cloned().collect()
    }

    /// Puts an order where the forwarder finds it.
    pub(super) fn order(&mut self, order: Order) {
        self.orders.push_back(order);
    }

    /// The oldest orders, at most so many.
    pub(super) fn orders(&self, most: usize) -> Vec<Order> {
        self.orders.iter().take(most).cloned().collect()
    }

    /// Whether one of these waits.
    pub(super) fn has(&self, ids: &[String]) -> bool {
        let is_order = |order: &Order| ids.contains(&order.id.to_string());
        self.reports.iter().any(|report| ids.contains(&report.id)) || self.orders.iter().any(is_order)
    }

    /// The forwarder has these.
    pub(super) fn taken(&mut self, ids: &[String]) {
        self.reports.retain(|report| !ids.contains(&report.id));
        self.orders.retain(|order| !ids.contains(&order.id.to_string()));
    }

    /// How many were given up.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Wrong PINs, by port.
    pub(super) fn guesses(&self) -> BTreeMap<String, Guesses> {
        self.guesses.clone()
    }

    /// The ports' wrong PINs are these.
    pub(super) fn guessed(&mut self, guesses: BTreeMap<String, Guesses>) {
        self.guesses = guesses;
    }

    /// A session is asked for.
    pub(super) fn begin(&mut self, past: Past) {
        self.past.push_back(past);
        if self.past.len() > MOST_PAST {
            self.past.pop_front();
        }
    }

    /// The latest session that was asked for.
    pub(super) fn latest(&mut self) -> Option<&mut Past> {
        self.past.back_mut()
    }

    /// The sessions that were asked for at a port, the latest first.
    pub(super) fn past(&self, port: &str) -> Vec<Past> {
        let here = self.past.iter().rev().filter(|past| past.port == port);
        here.cloned().collect()
    }

    /// The service starts: what was not over is, for the reason `why`. Returns these.
    pub(super) fn interrupt(&mut self, why: &str) -> Vec<Past> {
        let mut open: Vec<_> = self.past.iter_mut().filter(|past| past.why.is_none()).collect();
        for past in &mut open {
            past.why = Some(why.to_owned());
        }
        open.into_iter().map(|past| past.clone()).collect()
    }
}

fn parse(bytes: &[u8]) -> Result<Kept, String> {
    let kept: Kept = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let is_bounded = kept.reports.len() <= MOST_REPORTS
        && kept.orders.len() <= MOST_ORDERS
        && kept.past.len() <= MOST_PAST;
    if kept.docket.is_sound() && is_bounded {
        Ok(kept)
    } else {
        Err("its numbers do not rise".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::digest::Sha256;
    use crate::directive::Outcome;
    use crate::folder::Directory;
    use crate::folder::sim::Sim;

    fn id(byte: u8) -> DocketId {
        DocketId::new([byte; 16])
    }

    fn report(number: u64) -> Report {
        Report {
            id: number.to_string(),
            r#type: "t".to_owned(),
            data: json!(number),
        }
    }

    #[test]
    fn what_was_changed_is_there_again_under_the_same_name() {
        let folder = tempfile::tempdir().unwrap();
        let directory = || Directory(folder.path().to_owned());
        let (mut memory, trouble) = Memory::open(directory(), id(1)).unwrap();
        assert_eq!(trouble, None);
        memory
            .change(|kept| {
                kept.docket.settle(7, Sha256::of(b"x"), Outcome::Taken);
                kept.tell(report(1));
                kept.tell(report(2));
                kept.taken(&["1".to_owned()]);
            })
            .unwrap();
        let (again, _) = Memory::open(directory(), id(2)).unwrap();
        assert_eq!(again.kept(), memory.kept());
        assert_eq!((again.kept().docket.id(), again.kept().docket.last()), (id(1), 7));
        assert_eq!(again.kept().reports(9), [report(2)]);
    }

    #[test]
    fn a_damaged_one_is_set_aside_and_never_counts_again() {
        let folder = tempfile::tempdir().unwrap();
        let directory = || Directory(folder.path().to_owned());
        for damage in ["", "{", "{\"docket\":{\"id\":\"x\"}}"] {
            std::fs::write(folder.path().join(FILE), damage).unwrap();
            let (memory, trouble) = Memory::open(directory(), id(9)).unwrap();
            assert_eq!(memory.kept().docket.id(), id(9));
            assert!(trouble.unwrap().contains("set aside"));
            assert_eq!(
                std::fs::read_to_string(folder.path().join(DAMAGED)).unwrap(),
                damage
            );
        }
    }

    #[test]
    fn too_many_reports_are_given_up_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (mut memory, _) = Memory::open(Directory(folder.path().to_owned()), id(1)).unwrap();
        memory
            .change(|kept| (0..MOST_REPORTS as u64 + 3).for_each(|n| kept.tell(report(n))))
            .unwrap();
        assert_eq!(memory.kept().lost(), 3);
        assert_eq!(memory.kept().reports(1), [report(3)]);
    }

    proptest! {
        /// The power fails within any operation: what a change returned from is there, and never half of another.
        #[test]
        fn a_cut_loses_nothing_that_was_promised(power in 0_usize..40, names: usize, kept: usize) {
            let sim = Sim::with("other", b"x");
            let (mut memory, _) = Memory::open(sim.clone(), id(1)).unwrap();
            sim.0.borrow_mut().power = Some(power);
            let mut promised = 0;
            for number in 1..=12 {
                let settle = |kept: &mut Kept| kept.docket.settle(number, Sha256::of(b"x"), Outcome::Taken);
                if memory.change(settle).is_err() {
                    break;
                }
                promised = number;
            }
            drop(memory);
            sim.restart(names, kept);
            let (again, trouble) = Memory::open(sim, id(2)).unwrap();
            prop_assert_eq!(trouble, None);
            let docket = &again.kept().docket;
            prop_assert_eq!(docket.id(), id(1));
            prop_assert!([promised, promised + 1].contains(&docket.last()), "{} of {}", docket.last(), promised);
        }
    }
}

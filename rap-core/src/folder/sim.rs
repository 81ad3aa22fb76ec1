//! A folder on a disk that loses its power: names that were not synced may be lost, content that was not synced is torn.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use super::Folder;

/// The folder, shared by a test and the code under test.
#[derive(Debug, Clone)]
pub(crate) struct Sim(pub(crate) Rc<RefCell<Disk>>);

/// The disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// What programs see.
    seen: BTreeMap<String, usize>,
    /// What is on the medium for certain.
    durable: BTreeMap<String, usize>,
    /// Changes of names since the last sync, in order.
    pending: Vec<Change>,
    files: Vec<File>,
    /// Operations until the power fails; then every operation fails.
    pub(crate) power: Option<usize>,
    /// Nothing can be written, but names can be changed.
    pub(crate) full: bool,
}

#[derive(Debug, Clone)]
struct File {
    content: Vec<u8>,
    synced: bool,
}

#[derive(Debug, Clone)]
enum Change {
    Link(String, usize),
    Rename(String, String),
    Remove(String),
}

impl Sim {
    pub(crate) fn empty() -> Self {
        Self(Rc::new(RefCell::new(Disk::default())))
    }

    pub(crate) fn with(name: &str, content: &[u8]) -> Self {
        let sim = Self::empty();
        let mut folder = sim.clone();
        folder.write(name, content).unwrap();
        folder.sync().unwrap();
        sim
    }

    /// The power comes back: of the changes that were not synced the first `names` were made, and unsynced content has
    /// `kept` hundredths of its length.
    pub(crate) fn restart(&self, names: usize, kept: usize) {
        let mut disk = self.0.borrow_mut();
        let disk = &mut *disk;
        let pending = std::mem::take(&mut disk.pending);
        for change in pending.iter().take(names % (pending.len() + 1)) {
            change.apply(&mut disk.durable);
        }
        for file in disk.files.iter_mut().filter(|file| !file.synced) {
            file.content.truncate(file.content.len() * (kept % 101) / 100);
            file.synced = true;
        }
        disk.seen = disk.durable.clone();
        disk.power = None;
    }

    /// The program ended, the machine did not.
    pub(crate) fn crash(&self) {
        self.0.borrow_mut().power = None;
    }
}

impl Disk {
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.power {
            Some(0) => Err(io::Error::other("no power")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.pending.push(change);
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl Folder for Sim {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let disk = self.0.borrow();
        Ok(disk.seen.get(name).map(|file| disk.files[*file].content.clone()))
    }

    fn write(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.spend()?;
        if disk.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = disk.files.len();
        disk.files.push(File {
            content: content.to_vec(),
            synced: false,
        });
        disk.change(Change::Link(name.to_owned(), file));
        disk.spend()?;
        disk.files[file].synced = true;
        disk.spend()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.spend()?;
        if !disk.seen.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.change(Change::Rename(from.to_owned(), to.to_owned()));
        disk.spend()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.spend()?;
        disk.change(Change::Remove(name.to_owned()));
        disk.spend()
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.spend()?;
        disk.durable = disk.seen.clone();
        disk.pending.clear();
        disk.spend()
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let disk = self.0.borrow();
        let bytes = |(name, file): (&String, &usize)| (name.clone(), disk.files[*file].content.len() as u64);
        Ok(disk.seen.iter().map(bytes).collect())
    }
}

//! A folder on a disk that loses its power: names that were not synced may be lost, and of bytes that were not synced any
//! part is there, with zeros before it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use super::super::disk::Folder;

/// The folder, shared by a test and the code under test.
#[derive(Debug, Clone, Default)]
pub(in crate::audit) struct Sim(pub(in crate::audit) Rc<RefCell<Disk>>);

#[derive(Debug, Default)]
pub(in crate::audit) struct Disk {
    files: BTreeMap<String, File>,
    /// Names on the medium.
    names: BTreeMap<String, File>,
    /// Operations until the power fails; then every operation fails.
    pub(in crate::audit) power: Option<usize>,
    /// Syncs that are left out, by their count.
    pub(in crate::audit) without: Option<usize>,
    syncs: usize,
}

#[derive(Debug, Clone, Default)]
struct File {
    content: Vec<u8>,
    /// What is on the medium for certain.
    synced: Vec<u8>,
}

impl Sim {
    /// The power comes back: of what was not synced `kept` hundredths are there, their first half zeros when `torn`;
    /// names that were not synced are there, or not.
    pub(in crate::audit) fn restart(&self, kept: usize, torn: bool, names: bool) {
        let mut disk = self.0.borrow_mut();
        let mut files = if names {
            disk.files.clone()
        } else {
            disk.names.clone()
        };
        for (name, file) in &mut files {
            let newest = disk.files.get(name).unwrap_or(file).clone();
            file.content = newest.synced.clone();
            if let Some(more) = newest.content.get(newest.synced.len()..) {
                let some = &more[..more.len() * (kept % 101) / 100];
                let zeros = if torn { some.len() / 2 } else { 0 };
                file.content.extend(vec![0; zeros]);
                file.content.extend(&some[zeros..]);
            }
            file.synced = file.content.clone();
        }
        disk.files = files.clone();
        disk.names = files;
        disk.power = None;
    }

    /// Changes a file's content as somebody with the disk in his hands would.
    pub(in crate::audit) fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(file) = self.0.borrow_mut().files.get_mut(name) {
            change(&mut file.content);
            file.synced = file.content.clone();
        }
    }

    pub(in crate::audit) fn take_away(&self, name: &str) {
        self.0.borrow_mut().files.remove(name);
    }

    fn spend(&self) -> io::Result<()> {
        match &mut self.0.borrow_mut().power {
            Some(0) => Err(io::Error::other("no power")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether this sync is done.
    fn syncs(&self) -> bool {
        let mut disk = self.0.borrow_mut();
        disk.syncs += 1;
        disk.without != Some(disk.syncs)
    }
}

impl Folder for Sim {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().files.keys().cloned().collect())
    }

    fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let disk = self.0.borrow();
        let file = disk.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(file.content[..file.content.len().min(most)].to_vec())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.spend()?;
        let mut disk = self.0.borrow_mut();
        disk.files
            .entry(name.to_owned())
            .or_default()
            .content
            .extend(bytes);
        Ok(())
    }

    fn cut(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.spend()?;
        let mut disk = self.0.borrow_mut();
        let file = disk.files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        file.content.truncate(length);
        file.synced.truncate(length);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.spend()?;
        let mut disk = self.0.borrow_mut();
        let removed = disk.files.remove(name);
        // Until names are synced it may come back, whole.
        if let (Some(removed), Some(back)) = (removed, disk.names.get_mut(name)) {
            *back = removed;
        }
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.spend()?;
        if self.syncs()
            && let Some(file) = self.0.borrow_mut().files.get_mut(name)
        {
            file.synced = file.content.clone();
        }
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.spend()?;
        if self.syncs() {
            let mut disk = self.0.borrow_mut();
            disk.names = disk.files.clone();
        }
        Ok(())
    }
}

//! How far a copy of the trail has come, on the disk.
//!
//! `NUMBER DIGEST`: the number of the record that is next, and the digest of the line before it. A file that is not there
//! or damaged is the trail's beginning: everything comes again, and nothing is lost.

use std::io;

use crate::audit::record::Link;
use crate::folder::Folder;

/// A place that outlives power.
#[derive(Debug)]
pub(super) struct Place<F> {
    folder: F,
    name: &'static str,
    link: Link,
}

impl<F: Folder> Place<F> {
    /// The place in the file `name`.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn open(folder: F, name: &'static str) -> io::Result<Self> {
        let content = folder.read(name)?;
        let link = content.as_deref().map(parse);
        if link == Some(None) {
            log::warn!("how far the copy for the {name} has come is not known any more: it begins anew");
        }
        Ok(Self {
            link: link.flatten().unwrap_or_else(Link::first),
            folder,
            name,
        })
    }

    pub(super) fn link(&self) -> Link {
        self.link
    }

    /// Moves it, durably.
    ///
    /// # Errors
    /// When the disk does not take it; the place is where it was then, or there after a restart.
    pub(super) fn move_to(&mut self, link: Link) -> io::Result<()> {
        let text = format!("{} {}\n", link.number, link.before);
        self.folder.replace(self.name, text.as_bytes())?;
        self.link = link;
        Ok(())
    }
}

fn parse(content: &[u8]) -> Option<Link> {
    let text = std::str::from_utf8(content).ok()?;
    let (number, before) = text.strip_suffix('\n')?.split_once(' ')?;
    let number = number.parse().ok().filter(|number| *number > 0)?;
    Some(Link {
        number,
        before: before.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;
    use crate::folder::Directory;

    #[test]
    fn a_place_is_read_again_and_a_damaged_one_is_the_beginning() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Place::open(Directory(directory.path().to_owned()), "collector").unwrap();
        let mut place = open();
        assert_eq!(place.link(), Link::first());
        let link = Link {
            number: 7,
            before: Sha256::of(b"line"),
        };
        place.move_to(link).unwrap();
        assert_eq!(open().link(), link);
        let good = std::fs::read_to_string(directory.path().join("collector")).unwrap();
        for damaged in [
            "",
            "7",
            &good[..good.len() - 1],
            &good.replace('7', "0"),
            &good.replace(' ', ""),
        ] {
            std::fs::write(directory.path().join("collector"), damaged).unwrap();
            assert_eq!(open().link(), Link::first(), "{damaged:?}");
        }
    }
}

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::folder::Directory;
use crate::folder::sim::Sim;

/// A repository in memory that counts what it was asked for.
#[derive(Debug, Default)]
struct Memory {
    files: BTreeMap<Name, Vec<u8>>,
    asked: Mutex<Vec<Name>>,
}

impl Source for Memory {
    fn fetch(&self, name: &Name, limit: u64) -> Result<Vec<u8>, SourceError> {
        self.asked.lock().unwrap().push(name.clone());
        let content = self.files.get(name).cloned();
        let content = content.ok_or_else(|| SourceError::NotThere { name: name.clone() })?;
        if content.len() as u64 > limit {
            return Err(SourceError::TooLong {
                name: name.clone(),
                limit,
            });
        }
        Ok(content)
    }
}

impl Memory {
    fn with(contents: &[Vec<u8>]) -> (Self, Vec<File>) {
        let mut memory = Self::default();
        let file = |content: &Vec<u8>| File {
            bytes: content.len() as u64,
            sha256: Sha256::of(content),
        };
        let way: Vec<_> = contents.iter().map(file).collect();
        for (file, content) in way.iter().zip(contents) {
            memory.files.insert(Name::piece(&file.sha256), content.clone());
        }
        (memory, way)
    }

    fn asked(&self) -> usize {
        std::mem::take(&mut *self.asked.lock().unwrap()).len()
    }
}

fn contents() -> Vec<Vec<u8>> {
    vec![vec![1; 1000], vec![2; 500], vec![1; 1000], vec![3; 10]]
}

fn quiet(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn whole<F: Folder>(pieces: &Pieces<F>, way: &[File]) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    pieces.stream(way).read_to_end(&mut read)?;
    Ok(read)
}

#[test]
fn a_way_is_brought_once_and_read_in_its_order() {
    let (source, way) = Memory::with(&contents());
    let directory = tempfile::tempdir().unwrap();
    let folder = Directory(directory.path().join("pieces"));
    let mut pieces = Pieces::new(folder.clone());
    let mut told = Vec::new();
    let mut tell = |progress| {
        told.push(progress);
        ControlFlow::Continue(())
    };
    pieces.bring(&source, &way, 1510, &mut tell).unwrap();
    assert_eq!(source.asked(), 3, "the same piece twice is one");
    assert_eq!(told.len(), 4);
    let last = told[3];
    assert_eq!(
        (last.pieces, last.of_pieces, last.bytes, last.of_bytes),
        (3, 3, 1510, 1510)
    );
    assert_eq!(last.came, 1510);
    assert_eq!(whole(&pieces, &way).unwrap(), contents().concat());
    assert_eq!(pieces.here(&way).unwrap(), 1510);

    // Another program, the same disk.
    let mut pieces = Pieces::new(folder);
    pieces.bring(&source, &way, 1510, &mut quiet).unwrap();
    assert_eq!(source.asked(), 0);
    pieces.sweep(&[]).unwrap();
    assert_eq!(
        std::fs::read_dir(directory.path().join("pieces"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn what_rotted_is_found_and_brought_again() {
    let (source, way) = Memory::with(&contents());
    let mut folder = Sim::empty();
    let mut pieces = Pieces::new(folder.clone());
    pieces.bring(&source, &way, 1510, &mut quiet).unwrap();
    source.asked();
    folder.replace(&way[1].sha256.to_string(), &[9; 500]).unwrap();
    let error = whole(&pieces, &way).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains(&way[1].sha256.to_string()), "{error}");
    pieces.bring(&source, &way, 1510, &mut quiet).unwrap();
    assert_eq!(source.asked(), 1);
    assert_eq!(whole(&pieces, &way).unwrap(), contents().concat());
}

#[test]
fn room_is_counted_before_anything_is_asked_for() {
    let (source, way) = Memory::with(&contents());
    let mut pieces = Pieces::new(Sim::empty());
    let error = pieces.bring(&source, &way, 1509, &mut quiet).unwrap_err();
    assert!(
        matches!(
            error,
            PiecesError::NoRoom {
                need: 1510,
                budget: 1509
            }
        ),
        "{error}"
    );
    assert_eq!(source.asked(), 0);
}

#[test]
fn others_give_way_before_new_ones_come() {
    let (source, way) = Memory::with(&contents());
    let folder = Sim::empty();
    let mut pieces = Pieces::new(folder.clone());
    pieces.bring(&source, &way, 1510, &mut quiet).unwrap();
    let (other, other_way) = Memory::with(&[vec![7; 1510]]);
    let mut most = 0;
    let mut tell = |_| {
        most = most.max(folder.list().unwrap().iter().map(|(_, bytes)| bytes).sum::<u64>());
        ControlFlow::Continue(())
    };
    pieces.bring(&other, &other_way, 1510, &mut tell).unwrap();
    assert_eq!(most, 1510);
    assert_eq!(pieces.here(&way).unwrap(), 0);
}

#[test]
fn each_fault_has_its_words_and_what_came_before_is_kept() {
    let whole_way = contents();
    for (content, words) in [
        (None, "the release names pieces/"),
        (Some(vec![9; 500]), "its SHA-256 is another"),
        (Some(vec![2; 499]), "it has 499 instead of 500 bytes"),
        (Some(vec![2; 501]), "it has more than 500 bytes"),
    ] {
        let (mut source, way) = Memory::with(&whole_way);
        let name = Name::piece(&way[1].sha256);
        match content {
            Some(content) => source.files.insert(name, content),
            None => source.files.remove(&name),
        };
        let mut pieces = Pieces::new(Sim::empty());
        let error = pieces.bring(&source, &way, 1510, &mut quiet).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(pieces.here(&way).unwrap(), 1000);
    }
    let (source, way) = Memory::with(&whole_way);
    let mut pieces = Pieces::new(Sim::empty());
    let mut stop = |_| ControlFlow::Break(());
    let stopped = pieces.bring(&source, &way, 1510, &mut stop).unwrap_err();
    assert!(matches!(stopped, PiecesError::Stopped));
    assert_eq!(source.asked(), 0);
}

proptest! {
    /// Whatever is cut, how often: no piece is taken that is not right, none that was said to be here is asked for again,
    /// and in the end all are here.
    #[test]
    fn power_cuts_cost_at_most_the_piece_in_flight(
        cuts in prop::collection::vec((0..30_usize, 0..8_usize, 0..101_usize), 0..12),
    ) {
        let (source, way) = Memory::with(&contents());
        let sim = Sim::empty();
        let mut said = 0;
        for (power, names, kept) in cuts {
            sim.0.borrow_mut().power = Some(power);
            let mut pieces = Pieces::new(sim.clone());
            let mut tell = |progress: Progress| {
                said = said.max(progress.pieces);
                ControlFlow::Continue(())
            };
            let _ = pieces.bring(&source, &way, 1510, &mut tell);
            sim.restart(names, kept);
        }
        source.asked();
        let mut pieces = Pieces::new(sim);
        pieces.bring(&source, &way, 1510, &mut quiet).unwrap();
        prop_assert!(source.asked() <= 3 - said);
        prop_assert_eq!(whole(&pieces, &way).unwrap(), contents().concat());
    }
}

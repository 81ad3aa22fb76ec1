use proptest::prelude::*;

use super::*;
use crate::folder::sim::Sim;

fn heard(version: u64) -> Heard {
    Heard::of_texts(&format!("timestamp {version}"), &format!("snapshot {version}"))
}

fn remember(sim: &Sim, version: u64) -> io::Result<()> {
    let memory = Memory::read(sim)?;
    let roots = vec!["root".to_owned()];
    memory.remember(roots, &heard(version), &mut sim.clone())
}

fn timestamp(sim: &Sim) -> Option<String> {
    Memory::read(sim).unwrap().known.timestamp
}

fn damage(sim: &Sim, name: &str) {
    let mut folder = sim.clone();
    let mut content = folder.read(name).unwrap().unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    folder.replace(name, &content).unwrap();
}

#[test]
fn one_damaged_copy_costs_nothing() {
    for name in COPIES {
        let sim = Sim::empty();
        remember(&sim, 1).unwrap();
        damage(&sim, name);
        let memory = Memory::read(&sim).unwrap();
        assert_eq!(memory.known.timestamp.as_deref(), Some("timestamp 1"));
        assert_eq!(memory.lost, None);
        // The next check that passes writes it anew, though it brought nothing new.
        remember(&sim, 1).unwrap();
        assert_eq!(Memory::read(&sim).unwrap().right, [true, true]);
    }
}

#[test]
fn two_damaged_copies_are_set_aside_and_said() {
    let sim = Sim::empty();
    remember(&sim, 1).unwrap();
    COPIES.iter().for_each(|name| damage(&sim, name));
    let memory = Memory::read(&sim).unwrap();
    assert_eq!(memory.known, Known::default());
    assert!(
        memory
            .lost
            .unwrap()
            .contains("damaged on the disk and was set aside")
    );
    // Reading changes nothing: a check that is refused must not forget that something was lost.
    assert!(Memory::read(&sim).unwrap().lost.is_some());
    remember(&sim, 2).unwrap();
    assert_eq!(Memory::read(&sim).unwrap().lost, None);
    assert!(sim.read("damaged-a").unwrap().is_some() && sim.read("damaged-b").unwrap().is_some());
}

#[test]
fn nothing_new_writes_nothing_and_a_first_time_is_no_loss() {
    let sim = Sim::empty();
    assert_eq!(Memory::read(&sim).unwrap().lost, None);
    remember(&sim, 1).unwrap();
    sim.0.borrow_mut().power = Some(0);
    remember(&sim, 1).unwrap();
    assert!(remember(&sim, 2).is_err());
}

#[test]
fn another_format_and_half_a_file_are_damage() {
    assert!(!is_known(b"") && !is_known(&[b'a'; 64]) && !is_known("é".repeat(65).as_bytes()));
    let rest = br#"{"format":2,"count":1,"roots":[],"timestamp":null,"snapshot":null}"#;
    let sealed = |rest: &[u8]| [format!("{}\n", Sha256::of(rest)).as_bytes(), rest].concat();
    assert!(!is_known(&sealed(rest)));
    assert!(is_known(&sealed(&rest.map(|byte| if byte == b'2' {
        b'1'
    } else {
        byte
    }))));
}

proptest! {
    /// At every moment the last state that was said to be remembered is there, or a later one; never an earlier one, never
    /// half of one.
    #[test]
    fn a_power_cut_never_lowers_what_was_seen(
        cuts in prop::collection::vec((0..30_usize, 0..8_usize, 0..101_usize), 1..12),
    ) {
        let sim = Sim::empty();
        let mut said = 0;
        for (version, (power, names, kept)) in (1_u64..).zip(cuts) {
            sim.0.borrow_mut().power = Some(power);
            if remember(&sim, version).is_ok() {
                said = version;
            }
            sim.restart(names, kept);
            let found: u64 = timestamp(&sim)
                .map_or(0, |text| text.trim_start_matches("timestamp ").parse().unwrap());
            prop_assert!((said..=version).contains(&found), "{found} after {said} was said");
            prop_assert!(Memory::read(&sim).unwrap().lost.is_none());
            said = found;
        }
    }
}

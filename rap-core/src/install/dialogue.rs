//! What an installer says and asks, and what follows from the answers. Pure: lines in, words and decisions out.
//!
//! Invariant: [`Step::Write`] comes only after the disk's own name was typed for the disk that was shown last.

use std::fmt::Write as _;

use super::candidate::{Candidate, Choice, Content};

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The next line is to be read.
    Ask,
    /// The disks are to be looked at again.
    Look,
    /// This disk is to be written to.
    Write(Box<Candidate>),
    /// The computer is to be switched off.
    Off,
}

/// What somebody was asked last.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Which of the disks.
    Which,
    /// To type the name of this disk.
    Name(Box<Candidate>),
    /// Nothing: there is no disk.
    Nothing,
}

/// A conversation about the disks of one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialogue {
    choice: Choice,
    state: State,
}

impl Dialogue {
    /// Begins it; returns what is said first.
    #[must_use]
    pub fn begin(choice: Choice) -> (Self, String) {
        let mut words = list(&choice);
        let state = match &choice.candidates[..] {
            [] => {
                words += "\nThere is no disk that the appliance could go on.\nEnter: look again; off: switch off\n> ";
                State::Nothing
            }
            [only] => name(only, &mut words),
            _ => {
                words += "\nThe number of the disk to write to (Enter: look again; off: switch off)\n> ";
                State::Which
            }
        };
        (Self { choice, state }, words)
    }

    /// Takes an answer; returns what is said to it and what is to be done.
    pub fn hear(&mut self, line: &str) -> (String, Step) {
        let answer = line.trim();
        match (&self.state, answer) {
            (_, "off") => ("Nothing was written.\n".to_owned(), Step::Off),
            (_, "") | (State::Nothing, _) => (String::new(), Step::Look),
            (State::Which, _) => {
                let number = answer
                    .parse::<usize>()
                    .ok()
                    .and_then(|number| number.checked_sub(1));
                let Some(chosen) = number.and_then(|index| self.choice.candidates.get(index)) else {
                    return (
                        "There is no such number. Nothing was written.\n> ".to_owned(),
                        Step::Ask,
                    );
                };
                let mut words = format!("\n{}\n", chosen.words());
                self.state = name(chosen, &mut words);
                (words, Step::Ask)
            }
            (State::Name(chosen), _) if answer == chosen.device.name => {
                (String::new(), Step::Write(chosen.clone()))
            }
            (State::Name(chosen), _) => {
                let words = format!("That is not {}: nothing was written.\n", chosen.device.name);
                (words, Step::Look)
            }
        }
    }
}

/// Asks for the name of a disk.
fn name(candidate: &Candidate, words: &mut String) -> State {
    let name = &candidate.device.name;
    *words += &format!(
        "\nEverything on {name} will be lost. Type {name} to go on (Enter: look again; off: switch off)\n> "
    );
    State::Name(Box::new(candidate.clone()))
}

fn list(choice: &Choice) -> String {
    let mut words = "\nDisks of this computer:\n".to_owned();
    for (number, candidate) in (1..).zip(&choice.candidates) {
        let _ = writeln!(words, "  {number}  {}", candidate.words());
    }
    for line in &choice.refused {
        let _ = writeln!(words, "  -  {line}");
    }
    words
}

/// The disk to write to when nobody is asked, or why there is none.
///
/// # Errors
/// In words: there is none, there are several, or what is on it must not be lost.
pub fn unattended(choice: &Choice, replace: bool) -> Result<&Candidate, String> {
    match &choice.candidates[..] {
        [] => Err("there is no disk that the appliance could go on".to_owned()),
        [only] if only.content == Content::Appliance && !replace => Err(format!(
            "{} has an appliance already; pull the medium out to start it, or make an installer with --replace",
            only.device.name
        )),
        [only] => Ok(only),
        several => Err(format!(
            "there are {} disks, and nobody to say which; leave one in, or make an installer that asks",
            several.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::install::candidate::tests::disk;

    fn choice(disks: &[(&str, Content)]) -> Choice {
        let candidates = disks.iter().map(|(name, content)| Candidate {
            device: disk(name),
            content: *content,
        });
        Choice {
            candidates: candidates.collect(),
            refused: vec!["sdz  8.00 GB  is attached by USB".to_owned()],
        }
    }

    fn written(step: &Step) -> Option<&str> {
        match step {
            Step::Write(candidate) => Some(&candidate.device.name),
            _ => None,
        }
    }

    #[test]
    fn one_disk_is_written_to_after_its_name_was_typed() {
        let (mut dialogue, words) = Dialogue::begin(choice(&[("vda", Content::Nothing)]));
        assert!(
            words.contains("1  vda  128 GB") && words.contains("-  sdz"),
            "{words}"
        );
        assert!(words.contains("Type vda to go on"), "{words}");
        let (words, step) = dialogue.clone().hear("yes\n");
        assert_eq!(
            (words.as_str(), step),
            ("That is not vda: nothing was written.\n", Step::Look)
        );
        assert_eq!(written(&dialogue.hear(" vda\r").1), Some("vda"));
    }

    #[test]
    fn of_several_disks_one_is_chosen_and_then_its_name_typed() {
        let disks = [("sda", Content::Foreign), ("sdb", Content::Appliance)];
        let (mut dialogue, words) = Dialogue::begin(choice(&disks));
        assert!(words.contains("number of the disk"), "{words}");
        for wrong in ["0", "3", "sdb", "-1", "99999999999999999999"] {
            assert_eq!(dialogue.hear(wrong).1, Step::Ask, "{wrong}");
        }
        let (words, step) = dialogue.hear("2");
        assert_eq!(step, Step::Ask);
        assert!(
            words.contains("an appliance is on it") && words.contains("Type sdb"),
            "{words}"
        );
        assert_eq!(dialogue.clone().hear("sda").1, Step::Look);
        assert_eq!(written(&dialogue.hear("sdb").1), Some("sdb"));
    }

    #[test]
    fn without_a_disk_it_is_looked_for_again() {
        let (mut dialogue, words) = Dialogue::begin(choice(&[]));
        assert!(
            words.contains("no disk that the appliance could go on"),
            "{words}"
        );
        assert_eq!(dialogue.hear("vda").1, Step::Look);
        assert_eq!(dialogue.hear("off").1, Step::Off);
    }

    #[test]
    fn unattended_there_has_to_be_one_disk_without_an_appliance() {
        let one = |content| choice(&[("sda", content)]);
        for content in [Content::Nothing, Content::Foreign, Content::Interrupted] {
            assert_eq!(unattended(&one(content), false).unwrap().device.name, "sda");
        }
        let appliance = one(Content::Appliance);
        assert!(unattended(&appliance, false).unwrap_err().contains("--replace"));
        assert_eq!(unattended(&appliance, true).unwrap().device.name, "sda");
        let two = choice(&[("sda", Content::Nothing), ("sdb", Content::Nothing)]);
        assert!(unattended(&two, true).unwrap_err().contains("there are 2 disks"));
        assert!(unattended(&choice(&[]), true).is_err());
    }

    proptest! {
        /// Whatever is typed: written to is only the disk whose own name was the last line.
        #[test]
        fn nothing_but_its_name_writes_to_a_disk(
            count in 0..4_usize,
            lines in proptest::collection::vec(
                prop_oneof![Just("1".to_owned()), Just("2".to_owned()), Just("sda".to_owned()), Just("sdb".to_owned()),
                    Just("off".to_owned()), Just(String::new()), "\\PC{0,6}"], 1..12),
        ) {
            let names = ["sda", "sdb", "sdc"];
            let disks: Vec<_> = names[..count.min(3)].iter().map(|name| (*name, Content::Nothing)).collect();
            let (mut dialogue, _) = Dialogue::begin(choice(&disks));
            for line in &lines {
                let (_, step) = dialogue.hear(line);
                if let Some(name) = written(&step) {
                    prop_assert_eq!(name, line.trim());
                    prop_assert!(disks.iter().any(|(disk, _)| *disk == name));
                }
                if step != Step::Ask {
                    dialogue = Dialogue::begin(choice(&disks)).0;
                }
            }
        }
    }
}

//! Doing a list of steps: in its order within each namespace, and in several ports at once where none waits for another.

use super::execute::Executor;
use super::report::Outcome;
use super::seen::Place;
use super::step::{Action, Step};
use super::{Error, Machine, parallel};

/// Does the steps. After a failure in a port, or at the uplink, nothing more is done there; of a namespace that goes,
/// as much as possible.
///
/// # Errors
/// When the root namespace cannot be closed; nothing is done after that.
pub(super) fn run(machine: &Machine, steps: &[Step]) -> Result<Outcome, Error> {
    let mut outcome = Outcome::default();
    for wave in waves(steps) {
        let groups = groups(wave);
        let groups: Vec<_> = groups
            .into_iter()
            .filter(|group| !outcome.failed(&group[0].place))
            .collect();
        for (group, done) in groups
            .iter()
            .zip(parallel::map(&groups, |group| run_group(machine, group)))
        {
            let mut failures = done.failures.into_iter();
            outcome.changes.extend(done.changes);
            if group[0].place == Place::Root && done.open {
                return Err(failures
                    .next()
                    .map_or_else(|| Error::Blind("root".to_owned()), |(_, error)| error));
            }
            outcome.failures.extend(failures);
        }
    }
    Ok(outcome)
}

/// One namespace's steps of a wave.
fn run_group(machine: &Machine, steps: &[&Step]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut executor = Executor::new(machine);
    let goes = steps.iter().any(|step| step.action == Action::Remove);
    for step in steps {
        match executor.execute(step) {
            Ok(()) => outcome.changes.push(step.to_string()),
            Err(error) => {
                outcome.failures.push((step.place.clone(), error));
                outcome.open |= step.closes();
                if !goes {
                    break;
                }
            }
        }
    }
    outcome
}

/// Parts of the list that have to be done one after the other: all of the root's, and cards that leave ports before
/// they come to others. Within a part, ports do not wait for each other.
fn waves(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    steps.chunk_by(|one, next| wave_of(one) == wave_of(next))
}

#[derive(PartialEq, Eq)]
enum Wave {
    Root,
    Leaving,
    Coming,
}

fn wave_of(step: &Step) -> Wave {
    match (&step.place, &step.action) {
        (Place::Root, _) => Wave::Root,
        (_, Action::SwitchOff { .. } | Action::Release { .. } | Action::Remove) => Wave::Leaving,
        _ => Wave::Coming,
    }
}

/// The steps of a wave by namespace, in their order.
fn groups(wave: &[Step]) -> Vec<Vec<&Step>> {
    let mut groups: Vec<Vec<&Step>> = Vec::new();
    for step in wave {
        match groups.iter_mut().find(|group| group[0].place == step.place) {
            Some(group) => group.push(step),
            None => groups.push(vec![step]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(place: &str, action: Action) -> Step {
        let place = match place {
            "root" => Place::Root,
            port => Place::Port(port.to_owned()),
        };
        Step { place, action }
    }

    fn on(place: &str) -> Step {
        let link = place.to_owned();
        step(place, Action::SwitchOn { link })
    }

    fn leave(place: &str) -> Step {
        let link = place.to_owned();
        step(place, Action::Release { link })
    }

    #[test]
    fn cards_leave_everywhere_before_one_comes_anywhere_and_the_root_is_alone() {
        let steps = [
            on("root"),
            on("a"),
            on("b"),
            on("a"),
            leave("a"),
            leave("b"),
            on("a"),
            on("root"),
        ];
        let lengths: Vec<_> = waves(&steps).map(<[Step]>::len).collect();
        assert_eq!(lengths, [1, 3, 2, 1, 1]);
        let groups = groups(&steps[1..4]);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    }
}

//! What a boot finds of an update: pure, from what is remembered and what is in the slots.
//!
//! An image that runs in a slot whose trial the loader has begun is on trial. One that finds the newer slot failed, and no
//! verdict written down, was not told why: the trial was cut short by a power cut, a panic or a hang. It is armed again,
//! at most [`RETRIES`] times, and then given up.

use crate::boot::environment;

use super::state::{State, Trial};

/// How often a trial that was cut short is begun anew.
pub const RETRIES: u32 = 3;

/// One slot, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The build that its UKI says it is; `None` where there is none.
    pub build_id: Option<String>,
    /// How far its trial is; `None` where its environment is damaged.
    pub state: Option<environment::State>,
}

/// What is to be done first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aftermath {
    /// Nothing.
    Settled,
    /// This image is on trial; `known` is whether that was written down.
    OnTrial {
        /// Whether a record of it is there.
        known: bool,
    },
    /// This image was confirmed, and that is not written down yet.
    Confirmed,
    /// The other slot is armed: a restart begins its trial.
    Armed,
    /// The other slot's trial was cut short and may be begun anew, once its image is found whole.
    Again,
    /// The other slot's release is given up, for this reason.
    GiveUp(String),
    /// There is nothing left of the update that was begun: it is forgotten.
    Forget,
}

/// What follows; `stage` is how far the last trial came, in init's words, where it came far enough to say so.
#[must_use]
pub fn of(state: &State, running: &Slot, other: &Slot, stage: Option<&str>) -> Aftermath {
    use environment::State as Env;
    let trial = state.trial.as_ref();
    let is = |slot: &Slot, trial: &Trial| slot.build_id.as_ref() == Some(&trial.release.build_id);
    if running.state == Some(Env::Testing) {
        let known = trial.is_some_and(|trial| is(running, trial));
        return Aftermath::OnTrial { known };
    }
    let Some(trial) = trial else {
        return Aftermath::Settled;
    };
    if is(running, trial) {
        return Aftermath::Confirmed;
    }
    if !is(other, trial) {
        return Aftermath::Forget;
    }
    if other.state == Some(Env::Installed) && trial.verdict.is_none() {
        return Aftermath::Armed;
    }
    match &trial.verdict {
        Some(why) => Aftermath::GiveUp(why.clone()),
        None if trial.attempt <= RETRIES => Aftermath::Again,
        None => Aftermath::GiveUp(format!(
            "{} trials ended without a verdict; in the last one {}",
            trial.attempt,
            reached(stage)
        )),
    }
}

/// How far a trial came.
#[must_use]
pub fn reached(stage: Option<&str>) -> String {
    match stage {
        Some(stage) => format!("it came to: {stage}"),
        None => "it did not come as far as its data partition (refused by firmware, too little memory, a panic or a \
                 hang before that)"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use environment::State as Env;

    use super::super::state::tests::{named, trial};
    use super::*;

    fn slot(number: u64, state: Env) -> Slot {
        Slot {
            build_id: Some(named(number).build_id),
            state: Some(state),
        }
    }

    fn with(attempt: u32, verdict: Option<&str>) -> State {
        State {
            trial: Some(Trial {
                attempt,
                verdict: verdict.map(str::to_owned),
                ..trial(2)
            }),
            ..State::default()
        }
    }

    #[test]
    fn on_trial_with_and_without_a_record() {
        let (running, other) = (slot(2, Env::Testing), slot(1, Env::Ok));
        assert_eq!(
            of(&with(1, None), &running, &other, None),
            Aftermath::OnTrial { known: true }
        );
        let lost = of(&State::default(), &running, &other, None);
        assert_eq!(lost, Aftermath::OnTrial { known: false });
    }

    #[test]
    fn a_trial_that_was_cut_short_is_begun_anew_three_times() {
        let (running, other) = (slot(1, Env::Ok), slot(2, Env::Failed));
        for attempt in 1..=RETRIES {
            assert_eq!(of(&with(attempt, None), &running, &other, None), Aftermath::Again);
        }
        let over = of(&with(RETRIES + 1, None), &running, &other, Some("stage services"));
        let Aftermath::GiveUp(why) = over else {
            panic!("{over:?}")
        };
        assert_eq!(
            why,
            "4 trials ended without a verdict; in the last one it came to: stage services"
        );
    }

    #[test]
    fn a_verdict_ends_it_at_once() {
        let (running, other) = (slot(1, Env::Ok), slot(2, Env::Failed));
        let over = of(&with(1, Some("no lease")), &running, &other, None);
        assert_eq!(over, Aftermath::GiveUp("no lease".to_owned()));
    }

    #[test]
    fn cuts_between_two_writes() {
        let armed = of(&with(1, None), &slot(1, Env::Ok), &slot(2, Env::Installed), None);
        assert_eq!(armed, Aftermath::Armed);
        let confirmed = of(&with(1, None), &slot(2, Env::Ok), &slot(1, Env::Ok), None);
        assert_eq!(confirmed, Aftermath::Confirmed);
        let vacant = Slot {
            build_id: None,
            state: Some(Env::Failed),
        };
        assert_eq!(
            of(&with(1, None), &slot(1, Env::Ok), &vacant, None),
            Aftermath::Forget
        );
        assert_eq!(
            of(&State::default(), &slot(1, Env::Ok), &vacant, None),
            Aftermath::Settled
        );
    }
}

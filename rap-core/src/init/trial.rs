//! An update's trial, as init sees it: how far it came is written down stage by stage, and it has an end.
//!
//! The updater confirms; but an image whose updater cannot even run must not stay. So init holds the time itself: who is
//! still on trial after [`DEADLINE`] is restarted, and the loader takes the other slot. So is at once who is on trial by its
//! slot's word and has no data partition: the image before it had one. What is written down is read by the old image, which
//! can then say how far the new one came.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::boot::environment::State;
use crate::paths;
use crate::update::aftermath::GAVE_UP;
use crate::update::slots::Slots;
use crate::update::slots::device::Device;
use crate::update::state::marker_for;

use super::durable;
use super::services::Services;
use super::supervisor::Goal;

/// How long after its start an image may be on trial; the updater's own patience is shorter.
pub(super) const DEADLINE: Duration = Duration::from_secs(900);

/// Whether the image `build_id` is on trial by what its slot says, for a box whose data partition cannot be asked. Slots that
/// cannot be read say nothing: then it is not.
pub(super) fn says_the_slot<D: Device>(slots: [D; 2], build_id: &str) -> bool {
    let Ok(running) = Slots::with_build_id(&slots, build_id) else {
        return false;
    };
    let found = Slots::new(slots, running, None).map(|slots| slots.look(running).environment);
    found.is_ok_and(|environment| environment.is_ok_and(|found| found.state == State::Testing))
}

/// The trial of the image that runs.
#[derive(Debug)]
pub(super) struct Trial {
    folder: PathBuf,
    stage: PathBuf,
    build_id: String,
    /// Which build and which attempt, in the updater's words.
    marker: String,
    ready: bool,
    hopeless: bool,
}

impl Trial {
    /// Whether the image `build_id` is on trial, as the data partition at `data` says.
    pub(super) fn of(data: &Path, build_id: &str) -> Option<Self> {
        let folder = super::paths_below(data).update;
        let stage = Path::new(paths::TRIAL_STAGE).file_name()?;
        Some(Self {
            marker: marker_for(&folder, build_id)?,
            folder,
            stage: data.join(stage),
            build_id: build_id.to_owned(),
            ready: false,
            hopeless: false,
        })
    }

    /// Writes down how far it came, durably.
    pub(super) fn came_to(&self, words: &str) {
        let line = format!("{} {words}\n", self.marker);
        if let Err(error) = durable::write(&self.stage, line.as_bytes(), 0o644, None) {
            log::error!("{:#}", anyhow::Error::from(error));
        }
    }

    /// Takes down what is new of the services.
    pub(super) fn note(&mut self, services: &Services) {
        if !self.ready && services.ready_after.is_some() {
            self.ready = true;
            self.came_to("all services were ready");
        }
        if !self.hopeless && !services.supervisor.feeds() {
            self.hopeless = true;
            let list = services.list.iter().enumerate();
            let looping = list.filter(|(id, _)| services.supervisor.loops(*id));
            let names: Vec<&str> = looping.map(|(_, service)| service.spec.name).collect();
            self.came_to(&format!("{GAVE_UP}{} ended again and again", names.join(", ")));
        }
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        now >= DEADLINE
    }

    /// When its time is over: nothing, if it was confirmed meanwhile.
    pub(super) fn end(&self) -> Option<Goal> {
        marker_for(&self.folder, &self.build_id)?;
        let minutes = DEADLINE.as_secs() / 60;
        log::error!(
            "nobody confirmed this image within {minutes} minutes: the box restarts with the other one"
        );
        self.came_to(&format!("{GAVE_UP}nobody confirmed it within {minutes} minutes"));
        Some(Goal::Reboot)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::boot::disk::SLOT_BYTES;
    use crate::boot::environment::Environment;
    use crate::boot::slot::{Label, slot_image};
    use crate::boot::uki::tests::program;

    fn data(marker: &str) -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("update")).unwrap();
        std::fs::write(data.path().join("update/trial"), marker).unwrap();
        data
    }

    #[test]
    fn only_the_image_that_is_meant_is_on_trial() {
        let data = data("abc 2\n");
        assert!(Trial::of(data.path(), "ab").is_none());
        let trial = Trial::of(data.path(), "abc").unwrap();
        trial.came_to("its data partition");
        let stage = std::fs::read_to_string(data.path().join("trial-stage")).unwrap();
        assert_eq!(stage, "abc 2 its data partition\n");
    }

    #[test]
    fn a_slot_says_whether_its_image_is_on_trial() {
        let slot = |label: Label, build: &str, state| {
            let uki = program(build, 9000, 7);
            let environment = Environment {
                state,
                ..label.confirmed(1, 60)
            };
            let file = tempfile::tempfile().unwrap();
            file.set_len(SLOT_BYTES).unwrap();
            for extent in slot_image(&uki, label, &environment).unwrap().extents {
                file.write_all_at(&extent.bytes, extent.offset).unwrap();
            }
            file
        };
        let on_trial = |build: &str| {
            let slots = [
                slot(Label::A, "aaaa", State::Ok),
                slot(Label::B, "bbbb", State::Testing),
            ];
            says_the_slot(slots, build)
        };
        assert!(on_trial("bbbb"));
        assert!(!on_trial("aaaa") && !on_trial("cccc"));
    }

    #[test]
    fn its_time_ends_unless_it_was_confirmed() {
        let data = data("abc 1\n");
        let trial = Trial::of(data.path(), "abc").unwrap();
        assert!(!trial.is_over(DEADLINE - Duration::from_secs(1)) && trial.is_over(DEADLINE));
        assert_eq!(trial.end(), Some(Goal::Reboot));
        std::fs::remove_file(data.path().join("update/trial")).unwrap();
        assert_eq!(trial.end(), None);
    }
}

//! Updates on the booted box: a good release is kept, a bad one goes by itself and says why.

use std::path::PathBuf;
use std::time::Duration;

use rap_tests::releases::{Change, Workshop};
use rap_tests::system::{BOOT, KEYS, READY, REPOSITORY_PORT, Repository, SITE, System};
use serde_json::Value;

use crate::{debug_image, deliver, system_with, workspace};

/// How long bringing, writing and reading back may take under software emulation.
const INSTALL: Duration = Duration::from_secs(600);
/// How long until a trial that is well is confirmed, after its start: it has to be well for a minute.
const CONFIRM: Duration = Duration::from_secs(300);
/// How long until init gives up a service that ends again and again.
const GIVE_UP: Duration = Duration::from_secs(900);

/// A box, its repository, and the workshop for more releases. Release 1 runs.
struct Story {
    system: System,
    workshop: Workshop,
    repository: Repository,
}

impl Story {
    /// `None` when this machine cannot have one.
    fn begin(secure_boot: bool) -> Option<Self> {
        let keys = workspace().join(KEYS);
        if !debug_image().join("rap.efi").is_file() {
            return system_with(|setup| setup.image = debug_image()).and(None);
        }
        let workshop = Workshop::new(&debug_image(), &keys).unwrap();
        let first = workshop.make("1.0.0", &[]).unwrap();
        workshop.flash(&first).unwrap();
        workshop.publish(&first, None, |_| ()).unwrap();
        let mut system = system_with(|setup| {
            setup.image = first;
            setup.site = site();
            setup.secure_boot = secure_boot;
        })?;
        let repository = Repository::serve(&system.lab, &keys, &workshop.repository()).unwrap();
        system.boot().unwrap_or_else(|error| panic!("{error:#}"));
        Some(Self {
            system,
            workshop,
            repository,
        })
    }

    fn release(&self, version: &str, changes: &[Change]) -> PathBuf {
        let folder = self.workshop.make(version, changes).unwrap();
        self.workshop.publish(&folder, None, |_| ()).unwrap();
        folder
    }

    /// A person installs what is published; returns once the new image has said `words`.
    fn install(&self, words: &str, deadline: Duration) {
        let machine = &self.system.machine;
        let mark = machine.mark();
        self.system
            .shell("rapctl update install >/run/said 2>&1 &")
            .unwrap();
        let begun = machine
            .console()
            .wait_for_since(mark, "wants the box restarted: the trial", INSTALL);
        if let Err(error) = begun {
            let said = self.system.shell("cat /run/said; rapctl update status");
            panic!("{error}\n{said:?}\n{}", self.repository.log());
        }
        let mark = machine.mark();
        self.wait(mark, words, BOOT + deadline);
    }

    fn wait(&self, mark: rap_qemu::console::Mark, words: &str, deadline: Duration) {
        let said = self
            .system
            .machine
            .console()
            .wait_for_since(mark, words, deadline);
        said.unwrap_or_else(|error| panic!("{error}"));
    }

    fn status(&self) -> Value {
        self.system.status("update").unwrap()
    }
}

/// [`SITE`] with a repository beside the centre, where a person decides.
fn site() -> String {
    format!("{SITE}\n[update]\nurl = \"https://10.9.0.10:{REPOSITORY_PORT}\"\ninstall = \"manual\"\n")
}

#[test]
fn a_good_release_is_kept_and_a_bad_one_goes_by_itself_and_says_why() {
    let Some(mut story) = Story::begin(true) else {
        return;
    };
    story.release("1.1.0", &[Change::File("etc/rap/novelty", b"1.1.0".to_vec())]);
    let before = story.repository.served();
    story.install("1.1.0 (number 2", CONFIRM);
    let mark = story.system.machine.mark();
    story.wait(mark, "is confirmed: all was well for a while", CONFIRM);
    let status = story.status();
    assert_eq!(status["slots"][1]["running"], true, "{status:#}");
    assert_eq!(status["slots"][1]["state"], "confirmed", "{status:#}");
    assert_eq!(
        (&status["running"]["version"], &status["floor"]),
        (&"1.1.0".into(), &2.into())
    );
    let after = story.repository.served();
    println!(
        "the release came in {} bytes, {} files",
        after.bytes - before.bytes,
        after.requests - before.requests
    );
    story.system.agents.post(&story.system.lab, 1, 1).unwrap();
    deliver(&story.system);

    // Without nft nothing can be let through, and netd ends.
    story.release("1.2.0", &[Change::Without("usr/sbin/nft")]);
    story.install("is given up: netd ended again and again", GIVE_UP);
    let mark = story.system.machine.mark();
    if story.system.machine.console().first(READY).is_none() {
        story.wait(mark, READY, BOOT);
    }
    let status = story.status();
    assert_eq!(status["slots"][1]["running"], true, "{status:#}");
    assert_eq!(status["given-up"]["release"]["version"], "1.2.0", "{status:#}");
    let history = story.system.shell("rapctl update history").unwrap();
    assert!(
        history.contains("given up") && history.contains("confirmed"),
        "{history}"
    );
    story.system.agents.post(&story.system.lab, 1, 1).unwrap();
    deliver(&story.system);
}

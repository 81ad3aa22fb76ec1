//! What is to be done about a release, and why: pure.
//!
//! In this order: what runs already needs nothing; what may never be installed is refused; what may not be installed now
//! waits, with a reason and, where it can be told, for how long; else the cheapest [`Way`] that this box can take.
//!
//! | a person's word overrides | and does not |
//! |---|---|
//! | waves, windows, `install`, a release that was given up | the floor, the minimum, memory, a remote session |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::release::{self, Manifest, Patch};
use crate::site::updates::{Install, Window, open_in};

use super::state::{Consent, Floor, GivenUp, Named};

/// Everything a decision rests on.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The release on offer.
    pub manifest: &'a Manifest,
    /// The build that runs.
    pub build_id: &'a str,
    /// The SHA-256 of its `RAP.EFI`, where that was found whole.
    pub uki: Option<Sha256>,
    /// What that build is called, where it is known.
    pub running: Option<&'a Named>,
    /// The highest release that was confirmed.
    pub floor: &'a Floor,
    /// The box's place among all boxes, 1 to 100.
    pub percent: u8,
    /// The time, in seconds since 1970.
    pub now: u64,
    /// All memory, in MiB.
    pub memory_mib: u64,
    /// Memory that is free for an update's work, in MiB.
    pub free_mib: u64,
    /// Whether a remote session is open.
    pub session: bool,
    /// When the box may restart.
    pub windows: &'a [Window],
    /// Who decides.
    pub install: Install,
    /// A person's word, for this or another build.
    pub consent: Option<&'a Consent>,
    /// What was tried and does not work here.
    pub given_up: Option<&'a GivenUp>,
    /// Whether a patch to this release did not give what it should.
    pub patch_failed: bool,
    /// Bytes a second that the repository gave, where that was measured.
    pub rate: Option<f64>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Decision {
    /// It runs already.
    Nothing {
        /// In words.
        why: String,
    },
    /// It is not installed here, ever.
    Refuse {
        /// In words.
        why: String,
    },
    /// It is not even brought now.
    Wait(Wait),
    /// It is brought, and installed as the plan says.
    Install(Plan),
}

/// A reason to wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Wait {
    /// In words.
    pub why: String,
    /// For how many seconds, where that can be told.
    pub seconds: Option<u64>,
}

/// How a release is installed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// How its image comes about.
    pub way: Way,
    /// Bytes of that way, all together.
    pub bytes: u64,
    /// How many seconds bringing them takes at the rate that was measured.
    pub seconds: Option<u64>,
    /// Memory that it takes meanwhile, in MiB.
    pub memory_mib: u64,
    /// What keeps the box from writing it and restarting now; nothing when it may.
    pub restart: Option<Wait>,
}

/// How the image of a release comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// From what runs, by the patch of this place in the manifest.
    Patch(usize),
    /// Whole.
    Full,
}

/// Memory that writing a whole image takes, in MiB: a frame, what it unpacks to, and the program itself.
const FULL_MIB: u64 = 16;

/// What is to be done about the release on offer.
#[must_use]
pub fn decide(facts: &Facts<'_>) -> Decision {
    let manifest = facts.manifest;
    if manifest.build_id == facts.build_id {
        let why = format!("{} runs already", Named::of(manifest).words());
        return Decision::Nothing { why };
    }
    if let Some(why) = refusal(facts) {
        return Decision::Refuse { why };
    }
    if let Some(wait) = before_bringing(facts) {
        return Decision::Wait(wait);
    }
    let (way, bytes, memory_mib) = cheapest(facts);
    Decision::Install(Plan {
        way,
        bytes,
        seconds: facts.rate.and_then(|rate| seconds_for(bytes, rate)),
        memory_mib,
        restart: before_restarting(facts),
    })
}

fn refusal(facts: &Facts<'_>) -> Option<String> {
    let manifest = facts.manifest;
    let Floor { number, build_id, .. } = facts.floor;
    let name = Named::of(manifest).words();
    if manifest.number < *number {
        return Some(format!(
            "{name} is older than release number {number}, which was confirmed here"
        ));
    }
    if manifest.number == *number && manifest.build_id != *build_id {
        return Some(format!(
            "{name} has the number of another build that was confirmed here: a mistake of who published it"
        ));
    }
    if manifest.memory_mib > facts.memory_mib {
        return Some(format!(
            "{name} needs {} MiB of memory, this box has {}",
            manifest.memory_mib, facts.memory_mib
        ));
    }
    let minimum = manifest.minimum;
    let known = facts.running.map_or(0, |running| running.number);
    (minimum > known).then(|| {
        let runs = facts.running.map_or_else(
            || "and it is not known which release runs here".to_owned(),
            |running| format!("and this is number {}", running.number),
        );
        format!("{name} can be installed over release number {minimum} or a later one only, {runs}: install one between first")
    })
}

fn before_bringing(facts: &Facts<'_>) -> Option<Wait> {
    let manifest = facts.manifest;
    if consents(facts) {
        return None;
    }
    if let Some(given_up) = facts
        .given_up
        .filter(|given_up| given_up.release.build_id == manifest.build_id)
    {
        return Some(Wait {
            why: format!(
                "it was tried and given up ({}): waits for a newer release, or for a person (rapctl update install)",
                given_up.why
            ),
            seconds: None,
        });
    }
    if facts.install == Install::Manual {
        return Some(Wait {
            why: "the site says that a person decides (rapctl update install)".to_owned(),
            seconds: None,
        });
    }
    wave(facts)
}

/// Whether this box's wave has not come yet.
fn wave(facts: &Facts<'_>) -> Option<Wait> {
    let waves = &facts.manifest.waves;
    if waves.is_empty() {
        return None;
    }
    let Some(wave) = waves.iter().find(|wave| wave.percent >= facts.percent) else {
        return Some(Wait {
            why: format!(
                "it is rolled out to {} % of all boxes so far, and this one is not among them",
                waves.last().map_or(0, |wave| wave.percent)
            ),
            seconds: None,
        });
    };
    let turn = facts.manifest.published.saturating_add(wave.after);
    let left = turn.saturating_sub(facts.now);
    (left > 0).then(|| Wait {
        why: format!("its wave (the first {} %) begins in {}", wave.percent, time(left)),
        seconds: Some(left),
    })
}

/// What keeps the box from restarting now, though everything is there.
fn before_restarting(facts: &Facts<'_>) -> Option<Wait> {
    restart_wait(
        facts.session,
        consents(facts),
        facts.install,
        facts.windows,
        facts.now,
    )
}

/// What keeps a box from restarting for an update; `asked` is whether a person wants it now.
#[must_use]
pub fn restart_wait(
    session: bool,
    asked: bool,
    install: Install,
    windows: &[Window],
    now: u64,
) -> Option<Wait> {
    if session {
        return Some(Wait {
            why: "a remote session is open".to_owned(),
            seconds: None,
        });
    }
    if asked {
        return None;
    }
    if install != Install::Automatic {
        return Some(Wait {
            why: "waits for a person (rapctl update install)".to_owned(),
            seconds: None,
        });
    }
    let wait = open_in(windows, now);
    (wait > Duration::ZERO).then(|| Wait {
        why: format!("the window opens in {}", time(wait.as_secs())),
        seconds: Some(wait.as_secs()),
    })
}

fn consents(facts: &Facts<'_>) -> bool {
    facts
        .consent
        .is_some_and(|consent| consent.build_id == facts.manifest.build_id)
}

/// The fewest bytes among what this box can do.
fn cheapest(facts: &Facts<'_>) -> (Way, u64, u64) {
    let fits = |patch: &Patch| {
        !facts.patch_failed && Some(patch.from) == facts.uki && patch.memory_mib <= facts.free_mib
    };
    let patches = facts.manifest.patches.iter().enumerate();
    let patches = patches.filter(|(_, patch)| fits(patch));
    let full = (Way::Full, release::bytes(&facts.manifest.full), FULL_MIB);
    patches
        .map(|(index, patch)| (Way::Patch(index), release::bytes(&patch.pieces), patch.memory_mib))
        .chain([full])
        .min_by_key(|(_, bytes, _)| *bytes)
        .unwrap_or(full)
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate for people; bounded before the cast"
)]
fn seconds_for(bytes: u64, rate: f64) -> Option<u64> {
    let seconds = bytes as f64 / rate;
    (seconds.is_finite() && (0.0..1e9).contains(&seconds)).then(|| seconds.ceil() as u64)
}

/// A time for people.
#[must_use]
pub fn time(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds.div_ceil(60)),
        7200..172_800 => format!("{} h", seconds.div_ceil(3600)),
        _ => format!("{} days", seconds.div_ceil(86_400)),
    }
}

#[cfg(test)]
mod tests;

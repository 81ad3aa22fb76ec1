//! What the desk does that is no session: orders for the instruments' agents, a new site, an update looked for.
//!
//! A new site restarts every service, this one too: so what is to be told of it is remembered before it is tried, and told
//! when netd's own record says how its trial ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::desk::{Desk, Now};
use super::hands::Hands;
use super::memory::MOST_ORDERS;
use super::record::Record;
use crate::audit::Kind;
use crate::digest::Sha256;
use crate::directive::{Directive, Outcome};
use crate::folder::Folder;
use crate::forward::inbox::{Order, OrderId, What};
use crate::netd::trial;
use crate::site::fingerprint;

/// When netd has no record of a trial for so long, there was none: several times what a trial takes.
const NO_RECORD: Duration = Duration::from_secs(15 * 60);

/// A site that was tried for the service centre, until it is told what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tried {
    /// The directive's number.
    pub(super) number: u64,
    /// The site's fingerprint.
    site: String,
    /// The last trial of the same site before this one: its boot, and its beginning since then.
    before: Option<(String, u64)>,
}

impl<F: Folder, H: Hands, R: Record> Desk<F, H, R> {
    /// Does what the house does not forbid.
    pub(super) fn outcome(&mut self, directive: &Directive, digest: Sha256, now: Now) -> Option<Outcome> {
        match self.house.forbids(directive.command.name()) {
            Some(why) => Some(Outcome::Refused(why)),
            None => self.command(directive, digest, now),
        }
    }

    /// Hands an order to the forwarder, once it is on the disk.
    pub(super) fn order(&mut self, number: u64, digest: Sha256, what: What) -> Outcome {
        let id = OrderId::of(&digest);
        let order = Order { id, number, what };
        if self.house.port(order.port().as_str()).is_none() {
            return Outcome::Refused(format!("this box has no port {}", order.port()));
        }
        if self.memory.kept().orders(usize::MAX).len() >= MOST_ORDERS {
            return Outcome::Refused(format!(
                "{MOST_ORDERS} orders wait for the forwarder; sign it again later"
            ));
        }
        let done = json!({ "order": order.id, "seconds": order.seconds() });
        match self.memory.change(|kept| kept.order(order)) {
            Ok(()) => Outcome::Done(done),
            Err(error) => Outcome::Failed(format!("the disk does not take it: {error}")),
        }
    }

    /// Puts another site on trial. How that ends is told by [`Desk::watch_trial`].
    pub(super) fn try_site(&mut self, number: u64, text: &str) -> Outcome {
        if self.memory.kept().tried.is_some() {
            return Outcome::Refused("another site of the service centre is on trial".to_owned());
        }
        let site = fingerprint(text.as_bytes());
        let before = self
            .hands
            .trials()
            .iter()
            .rev()
            .find(|record| record.site == site)
            .map(begun);
        let tried = Tried { number, site, before };
        if let Err(error) = self.memory.change(|kept| kept.tried = Some(tried)) {
            return Outcome::Failed(format!("the disk does not take it: {error}"));
        }
        match self.hands.try_site(text) {
            Ok(done) => Outcome::Done(done),
            Err(why) => {
                self.forget_trial();
                Outcome::Failed(why)
            }
        }
    }

    /// Tells how the trial of a site ended, once netd has written it down.
    pub(super) fn watch_trial(&mut self, now: Duration) {
        let Some(tried) = self.memory.kept().tried.clone() else {
            return;
        };
        let since = *self.waiting_since.get_or_insert(now);
        let found = self
            .hands
            .trials()
            .into_iter()
            .rev()
            .find(|record| record.site == tried.site && Some(begun(record)) != tried.before);
        let (state, words) = match found.and_then(|record| record.ended) {
            Some(ended) if ended.outcome == trial::Outcome::Kept => ("kept", ended.why),
            Some(ended) => ("undone", ended.why),
            None if now >= since + NO_RECORD => ("unknown", "the box has no record of its trial".to_owned()),
            None => return,
        };
        let facts = [("site", tried.site.as_str()), ("state", state), ("words", &words)];
        self.records.record(Kind::SettingsChanged, &facts);
        let data = json!({ "number": tried.number, "site": tried.site, "state": state, "words": words });
        self.tell("rap.settings.changed", data);
        self.forget_trial();
    }

    /// Why a directive that was taken and never finished was interrupted.
    pub(super) fn interruption(&self, number: u64) -> Outcome {
        let tried = self.memory.kept().tried.as_ref();
        if tried.is_some_and(|tried| tried.number == number) {
            let note = "its services restarted for it; rap.settings.changed will say what became of it";
            return Outcome::Done(json!({ "note": note }));
        }
        Outcome::Failed("the box or its session service restarted in between".to_owned())
    }

    /// A look was taken.
    pub(super) fn looked(&mut self, number: u64, digest: Sha256, outcome: Outcome) {
        self.settle(number, digest, "diagnose", outcome);
    }

    /// Has the updater look for a release.
    pub(super) fn check_update(&mut self) -> Outcome {
        match self.hands.check_update() {
            Ok(()) => Outcome::Done(json!({})),
            Err(why) => Outcome::Failed(why),
        }
    }

    fn forget_trial(&mut self) {
        self.waiting_since = None;
        if let Err(error) = self.memory.change(|kept| kept.tried = None) {
            log::error!("what became of a new site may be told twice, the disk does not take it: {error}");
        }
    }
}

/// What tells one trial from another of the same site.
fn begun(record: &trial::Record) -> (String, u64) {
    (record.boot.clone(), record.since)
}

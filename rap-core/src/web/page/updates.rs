//! Updates of the box: what runs, what is on offer, what is done about it and why, what was.

use maud::{Markup, html};

use super::{Frame, facts};
use crate::update::status::{self, Status};

/// The page.
pub(in crate::web) fn updates(frame: &Frame<'_>, status: Option<&Status>) -> Markup {
    let words = frame.words;
    let content = match status {
        None => html! { p { (words.unavailable) } },
        Some(status) => html! {
            (now(frame, status))
            (slots(frame, status))
            (history(frame, status))
        },
    };
    frame.page(&words.updates, &content)
}

fn now(frame: &Frame<'_>, status: &Status) -> Markup {
    let words = frame.words;
    let none = || words.none.clone();
    let running = status.running.as_ref().map_or_else(
        || words.not_known.clone(),
        |named| format!("{} ({})", named.version, named.number),
    );
    let offer = status.offer.as_ref().map_or_else(none, |offer| {
        format!("{} ({})", offer.release.version, offer.release.number)
    });
    let changes = status.offer.iter().flat_map(|offer| &offer.changes);
    html! {
        p.well role="status" { bdi { (status.summary()) } }
        (facts(&[
            (&words.runs, html! { (running) }),
            (&words.on_offer, html! { (offer) @for change in changes { br; bdi { (change) } } }),
            (&words.decision, html! {
                bdi { (status.decision.as_ref().map_or_else(none, status::words)) }
            }),
            (&words.checked_at, html! { (super::text_or(status.checked_at.as_deref(), &words.not_at_all)) }),
            (&words.repository, html! { (super::text_or(status.repository.as_deref(), &words.none)) }),
        ]))
        @if let Some(given_up) = &status.given_up {
            section.wrong aria-labelledby="given-up" {
                h2 #given-up { (words.given_up) " " (given_up.release.version) }
                p { bdi { (given_up.why) } " (" (given_up.at) ")" }
            }
        }
    }
}

fn slots(frame: &Frame<'_>, status: &Status) -> Markup {
    let words = frame.words;
    html! { section {
        h2 #slots { (words.slots) }
        div.wide tabindex="0" role="region" aria-labelledby="slots" { table {
            thead { tr {
                th scope="col" { (words.slot) } th scope="col" { (words.version) }
                th scope="col" { (words.state) } th scope="col" { (words.runs) }
            } }
            tbody { @for slot in &status.slots { tr {
                th scope="row" { (slot.slot) }
                td { (super::text_or(slot.version.as_deref(), &words.none)) }
                td { (slot.state) } td { (if slot.running { &words.yes } else { &words.no }) }
            } } }
        } }
    } }
}

fn history(frame: &Frame<'_>, status: &Status) -> Markup {
    let words = frame.words;
    html! { section {
        h2 #history { (words.history) }
        @if status.history.is_empty() {
            p { (words.no_history) }
        } @else { div.wide tabindex="0" role="region" aria-labelledby="history" { table {
            thead { tr {
                th scope="col" { (words.when) } th scope="col" { (words.version) }
                th scope="col" { (words.state) } th scope="col" { (words.why) }
            } }
            tbody { @for entry in status.history.iter().rev() { tr {
                th scope="row" { (entry.at) } td { (entry.release.version) }
                td { (entry.what) } td { bdi { (entry.why) } }
            } } }
        } } }
    } }
}

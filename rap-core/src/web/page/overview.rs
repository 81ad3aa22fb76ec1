//! What the box is and does, and whether all is well.

use maud::{Markup, html};

use super::{Frame, facts, remote};
use crate::session::people::Shown;
use crate::web::language::fill;
use crate::web::view::View;

/// The page; `shown` is what is asked for at this port.
pub(in crate::web) fn overview(frame: &Frame<'_>, view: &View, shown: &[Shown]) -> Markup {
    let words = frame.words;
    let content = html! {
        (remote::banner(frame, shown))
        p { (words.what_this_is) }
        (health(frame, view))
        section {
            h2 #reports { (words.reports) }
            (delivery(frame, view))
        }
        section {
            h2 #services { (words.services) }
            (services(frame, view))
        }
    };
    frame.page(&words.overview, &content)
}

fn health(frame: &Frame<'_>, view: &View) -> Markup {
    let words = frame.words;
    html! {
        @if view.problems.is_empty() {
            p.well role="status" { (words.all_well) }
        } @else {
            section.wrong aria-labelledby="problems" {
                h2 #problems { (words.problems) }
                ul { @for (service, problem) in &view.problems {
                    li { strong { @if service == "init" { (words.box_itself) } @else { (service) } } ": " bdi { (problem) } }
                } }
            }
        }
    }
}

fn delivery(frame: &Frame<'_>, view: &View) -> Markup {
    let words = frame.words;
    let Some(forward) = &view.forward else {
        return html! { p { (words.unavailable) } };
    };
    let waiting = forward.alert.waiting + forward.routine.waiting;
    let link = match &forward.trouble {
        None => words.delivering.clone(),
        Some(why) => fill(&words.not_delivering, &[("why", why)]),
    };
    facts(&[
        (&words.link, html! { (link) }),
        (&words.waiting, html! { (waiting) }),
        (&words.delivered, html! { (forward.delivered) }),
        (
            &words.last_delivered,
            html! { (super::text_or(forward.delivered_at.as_deref(), &words.never_yet)) },
        ),
    ])
}

fn services(frame: &Frame<'_>, view: &View) -> Markup {
    let words = frame.words;
    let Some(init) = &view.init else {
        return html! { p { (words.unavailable) } };
    };
    html! {
        div.wide tabindex="0" role="region" aria-labelledby="services" { table {
            thead { tr {
                th scope="col" { (words.service) } th scope="col" { (words.state) }
                th scope="col" { (words.since_restart) }
            } }
            tbody { @for service in &init.services { tr {
                th scope="row" { (service.name) } td { (service.state) } td { (service.restarts) }
            } } }
        } }
    }
}

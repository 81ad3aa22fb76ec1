//! The port the page is seen at: its link, and what the audit trail has of it.

use maud::{Markup, html};

use super::{Frame, text_or};
use crate::netd::report::LinkStatus;
use crate::web::view::View;

/// The page.
pub(in crate::web) fn instrument(frame: &Frame<'_>, view: &View) -> Markup {
    let words = frame.words;
    let content = match &view.netd {
        None => html! { p { (words.unavailable) } },
        Some(netd) => {
            let ports = netd.ports.iter();
            // What is behind the other ports is their instruments' business.
            let ours = ports.filter(|port| port.name == frame.port);
            html! { section {
                h2 #ports { (words.ports) }
                div.wide tabindex="0" role="region" aria-labelledby="ports" { table {
                    thead { tr {
                        th scope="col" { (words.port) } th scope="col" { (words.card) }
                        th scope="col" { (words.cable) } th scope="col" { (words.address) }
                    } }
                    tbody {
                        @for port in ours { (row(frame, &port.name, port)) }
                        (row(frame, &words.uplink, &netd.uplink))
                    }
                } }
            } }
        }
    };
    frame.page(&words.instrument, &html! { (content) (trail(frame, view)) })
}

/// The newest records about this port, the newest first.
fn trail(frame: &Frame<'_>, view: &View) -> Markup {
    let words = frame.words;
    let all = view.audit.iter().flat_map(|audit| audit.instruments.iter().rev());
    // What happened at the other ports is theirs.
    let ours: Vec<_> = all.filter(|record| record.port == frame.port).collect();
    html! { section {
        h2 #trail { (words.trail) }
        p { (words.trail_more) }
        @if ours.is_empty() { p { (words.no_trail) } } @else {
            div.wide tabindex="0" role="region" aria-labelledby="trail" { table {
                thead { tr {
                    th scope="col" { (words.record) } th scope="col" { (words.when) }
                    th scope="col" { (words.kind) } th scope="col" { (words.what_happened) }
                } }
                tbody { @for record in ours { tr {
                    th scope="row" { (record.number) } td { (record.time) }
                    td { code { (record.kind) } } td { bdi { (record.text) } }
                } } }
            } }
        }
    } }
}

fn row(frame: &Frame<'_>, name: &str, link: &LinkStatus) -> Markup {
    let words = frame.words;
    html! { tr {
        th scope="row" { (name) @if link.name == frame.port { " (" (words.you_are_here) ")" } }
        td { (text_or(Some(&link.nic), &words.not_known)) }
        td { (text_or(Some(&link.link), &words.not_known)) }
        td { (text_or(link.address.as_deref(), &words.not_known)) }
    } }
}

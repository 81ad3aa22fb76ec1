//! Remote access to this instrument: who asks, what a person says to it, who is in, and who was.

use maud::{Markup, html};

use super::{Frame, facts};
use crate::session::people::{History, Past, Shown};
use crate::web::form::HOURS;
use crate::web::language::fill;
use crate::web::route::Route;
use crate::web::seal::Seal;

/// What the page is made of.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) struct Remote<'a> {
    /// What is asked for or goes on; `None` when the session service does not say.
    pub(in crate::web) shown: Option<&'a [Shown]>,
    /// What was before; `None` likewise.
    pub(in crate::web) history: Option<&'a History>,
    /// Seals what is shown.
    pub(in crate::web) seal: &'a Seal,
    /// Why what the person just said does not count.
    pub(in crate::web) said: Option<&'a str>,
}

/// The page.
pub(in crate::web) fn remote(frame: &Frame<'_>, remote: &Remote<'_>) -> Markup {
    let words = frame.words;
    let content = html! {
        @if let Some(why) = remote.said {
            section.wrong role="alert" { p { (fill(&words.not_counted, &[("why", why)])) } }
        }
        @match remote.shown {
            None => p { (words.unavailable) },
            Some([]) => p.well role="status" { (words.nobody_asks) },
            Some(all) => @for shown in all { (request(frame, remote.seal, shown)) },
        }
        @if let Some(history) = remote.history {
            (standing(frame, remote.seal, history))
            (past(frame, &history.sessions))
        }
    };
    frame.page(&words.remote, &content)
}

/// In how many seconds the page is to be shown anew: soon when something changes by itself, and never while somebody fills
/// in a form that still counts.
pub(in crate::web) fn again(shown: Option<&[Shown]>) -> u64 {
    const NOW: u64 = 3;
    const QUIET: u64 = 15;
    let Some(first) = shown.and_then(<[Shown]>::first) else {
        return QUIET;
    };
    match first.state.as_str() {
        "asked" => first.seconds_left.unwrap_or(QUIET) + 1,
        "open" => QUIET,
        _ => NOW,
    }
}

/// A line on another page that leads here, when somebody asks or is in.
pub(super) fn banner(frame: &Frame<'_>, shown: &[Shown]) -> Markup {
    let words = frame.words;
    html! { @for shown in shown {
        section.asks aria-labelledby="asks" {
            h2 #asks { (headline(frame, shown)) }
            p { a href=(Route::Remote.path()) { (words.go_there) } }
        }
    } }
}

fn headline(frame: &Frame<'_>, shown: &Shown) -> String {
    let words = frame.words;
    let text = match shown.state.as_str() {
        "asked" => &words.asks,
        "connecting" => &words.connecting,
        "open" => &words.is_in,
        _ => &words.ending,
    };
    fill(text, &[("who", shown.engineer.as_str())])
}

fn request(frame: &Frame<'_>, seal: &Seal, shown: &Shown) -> Markup {
    let words = frame.words;
    let left = shown.seconds_left.map_or_else(
        || words.not_known.clone(),
        |left| fill(&words.minutes, &[("n", &time(left))]),
    );
    let is_asked = shown.state == "asked";
    html! { section.asks aria-labelledby="asks" {
        h2 #asks { (headline(frame, shown)) }
        (facts(&[
            (&words.who, html! { bdi { (shown.engineer) } }),
            (&words.purpose, html! { bdi { (shown.purpose) } }),
            (&words.reaches, html! { (shown.services) }),
            (&words.how_long, html! { (fill(&words.minutes, &[("n", &time(shown.seconds))])) }),
            (&words.silence, html! { (fill(&words.minutes, &[("n", &time(shown.idle_seconds))])) }),
            (if is_asked { &words.left_to_answer } else { &words.left_at_most }, html! { (left) }),
        ]))
        @if is_asked {
            p { (words.asks_more) }
            (answers(frame, seal, shown))
        } @else if shown.state != "ending" {
            (end(frame, seal, shown.session.as_str(), &words.withdraw))
        }
    } }
}

/// The form with the four answers. Whoever presses Enter in a field sends its first button: that is the harmless one.
fn answers(frame: &Frame<'_>, seal: &Seal, shown: &Shown) -> Markup {
    let words = frame.words;
    let locked = shown
        .locked_seconds
        .map(|left| fill(&words.locked, &[("n", &time(left))]));
    html! { form method="post" action=(Route::Remote.path()) {
        (hidden(frame, seal, shown.session.as_str()))
        input type="hidden" name="shown" value=(seal.shown(frame.port, shown));
        @if let Some(locked) = &locked { p.wrong { (locked) } }
        p { label for="by" { (words.your_name) } input #by name="by" required maxlength="60" autocomplete="name"; }
        @if shown.pin {
            p { label for="pin" { (words.pin) }
                input #pin name="pin" type="password" required maxlength="64" autocomplete="off"; }
        }
        p { label for="hours" { (words.for_hours) } select #hours name="hours" {
            @for hours in HOURS { option value=(hours) { (fill(&words.hours, &[("n", &hours.to_string())])) } }
        } }
        p.answers {
            button name="answer" value="later" formnovalidate { (words.answer_later) }
            button name="answer" value="refuse" formnovalidate { (words.answer_refuse) }
            button.yes name="answer" value="once" { (words.answer_once) }
            button.yes name="answer" value="for-a-time" { (words.answer_for_a_time) }
        }
    } }
}

/// A form that is one button, which says no.
fn end(frame: &Frame<'_>, seal: &Seal, session: &str, label: &str) -> Markup {
    html! { form method="post" action=(Route::Remote.path()) {
        (hidden(frame, seal, session))
        p.answers { button name="answer" value="refuse" { (label) } }
    } }
}

fn hidden(frame: &Frame<'_>, seal: &Seal, session: &str) -> Markup {
    html! {
        input type="hidden" name="token" value=(seal.port(frame.port));
        input type="hidden" name="session" value=(session);
    }
}

fn standing(frame: &Frame<'_>, seal: &Seal, history: &History) -> Markup {
    let words = frame.words;
    let (Some(standing), Some(latest)) = (&history.standing, history.sessions.first()) else {
        return html! {};
    };
    let values = [("who", standing.by.as_str()), ("n", &time(standing.seconds_left))];
    html! { section.asks aria-labelledby="standing" {
        h2 #standing { (words.standing) }
        p { bdi { (fill(&words.standing_more, &values)) } }
        (end(frame, seal, latest.session.as_str(), &words.withdraw_standing))
    } }
}

fn past(frame: &Frame<'_>, sessions: &[Past]) -> Markup {
    let words = frame.words;
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| words.not_at_all.clone());
    html! { section {
        h2 #past { (words.past) }
        @if sessions.is_empty() {
            p { (words.no_past) }
        } @else { div.wide tabindex="0" role="region" aria-labelledby="past" { table {
            thead { tr {
                th scope="col" { (words.asked_at) } th scope="col" { (words.who) } th scope="col" { (words.reaches) }
                th scope="col" { (words.yes_by) } th scope="col" { (words.opened_at) }
                th scope="col" { (words.ended_at) } th scope="col" { (words.why) }
            } }
            tbody { @for past in sessions { tr {
                th scope="row" { (or(&past.asked)) }
                td { bdi { (past.engineer) ": " (past.purpose) } } td { (past.services) }
                td { bdi { (or(&past.consented)) } } td { (or(&past.opened)) }
                td { (or(&past.ended)) } td { bdi { (or(&past.why)) } }
            } } }
        } } }
    } }
}

/// Minutes and seconds.
fn time(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests;

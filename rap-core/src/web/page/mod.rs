//! The pages: words and view to HTML, purely. Here is what they have in common.
//!
//! Each begins with a link past the navigation, has one `h1`, and says in words what it also says by colour.

mod evidence;
mod instrument;
mod overview;
mod remote;
mod updates;

use maud::{DOCTYPE, Markup, html};

use super::language::Words;
use super::route::{Nowhere, Route};

pub(super) use evidence::evidence;
pub(super) use instrument::instrument;
pub(super) use overview::overview;
pub(super) use remote::{Remote, again, remote};
pub(super) use updates::updates;

/// What every page needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) words: &'static Words,
    /// The box's name.
    pub(super) name: &'a str,
    /// The port the page is seen at.
    pub(super) port: &'a str,
    /// The page, for the navigation; `None` for one that is nowhere.
    pub(super) here: Option<Route>,
}

impl Frame<'_> {
    /// A whole page around its content.
    pub(super) fn page(&self, title: &str, content: &Markup) -> Markup {
        let words = self.words;
        html! {
            (DOCTYPE)
            html lang=(words.tag) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (title) " – " (self.name) }
                    link rel="stylesheet" href=(Route::Style.path());
                    link rel="icon" type="image/svg+xml" href=(Route::Icon.path());
                }
                body {
                    a.skip href="#content" { (words.skip) }
                    header {
                        p.name { strong { (self.name) } " · " (super::language::fill(&words.this_port, &[("port", self.port)])) }
                        nav { ul {
                            @for route in Route::PAGES {
                                li { a href=(route.path()) aria-current=[(self.here == Some(route)).then_some("page")] {
                                    (self.label(route))
                                } }
                            }
                        } }
                    }
                    main #content { h1 { (title) } (content) }
                    footer { p { (words.foot) } }
                }
            }
        }
    }

    fn label(&self, route: Route) -> &'static str {
        match route {
            Route::Overview => &self.words.overview,
            Route::Instrument => &self.words.instrument,
            Route::Remote | Route::Say => &self.words.remote,
            Route::Updates => &self.words.updates,
            Route::Evidence | Route::Packages | Route::Style | Route::Icon => &self.words.evidence,
        }
    }
}

/// What is said where there is no page.
pub(super) fn nowhere(frame: &Frame<'_>, why: Nowhere) -> Markup {
    let words = frame.words;
    let (title, more) = match why {
        Nowhere::NotFound => (&words.not_found, &words.not_found_more),
        Nowhere::Method(_) => (&words.method, &words.method_more),
    };
    frame.page(title, &html! { p { (more) } })
}

/// What is said to a form that is none of ours.
pub(super) fn bad_form(frame: &Frame<'_>) -> Markup {
    let words = frame.words;
    frame.page(&words.bad_form, &html! { p { (words.bad_form_more) } })
}

/// Terms and what they are, as a list of both.
fn facts(list: &[(&str, Markup)]) -> Markup {
    html! { dl { @for (term, fact) in list { dt { (term) } dd { (fact) } } } }
}

fn text_or<'a>(text: Option<&'a str>, none: &'a str) -> &'a str {
    text.filter(|text| !text.is_empty()).unwrap_or(none)
}

#[cfg(test)]
mod tests;

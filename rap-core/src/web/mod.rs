//! The local page: what the box is and does, told at each instrument's port, in plain HTML.
//!
//! `door` accepts → `route` (pure) → `view` (what is known now, read from the services' status) → `page` (pure: words and
//! view to HTML) → `policy` (headers). One process without rights over anything it tells of. What a person says to a remote
//! session (`person`: `form`, `origin`, `seal`) is for the session service to judge.
//!
//! Invariants
//! - It is reached at a port's gateway and nowhere else: its sockets are made there by netd and handed down.
//! - Pages are made on the server, need no script and have none; nothing is loaded from anywhere but the box itself, and
//!   every answer carries a policy that says so.
//! - What comes from elsewhere is text: only [`maud`]'s escaping brings it into a page.
//! - A request is bounded (`door`) and is one line in the log, whoever sent it and whatever it is. One form is taken, sent by
//!   a page of ours and sealed by this process; what it says is never logged.
//! - A page speaks for the port it is seen at: the name is the listening socket's, and in no form.

mod access;
mod form;
mod language;
mod origin;
mod page;
mod pages;
mod person;
mod policy;
mod route;
mod seal;
mod service;
mod view;

pub use service::{Config, Listener, Place, Server, StartError, run};

/// Chooses a language as an `Accept-Language` asks, and names it: for the fuzzer.
#[doc(hidden)]
#[must_use]
pub fn language(accept: &str) -> &'static str {
    language::Words::accepted(Some(accept)).tag
}

/// Who says so in the body of a form, if it is one of ours: for the fuzzer.
#[doc(hidden)]
#[must_use]
pub fn said_by(body: &[u8]) -> Option<String> {
    Some(form::read(body).ok()?.consent.by.to_string())
}

/// Whether a request's method and target lead anywhere: for the fuzzer.
#[doc(hidden)]
#[must_use]
pub fn leads_anywhere(method: &str, target: &str) -> bool {
    route::Route::of(method, target).is_ok()
}

//! The local page: what the box is and does, told at each instrument's port, in plain HTML.
//!
//! `door` accepts → `route` (pure) → `view` (what is known now, read from the services' status) → `page` (pure: words and
//! view to HTML) → `policy` (headers). One process without rights over anything it tells of.
//!
//! Invariants
//! - It is reached at a port's gateway and nowhere else: its sockets are made there by netd and handed down.
//! - Pages are made on the server, need no script and have none; nothing is loaded from anywhere but the box itself, and
//!   every answer carries a policy that says so.
//! - What comes from elsewhere is text: only [`maud`]'s escaping brings it into a page.
//! - A request is bounded (`door`), has no body, and is one line in the log, whoever sent it and whatever it is.

mod access;
mod language;
mod page;
mod policy;
mod route;
mod service;
mod view;

pub use service::{Config, Listener, Place, Server, StartError, run};

/// Chooses a language as an `Accept-Language` asks, and names it: for the fuzzer.
#[doc(hidden)]
#[must_use]
pub fn language(accept: &str) -> &'static str {
    language::Words::accepted(Some(accept)).tag
}

/// Whether a request's method and target lead anywhere: for the fuzzer.
#[doc(hidden)]
#[must_use]
pub fn leads_anywhere(method: &str, target: &str) -> bool {
    route::Route::of(method, target).is_ok()
}

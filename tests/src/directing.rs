//! A service centre's own desk: directives signed with the service key, numbered for one box's docket.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::remote::office::Keys;
use crate::system::System;

/// Who asks boxes for something.
#[derive(Debug)]
pub struct Director {
    keys: Keys,
    box_name: String,
    number: u64,
}

impl Director {
    /// For the box of this name, with keys of its own, and a box's identity made of the one in `identity`.
    ///
    /// # Errors
    /// When a file of the identity is missing.
    pub fn new(identity: &Path, box_name: &str) -> anyhow::Result<Self> {
        Ok(Self {
            keys: Keys::new(identity)?,
            box_name: box_name.to_owned(),
            number: 0,
        })
    }

    /// The keys of both ends, and the box's identity with them.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Has the system's centre ask this, and waits for the box's answer.
    ///
    /// # Errors
    /// When the box does not ask, or there is no answer within `patience`.
    pub fn ask(&mut self, system: &System, command: &Value, patience: Duration) -> anyhow::Result<Value> {
        self.number += 1;
        let number = self.number;
        let docket = wait(patience, || system.centre.docket());
        let docket = docket.context("no box asks for directives")?;
        let envelope = self.keys.sign(&self.box_name, &docket, number, command)?;
        system.centre.direct(number, &envelope)?;
        let told = told(system, patience, |kind, data| {
            kind == "rap.directive.answered" && data["number"] == number
        });
        let mut told = told.with_context(|| format!("no answer to {command}"))?;
        Ok(told["answer"].take())
    }
}

/// Waits for an event of the box's own, by type and data; returns its data.
///
/// # Errors
/// When it does not come; with the console's end.
pub fn told(
    system: &System,
    patience: Duration,
    is_it: impl Fn(&str, &Value) -> bool,
) -> anyhow::Result<Value> {
    let book = system.centre.book()?;
    let find = || {
        let events = book.events().ok()?;
        let mut events = events.into_iter().map(|arrival| arrival.event);
        events.find(|event| is_it(event["type"].as_str().unwrap_or_default(), &event["data"]))
    };
    match wait(patience, find) {
        Some(mut event) => Ok(event["data"].take()),
        None => bail!(
            "it never came; the console's end:\n{}",
            system.machine.console().tail(40)
        ),
    }
}

/// Looks until something is found, for so long.
pub(crate) fn wait<T>(patience: Duration, mut find: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        match find() {
            None if begun.elapsed() < patience => std::thread::sleep(Duration::from_millis(200)),
            found => return found,
        }
    }
}

//! A service centre's own desk: directives signed with the service key, numbered for one box's docket.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rap_core::directive::{Envelope, signed_bytes};
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};

use crate::centre::put;
use crate::system::System;

/// Until when a directive is valid.
const LIFE: Duration = Duration::from_secs(3600);

/// Who asks boxes for something.
#[derive(Debug)]
pub struct Director {
    key: KeyPair,
    box_name: String,
    number: u64,
}

impl Director {
    /// With the key in the file `service.key`, for the box of this name.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn new(service_key: &Path, box_name: &str) -> anyhow::Result<Self> {
        let pem = std::fs::read_to_string(service_key).with_context(|| service_key.display().to_string())?;
        Ok(Self {
            key: KeyPair::from_pem(&pem)?,
            box_name: box_name.to_owned(),
            number: 0,
        })
    }

    /// Has the system's centre ask this, and waits for the box's answer.
    ///
    /// # Errors
    /// When the box does not ask, or there is no answer within `patience`.
    pub fn ask(&mut self, system: &System, command: &Value, patience: Duration) -> anyhow::Result<Value> {
        self.number += 1;
        let number = self.number;
        let docket = wait(patience, || {
            std::fs::read_to_string(system.centre.asks().join("docket")).ok()
        });
        let docket = docket.context("no box asks for directives")?;
        let now = jiff::Timestamp::now();
        let payload = json!({
            "version": 1, "box": self.box_name, "docket": docket, "number": number, "issued": now.to_string(),
            "expires": (now + LIFE).to_string(), "command": command,
        })
        .to_string();
        let signature = self.key.sign(&signed_bytes(payload.as_bytes()))?;
        let envelope = serde_json::to_vec(&Envelope::new(payload.as_bytes(), Some(&signature)))?;
        put(system.centre.asks(), &format!("{number}.json"), &envelope)?;
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

fn wait<T>(patience: Duration, mut find: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        match find() {
            None if begun.elapsed() < patience => std::thread::sleep(Duration::from_millis(200)),
            found => return found,
        }
    }
}

//! The debug image's shell on the second serial line, typed into as a person would.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use anyhow::bail;

use super::System;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(240);

impl System {
    /// Types `command` into the debug shell and returns what it printed, with the echo of the command.
    ///
    /// # Errors
    /// With what came, and the console, when there is no end of it after four minutes.
    pub fn shell(&self, command: &str) -> anyhow::Result<String> {
        let mut serial = self.machine.debug_serial()?;
        serial.set_read_timeout(Some(Duration::from_millis(200)))?;
        // The echo has the sum, the answer has its result.
        serial.write_all(format!("{command}; echo end-of-answer-$((1+1))\n").as_bytes())?;
        let (begun, mut answer) = (Instant::now(), Vec::new());
        while begun.elapsed() < PATIENCE {
            let mut buffer = [0; 4096];
            if let Ok(count @ 1..) = serial.read(&mut buffer) {
                answer.extend_from_slice(&buffer[..count]);
            }
            let text = String::from_utf8_lossy(&answer).replace('\r', "");
            if text.contains("end-of-answer-2") {
                return Ok(text);
            }
        }
        bail!(
            "no answer to `{command}`: {}\n{}",
            String::from_utf8_lossy(&answer),
            self.machine.console().tail(40)
        )
    }

    /// What `rapctl status --json` says of `service` on a debug image; null when it says nothing of it.
    ///
    /// # Errors
    /// As [`Self::shell`], and when the answer is not JSON.
    pub fn status(&self, service: &str) -> anyhow::Result<serde_json::Value> {
        let answer = self.shell("rapctl status --json")?;
        let Some(json) = answer.lines().find(|line| line.starts_with('{')) else {
            bail!("`rapctl status --json` answered {answer}");
        };
        let mut all: serde_json::Value = serde_json::from_str(json)?;
        Ok(all["services"][service].take())
    }
}

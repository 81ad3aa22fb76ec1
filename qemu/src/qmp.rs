//! QEMU's control socket: the few commands the lab needs (QEMU, `docs/interop/qmp-spec.rst`).

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Error, Result};

/// How long QEMU may take to answer a command before it counts as dead.
const ANSWER: Duration = Duration::from_secs(20);

/// A negotiated connection to one QEMU.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// Reads the greeting and leaves the negotiation mode.
    ///
    /// # Errors
    /// When QEMU says nothing within 20 s or something else than QMP.
    pub fn connect(stream: UnixStream) -> Result<Self> {
        stream
            .set_read_timeout(Some(ANSWER))
            .map_err(|source| broken("greeting", source))?;
        let mut qmp = Self {
            reader: BufReader::new(stream),
        };
        let greeting = qmp.message("greeting")?;
        if greeting.get("QMP").is_none() {
            return Err(broken(
                "greeting",
                io::Error::other(format!("unexpected {greeting}")),
            ));
        }
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs one command and returns its answer. Events that arrive meanwhile are logged and dropped.
    ///
    /// # Errors
    /// [`Error::Refused`] with QEMU's own words, or [`Error::Control`] when it does not answer.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        self.reader
            .get_mut()
            .write_all(line.as_bytes())
            .map_err(|source| broken(command, source))?;
        loop {
            let mut answer = self.message(command)?;
            if let Some(event) = answer.get("event") {
                log::debug!("QEMU event {event}");
            } else if let Some(error) = answer.get("error") {
                let reason = error
                    .get("desc")
                    .and_then(Value::as_str)
                    .unwrap_or("no reason given")
                    .to_owned();
                return Err(Error::Refused {
                    command: command.to_owned(),
                    reason,
                });
            } else if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    fn message(&mut self, command: &str) -> Result<Value> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Err(broken(command, io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => serde_json::from_str(&line).map_err(|e| broken(command, e.into())),
            Err(source) => Err(broken(command, source)),
        }
    }
}

fn broken(command: &str, source: io::Error) -> Error {
    Error::Control {
        command: command.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays QEMU: sends all of `script` at once and keeps what it is told.
    fn scripted(script: &str) -> (Result<Qmp>, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(script.as_bytes()).unwrap();
        (Qmp::connect(ours), theirs)
    }

    const HELLO: &str = "{\"QMP\": {\"version\": {}}}\n{\"return\": {}}\n";

    #[test]
    fn events_between_command_and_answer_are_skipped() {
        let script =
            format!("{HELLO}{{\"event\": \"RESET\"}}\n{{\"return\": {{\"status\": \"running\"}}}}\n");
        let (qmp, _theirs) = scripted(&script);
        let status = qmp.unwrap().execute("query-status", json!({})).unwrap();
        assert_eq!(status["status"], "running");
    }

    #[test]
    fn a_refusal_carries_the_reason() {
        let script =
            format!("{HELLO}{{\"error\": {{\"class\": \"GenericError\", \"desc\": \"no such link\"}}}}\n");
        let (qmp, _theirs) = scripted(&script);
        let error = qmp.unwrap().execute("set_link", json!({})).unwrap_err();
        assert_eq!(error.to_string(), "QEMU refused `set_link`: no such link");
    }

    #[test]
    fn a_dead_qemu_is_an_error_not_a_hang() {
        let (qmp, theirs) = scripted(HELLO);
        drop(theirs);
        let error = qmp.unwrap().execute("quit", json!({})).unwrap_err();
        assert!(matches!(error, Error::Control { .. }), "{error:?}");
    }
}

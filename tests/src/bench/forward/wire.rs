//! What is said on a connection: HTTP posts to our ingest, RELP to rsyslog.

use std::time::Duration;

use anyhow::{Context as _, bail};

use super::report::Report;

/// One connection's side of a protocol in which every message is answered.
pub(super) trait Wire {
    /// What opens a connection and is answered before anything else, if there is such a thing.
    fn hello(&mut self) -> Option<Vec<u8>>;
    /// Puts report `k` into `out`, which is empty.
    fn say(&mut self, k: u64, out: &mut Vec<u8>);
    /// The first answer in `bytes` and how long it is, once it is whole.
    fn hear(&self, bytes: &[u8]) -> anyhow::Result<Option<(Answer, usize)>>;
}

/// What became of a message; answers come in the order of the messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Acknowledged.
    Taken,
    /// Not now; again after this.
    Later(Duration),
}

/// `POST /v1/status` with keep-alive.
#[derive(Debug)]
pub(super) struct Http {
    head: Vec<u8>,
    report: Report,
}

impl Http {
    pub(super) fn new() -> Self {
        let head = format!(
            "POST /v1/status HTTP/1.1\r\nhost: rap.local\r\ncontent-type: application/cloudevents+json\r\n\
             content-length: {}\r\n\r\n",
            super::report::BYTES
        );
        Self {
            head: head.into_bytes(),
            report: Report::new(),
        }
    }
}

impl Wire for Http {
    fn hello(&mut self) -> Option<Vec<u8>> {
        None
    }

    fn say(&mut self, k: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(self.report.numbered(k));
    }

    fn hear(&self, bytes: &[u8]) -> anyhow::Result<Option<(Answer, usize)>> {
        let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = std::str::from_utf8(&bytes[..end])?;
        let length: usize = field(head, "content-length")
            .context("an answer without Content-Length")?
            .parse()?;
        let whole = end + 4 + length;
        if bytes.len() < whole {
            return Ok(None);
        }
        let answer = match head.get(9..12) {
            Some("202") => Answer::Taken,
            Some("429" | "503") => {
                let wait = field(head, "retry-after").and_then(|text| text.parse().ok());
                Answer::Later(Duration::from_secs(wait.unwrap_or(1)))
            }
            _ => bail!("refused: {}", String::from_utf8_lossy(&bytes[..whole])),
        };
        Ok(Some((answer, whole)))
    }
}

/// The value of a header field, whose name is compared without case.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// RELP 1 (`librelp`, doc/relp.html): `TXNR COMMAND LENGTH DATA LF`, answered by `TXNR rsp LENGTH CODE TEXT LF`.
#[derive(Debug)]
pub(super) struct Relp {
    transaction: u32,
    report: Report,
}

impl Relp {
    /// What a message begins with (RFC 5424 §6): local0.info and no structured data.
    const HEAD: &str = "<134>1 2026-01-01T00:00:00Z instrument bench - - - ";

    pub(super) fn new() -> Self {
        Self {
            transaction: 0,
            report: Report::new(),
        }
    }

    fn frame(&mut self, command: &str, parts: &[&[u8]]) -> Vec<u8> {
        self.transaction = self.transaction % 999_999_999 + 1;
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut frame = format!("{} {command} {length} ", self.transaction).into_bytes();
        for part in parts {
            frame.extend_from_slice(part);
        }
        frame.push(b'\n');
        frame
    }
}

impl Wire for Relp {
    fn hello(&mut self) -> Option<Vec<u8>> {
        let offers = b"relp_version=0\nrelp_software=rap-bench\ncommands=syslog";
        Some(self.frame("open", &[offers]))
    }

    fn say(&mut self, k: u64, out: &mut Vec<u8>) {
        let report = self.report.numbered(k).to_vec();
        out.extend(self.frame("syslog", &[Self::HEAD.as_bytes(), &report]));
    }

    fn hear(&self, bytes: &[u8]) -> anyhow::Result<Option<(Answer, usize)>> {
        let mut words = bytes.splitn(4, |byte| *byte == b' ');
        let (Some(_), Some(command), Some(length), Some(rest)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Ok(None);
        };
        let length: usize = std::str::from_utf8(length)?.parse()?;
        // What is before the data, the data, and the line feed.
        let whole = bytes.len() - rest.len() + length + 1;
        if bytes.len() < whole {
            return Ok(None);
        }
        if command != b"rsp" || !rest.starts_with(b"200") {
            bail!("refused: {}", String::from_utf8_lossy(&bytes[..whole]));
        }
        Ok(Some((Answer::Taken, whole)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_answer_is_heard_when_it_is_whole() {
        let http = Http::new();
        let taken = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(http.hear(&taken[..40]).unwrap(), None);
        assert_eq!(http.hear(&taken[..taken.len() - 1]).unwrap(), None);
        let whole = Some((Answer::Taken, taken.len()));
        assert_eq!(http.hear(&[&taken[..], b"HTTP"].concat()).unwrap(), whole);
        let later = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\ncontent-length: 0\r\n\r\n";
        let answer = http.hear(later).unwrap().unwrap().0;
        assert_eq!(answer, Answer::Later(Duration::from_secs(7)));
        let error = http.hear(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        assert!(error.unwrap_err().to_string().contains("400"));
    }

    #[test]
    fn a_relp_answer_is_heard_when_it_is_whole() {
        let relp = Relp::new();
        let taken = b"12 rsp 6 200 OK\n";
        for short in 0..taken.len() {
            assert_eq!(relp.hear(&taken[..short]).unwrap(), None, "{short}");
        }
        let two = [&taken[..], b"13 rsp"].concat();
        assert_eq!(relp.hear(&two).unwrap(), Some((Answer::Taken, taken.len())));
        assert!(relp.hear(b"12 rsp 9 500 Error\n").is_err());
    }

    #[test]
    fn messages_are_framed_by_their_length() {
        let mut relp = Relp::new();
        let hello = String::from_utf8(relp.hello().unwrap()).unwrap();
        assert!(hello.starts_with("1 open 54 relp_version=0\n"), "{hello}");
        let mut out = Vec::new();
        relp.say(3, &mut out);
        let length = Relp::HEAD.len() + super::super::report::BYTES;
        assert!(out.starts_with(format!("2 syslog {length} <134>1 ").as_bytes()));
        let mut out = Vec::new();
        Http::new().say(3, &mut out);
        let body = out.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(out.len() - body, super::super::report::BYTES);
    }
}

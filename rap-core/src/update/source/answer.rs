//! What an answer of the repository's web server means. Pure.
//!
//! It came through TLS from who has the repository's key, so nobody on the way wrote it: a hospital's proxy that says
//! 403 says so to the relay, before there is TLS, and a captive portal has no certificate of our CA. What is left is a
//! gateway of the operator's own before the files. Which of its answers may mean "there is no such file", and so "there
//! is no newer root" (TUF 1.0 §5.3.3)?
//!
//! | answer | means | why |
//! |---|---|---|
//! | 404, 410 | not there | that is what they are for |
//! | 403 with S3's `AccessDenied` in XML | not there | object stores say so of what is missing to who may not list |
//! | 403 otherwise, 401 | trouble | a gateway that lets nobody in, whatever is there |
//! | 200 with `text/html` | a page | a portal, or a server that answers everything with its start page |
//! | 3xx | sent on | who can write answers must not choose the server |
//! | 5xx, 429 | trouble | come again later |
//!
//! A wrong "not there" would only hide a newer root until the old one's successor is needed or it expires: nothing that
//! was trusted before is lost, and the roots that were seen are kept.

use std::time::Duration;

use ureq::http::HeaderMap;

use super::{Name, SourceError};

/// The most that is read of an answer that is no file, to see what it is.
pub(super) const MOST_OF_A_REASON: u64 = 4096;
/// The most characters of a server's own words.
const MOST_WORDS: usize = 100;

/// An answer's head.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) status: u16,
    pub(super) headers: &'a HeaderMap,
    /// How long it asks to wait.
    pub(super) asked: Option<Duration>,
}

impl Head<'_> {
    /// Whether its body is the file; if not, `reason` is the body's beginning.
    pub(super) fn is_file(&self, name: &Name, reason: impl FnOnce() -> Vec<u8>) -> Result<(), SourceError> {
        let name = || name.clone();
        match self.status {
            200 if self.is_of_type(&["text/html", "application/xhtml+xml"]) => Err(SourceError::Page {
                name: name(),
                status: 200,
            }),
            200 => Ok(()),
            300..=399 => Err(SourceError::Redirected {
                name: name(),
                to: clean(self.header("location")),
            }),
            404 | 410 => Err(SourceError::NotThere { name: name() }),
            403 if self.is_of_type(&["application/xml", "text/xml"]) && is_denied(&reason()) => {
                Err(SourceError::NotThere { name: name() })
            }
            // nginx ends the TLS handshake though it does not accept the client's certificate, and says so here.
            400 if self.is_of_type(&["text/html"]) => Err(self.refused(
                name(),
                "does not accept device.crt: it may have expired, or come from another CA",
            )),
            status => Err(self.refused(name(), words_for(status))),
        }
    }

    fn refused(&self, name: Name, words: &'static str) -> SourceError {
        SourceError::Status {
            name,
            status: self.status,
            words,
            asked: self.asked,
        }
    }

    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn is_of_type(&self, media_types: &[&str]) -> bool {
        let found = self.header("content-type");
        let essence = found.split(';').next().unwrap_or_default().trim();
        media_types
            .iter()
            .any(|media_type| essence.eq_ignore_ascii_case(media_type))
    }
}

/// Whether metadata begins as a page does. What is no JSON may be anything; this is worth its own words.
pub(super) fn is_page(content: &[u8]) -> bool {
    content.trim_ascii_start().starts_with(b"<")
}

/// What S3 and what is like it say of an object that is missing, or that may not be read.
fn is_denied(reason: &[u8]) -> bool {
    let reason = String::from_utf8_lossy(reason);
    reason.contains("<Error>") && reason.contains("<Code>AccessDenied</Code>")
}

fn words_for(status: u16) -> &'static str {
    match status {
        401 | 403 => "does not let this box in: is its device.crt registered there?",
        407 => "is behind a proxy that asks for a password",
        429 => "is asked too often",
        500 => "has an error of its own",
        502 | 504 => "is not reached by the gateway before it",
        503 => "is busy or being maintained",
        _ => "gives an answer that is none for a file",
    }
}

/// A server's words, for a person: one line of what can be shown.
fn clean(words: &str) -> String {
    let shown = words.chars().filter(|c| !c.is_control()).take(MOST_WORDS);
    let shown: String = shown.collect();
    if shown.is_empty() {
        "nowhere".to_owned()
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use ureq::http::HeaderName;

    use super::*;

    fn told(status: u16, headers: &[(&str, &str)], reason: &str) -> Result<(), SourceError> {
        let parse = |(name, value): &(&str, &str)| {
            let name: HeaderName = name.parse().unwrap();
            (name, value.parse().unwrap())
        };
        let head = Head {
            status,
            headers: &headers.iter().map(parse).collect(),
            asked: None,
        };
        let name = "metadata/2.root.json".parse().unwrap();
        head.is_file(&name, || reason.as_bytes().to_vec())
    }

    #[test]
    fn only_the_repository_itself_says_that_there_is_no_newer_root() {
        const DENIED: &str = "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        let html = [("content-type", "text/html; charset=utf-8")];
        let xml = [("content-type", "application/xml")];
        for (status, headers, reason) in [
            (404, &html[..], "<h1>"),
            (404, &[], ""),
            (410, &[], ""),
            (403, &xml, DENIED),
        ] {
            let error = told(status, headers, reason).unwrap_err();
            assert!(matches!(error, SourceError::NotThere { .. }), "{status}: {error}");
        }
        for (status, headers, reason, words) in [
            (200, &html[..], "<html>", "a page for people (HTTP 200)"),
            (
                403,
                &html,
                "<h1>Blocked by policy</h1>",
                "does not let this box in",
            ),
            (403, &html, DENIED, "does not let this box in"),
            (
                403,
                &xml,
                "<Error><Code>RequestTimeTooSkewed</Code></Error>",
                "does not let this box in",
            ),
            (400, &html, "", "does not accept device.crt"),
            (401, &[], "", "does not let this box in"),
            (407, &[], "", "asks for a password"),
            (
                302,
                &[("location", "https://portal.example/\tlogin")],
                "",
                "sends on to https://portal.example/login",
            ),
            (304, &[], "", "sends on to nowhere"),
            (429, &[], "", "asked too often"),
            (503, &[], "", "busy"),
            (204, &[], "", "none for a file"),
            (206, &[], "", "none for a file"),
        ] {
            let error = told(status, headers, reason).unwrap_err();
            assert!(!matches!(error, SourceError::NotThere { .. }), "{status}");
            assert!(error.to_string().contains(words), "{status}: {error}");
        }
        told(200, &[("content-type", "application/json")], "").unwrap();
        told(200, &[], "").unwrap();
    }

    #[test]
    fn a_page_is_told_from_metadata() {
        assert!(is_page(b"\r\n <!doctype html>") && is_page(b"<?xml"));
        assert!(!is_page(b"{\"signed\":\"<\"}") && !is_page(b""));
    }
}

//! What the service centre answered, and what that means when it is not a success.

use std::fmt;
use std::time::Duration;

use ureq::http::HeaderMap;

use super::trouble::Trouble;

/// The most characters of a server's own words.
const MOST_WORDS: usize = 200;

/// What the service centre answered, whatever it was.
#[derive(Debug)]
pub(in crate::forward) struct Answer {
    /// HTTP status.
    pub(in crate::forward) status: u16,
    /// How long it asks us to wait, bounded.
    pub(in crate::forward) asked: Option<Duration>,
    pub(super) headers: HeaderMap,
    /// Or why it did not come whole, in words.
    pub(super) body: Result<Vec<u8>, String>,
}

/// What is to be done about a request that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::forward) enum Failure {
    /// Try the same again, later.
    Trouble(Trouble),
    /// The content is refused (400, 413, 422): the same again would be refused again.
    Refused(Refusal),
    /// The content coding is refused (415); what the server takes instead, if it says so.
    Coding(Option<String>),
}

/// A refusal of what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::forward) struct Refusal {
    /// HTTP status: 400, 413 or 422.
    pub(in crate::forward) status: u16,
    /// The server's own words, cleaned and cut.
    pub(in crate::forward) words: Option<String>,
}

impl Answer {
    /// A header's value, where it is text.
    pub(in crate::forward) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether the body is of this media type, whatever its parameters.
    pub(in crate::forward) fn is_of_type(&self, media_type: &str) -> bool {
        let found = self.header("content-type").unwrap_or_default();
        let essence = found.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case(media_type)
    }

    /// The body.
    ///
    /// # Errors
    /// When it did not come whole, or is too long.
    pub(in crate::forward) fn body(&self) -> Result<&[u8], Failure> {
        match &self.body {
            Ok(body) => Ok(body),
            Err(words) => Err(Trouble::new(words.clone()).into()),
        }
    }

    /// What this answer means when it is not the success that was waited for.
    pub(in crate::forward) fn failure(&self) -> Failure {
        match self.status {
            // A page for people: who stands before the centre wrote it, and has not looked at the reports. 413 is about
            // the size alone, whoever says it.
            400 | 422 if self.is_of_type("text/html") => Trouble::new(self.words_for_page()).into(),
            400 | 413 | 422 => Failure::Refused(Refusal {
                status: self.status,
                words: self.words(),
            }),
            415 => Failure::Coding(self.header("accept-encoding").map(str::to_owned)),
            status => Failure::Trouble(Trouble {
                words: words_for(status),
                asked: self.asked,
            }),
        }
    }

    /// What a refusal in HTML means. nginx ends the TLS handshake though it does not accept the client's certificate, and
    /// says so on a page (ngx_http_special_response.c, 495 and 496, which go out as 400).
    fn words_for_page(&self) -> String {
        let page = self.body.as_deref().unwrap_or_default();
        let about = b"SSL certificate";
        let why = if page.windows(about.len()).any(|part| part == about) {
            "refuses this box's certificate: is device.crt over, and does it know the CA that issued it?"
        } else {
            "refuses the request without a word of the reports: look at what stands before it"
        };
        format!("the service centre {why} (HTTP {})", self.status)
    }

    /// The server's own words: a problem's `detail` or `title` (RFC 9457), or the first line of a plain text.
    fn words(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Problem {
            title: Option<String>,
            detail: Option<String>,
        }
        let body = self.body.as_ref().ok()?;
        let text = if self.is_of_type("application/problem+json") {
            let problem: Problem = serde_json::from_slice(body).ok()?;
            problem.detail.or(problem.title)?
        } else if self.is_of_type("text/plain") {
            std::str::from_utf8(body).ok()?.to_owned()
        } else {
            return None;
        };
        let line = text.trim().lines().next()?.trim();
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let words: String = line.chars().map(clean).take(MOST_WORDS).collect();
        (!words.is_empty()).then_some(words)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        match &self.words {
            Some(words) => write!(f, ": {words}"),
            None => Ok(()),
        }
    }
}

/// A status in words a person can act on. Only the centre, or who stands before it, can have said it: it came through
/// TLS.
fn words_for(status: u16) -> String {
    let why = match status {
        200..=299 => {
            return "what answers is not the service centre: its answer is not a receipt (a captive portal?)"
                .to_owned();
        }
        300..=399 => {
            "sends the box elsewhere, which it does not follow: write the right place as url in site.toml"
        }
        401 | 403 => "does not let this box in: is its device.crt registered there?",
        404 | 405 | 410 => "has nothing at this address: is url in site.toml the right one?",
        407 => "wants a proxy's password, though no proxy may answer here: look at what stands before it",
        408 => "did not get the whole request in time",
        411 | 431 => "refuses the request's head, which is right: look at what stands before it",
        429 | 503 => return format!("the service centre is busy (HTTP {status})"),
        502 | 504 => "is not reached by what stands before it",
        507 => "has no room left",
        500..=599 => "has a fault of its own",
        _ => return format!("the service centre answers HTTP {status}"),
    };
    format!("the service centre {why} (HTTP {status})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Answer {
            status,
            asked: None,
            headers: map,
            body: Ok(body.as_bytes().to_vec()),
        }
    }

    fn reason(kind: &'static str, body: &str) -> String {
        match answer(422, &[("content-type", kind)], body).failure() {
            Failure::Refused(refusal) => refusal.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refusal_has_the_servers_words_cleaned_and_cut() {
        let problem = r#"{"title":"Wrong","detail":"no such\u0007 type"}"#;
        assert_eq!(
            reason("application/problem+json", problem),
            "HTTP 422: no such  type"
        );
        assert_eq!(
            reason("Application/Problem+JSON; charset=utf-8", r#"{"title":"Wrong"}"#),
            "HTTP 422: Wrong"
        );
        assert_eq!(reason("text/plain", "\n first \n second"), "HTTP 422: first");
        assert_eq!(
            reason("text/plain", &"ä".repeat(300)).chars().count(),
            10 + MOST_WORDS
        );
        for (kind, body) in [
            ("image/png", "<html>"),
            ("text/plain", " \n"),
            ("application/problem+json", "{"),
        ] {
            assert_eq!(reason(kind, body), "HTTP 422");
        }
    }

    #[test]
    fn a_page_is_not_the_centres_word_on_a_report() {
        let html = [("content-type", "text/html; charset=utf-8")];
        let words = |status, body: &str| match answer(status, &html, body).failure() {
            Failure::Trouble(trouble) => trouble.words,
            other => panic!("{other:?}"),
        };
        for title in [
            "400 The SSL certificate error",
            "400 No required SSL certificate was sent",
        ] {
            let page = format!("<html><head><title>{title}</title></head></html>");
            assert!(words(400, &page).contains("refuses this box's certificate"));
        }
        assert!(words(422, "<html>").contains("what stands before it (HTTP 422)"));
        assert!(matches!(
            answer(413, &html, "").failure(),
            Failure::Refused(Refusal { status: 413, .. })
        ));
    }

    #[test]
    fn each_status_says_what_to_do() {
        for (status, words) in [
            (204, "not a receipt"),
            (301, "url in site.toml"),
            (401, "device.crt registered"),
            (404, "url in site.toml the right one"),
            (407, "proxy's password"),
            (408, "in time"),
            (411, "what stands before it"),
            (429, "is busy (HTTP 429)"),
            (500, "fault of its own (HTTP 500)"),
            (502, "not reached by what stands before it"),
            (507, "no room"),
            (418, "answers HTTP 418"),
        ] {
            match answer(status, &[], "").failure() {
                Failure::Trouble(trouble) => assert!(trouble.words.contains(words), "{trouble:?}"),
                other => panic!("{other:?}"),
            }
        }
        let accepts = [("accept-encoding", "gzip")];
        assert_eq!(
            answer(415, &accepts, "").failure(),
            Failure::Coding(Some("gzip".to_owned()))
        );
    }
}

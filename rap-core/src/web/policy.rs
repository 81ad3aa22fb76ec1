//! What every answer says to the browser: nothing from elsewhere, no script, no frame, nothing kept.

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use bytes::Bytes;
use http_body_util::Full;

use crate::door::Answer;

/// The content types there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Html,
    Css,
    Svg,
    Json,
}

impl Kind {
    fn header(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Css => "text/css; charset=utf-8",
            Self::Svg => "image/svg+xml",
            Self::Json => "application/json",
        }
    }
}

/// Sources: CSP level 3; RFC 6797 (HSTS: ignored by browsers where the host is an address, right where it is a name);
/// the Fetch standard's `Cross-Origin-*`; OWASP's list of secure headers.
const HEADERS: [(&str, &str); 9] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
    ),
    ("strict-transport-security", "max-age=63072000"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    // To nobody else; and with no-referrer browsers would not say whose page a form of ours is (Fetch, `Origin`).
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// An answer with these headers.
pub(super) fn answer(status: StatusCode, kind: Kind, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind.header()));
    // What is shown is of this moment; and it is nobody's who comes to this browser later.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_allows_script_frames_or_other_places() {
        let answer = answer(StatusCode::NOT_FOUND, Kind::Html, Bytes::new());
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(
            !policy.contains("unsafe") && !policy.contains("script-src"),
            "{policy}"
        );
        for (name, _) in HEADERS {
            assert!(answer.headers().contains_key(name), "{name}");
        }
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
    }
}

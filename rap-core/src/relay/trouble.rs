//! Why there is no tunnel, in words a person can act on. The same cause always gives the same words, and none of them
//! holds a password.

use std::fmt;
use std::io;

use netfw::model::Host;

use super::Malformed;
use super::http::Answer;
use crate::site::Target;

/// What went wrong on the way, and at which station of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at} {cause}")]
pub(super) struct Trouble {
    pub(super) at: Station,
    pub(super) cause: Cause,
}

/// Who did not do as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Station {
    /// The destination itself: what messages call it, and where it is.
    Destination(&'static str, Target),
    /// A proxy, by its URL.
    Proxy(String),
}

impl fmt::Display for Station {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Destination(title, target) => write!(f, "{title} {target}"),
            Self::Proxy(url) => write!(f, "proxy {url}"),
        }
    }
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Cause {
    #[error("cannot be found: its name cannot be resolved")]
    Unresolvable,
    #[error("cannot be found: the name servers do not answer in time")]
    ResolverSilent,
    #[error("refuses the connection: nothing listens there")]
    Refused,
    #[error("cannot be reached: no route to it")]
    NoRoute,
    #[error("cannot be reached: no answer in time")]
    Unreachable,
    #[error("cannot be reached: {0}")]
    Connect(String),
    #[error("accepts the connection, then does not answer in time")]
    Silent,
    #[error("closed the connection without an answer")]
    Closed,
    #[error("does not speak {0}: is it such a proxy?")]
    Foreign(&'static str),
    #[error("{said}: user name or password refused")]
    Credentials { said: &'static str },
    #[error("{said}: it wants a user name and a password, and site.toml gives no user for it")]
    NoUser { said: &'static str },
    #[error("answered 407: it accepts {offered} only, and this box speaks Basic")]
    NoBasic { offered: String },
    #[error("accepts neither no authentication nor user and password")]
    NoSocksMethod,
    #[error("refuses connections to {target} ({code})")]
    Denied { target: Target, code: String },
    #[error("does not know the name {name} ({code})")]
    UnknownName { name: String, code: String },
    #[error("cannot reach {target}: {why} ({code})")]
    Beyond {
        target: Target,
        why: &'static str,
        code: String,
    },
    #[error("answered {code} instead of connecting: is it a proxy?")]
    NoProxy { code: String },
    #[error("cannot be used: its password file identity/{file} {why}")]
    Password { file: String, why: String },
}

impl Cause {
    /// The HTTP status for whoever asked (RFC 9110 §15.6): 504 where somebody was too slow, 502 for the rest.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::ResolverSilent | Self::Unreachable | Self::Silent => 504,
            _ => 502,
        }
    }

    /// The failure of a connect(2).
    pub(super) fn of_connect(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::NoRoute,
            io::ErrorKind::TimedOut => Self::Unreachable,
            _ => Self::Connect(error.to_string()),
        }
    }

    /// An answer of an HTTP proxy that is no 2xx. `asked_with_user` says whether credentials were sent.
    pub(super) fn of_answer(answer: &Answer, target: &Target, asked_with_user: bool) -> Self {
        let code = format!("HTTP {}", answer.status);
        let squid = answer.squid.as_deref().unwrap_or_default();
        let target = target.clone();
        match (answer.status, &target.host) {
            (407, _) => of_407(&answer.schemes, asked_with_user),
            // Tinyproxy's word for the wrong user or password; RFC 9110 §15.5.8 means 407.
            (401, _) if asked_with_user => Self::Credentials { said: "answered 401" },
            (403, _) => Self::Denied { target, code },
            (500..=599, Host::Name(name)) if squid == "ERR_DNS_FAIL" => Self::UnknownName {
                name: name.clone(),
                code,
            },
            (504, _) => Self::Beyond {
                target,
                why: "it does not answer in time",
                code,
            },
            (500..=599, host) => Self::Beyond {
                why: of_unsaid(host, squid == "ERR_CONNECT_FAIL"),
                target,
                code,
            },
            _ => Self::NoProxy {
                code: format!("{code} {}", answer.reason).trim_end().to_owned(),
            },
        }
    }

    /// A reply of a SOCKS proxy that is not 0 (RFC 1928 §6).
    pub(super) fn of_reply(reply: u8, target: &Target) -> Self {
        let code = format!("SOCKS reply {reply}");
        let target = target.clone();
        let why = match reply {
            1 => of_unsaid(&target.host, false),
            2 => return Self::Denied { target, code },
            3 => "no route to its network",
            4 => match target.host {
                Host::Name(_) => "no route to it, or its name is not known there",
                Host::Ip(_) => "no route to it",
            },
            5 => "it refuses the connection: nothing listens there",
            6 => "too many routers on the way",
            7 => "the proxy does not know the command CONNECT",
            8 => "the proxy does not know this kind of address",
            _ => "for a reason nobody has defined",
        };
        Self::Beyond { target, why, code }
    }

    /// Bytes that are none of the protocol's, or none at all.
    pub(super) fn of_read(error: ReadError, protocol: &'static str) -> Self {
        match error {
            ReadError::Closed => Self::Closed,
            ReadError::Malformed => Self::Foreign(protocol),
        }
    }
}

/// Why a message could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadError {
    /// The other side went before it was whole.
    Closed,
    /// It is none, or too long.
    Malformed,
}

impl From<Malformed> for ReadError {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

fn of_407(schemes: &[String], asked_with_user: bool) -> Cause {
    let said = "answered 407";
    let basic = schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case("basic"));
    if !basic && !schemes.is_empty() {
        let mut offered = schemes.to_vec();
        offered.dedup();
        return Cause::NoBasic {
            offered: offered.join(", "),
        };
    }
    if asked_with_user {
        Cause::Credentials { said }
    } else {
        Cause::NoUser { said }
    }
}

/// Where a proxy does not say more than that it failed.
fn of_unsaid(host: &Host, name_is_known: bool) -> &'static str {
    match host {
        Host::Name(_) if !name_is_known => "either its name is not known there, or nothing answers",
        _ => "nothing answers there",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::http::parse_answer;

    fn target() -> Target {
        Target::parse("centre.test:8443", None).unwrap()
    }

    fn said(answer: &str, with_user: bool) -> String {
        let (answer, _) = parse_answer(answer.as_bytes()).unwrap().unwrap();
        Trouble {
            at: Station::Proxy("http://10.0.0.1:3128".to_owned()),
            cause: Cause::of_answer(&answer, &target(), with_user),
        }
        .to_string()
    }

    #[test]
    fn each_answer_of_an_http_proxy_has_its_words() {
        for (answer, with_user, words) in [
            (
                "HTTP/1.1 407 x\nProxy-Authenticate: Basic realm=x\n\n",
                true,
                "answered 407: user name or password refused",
            ),
            (
                "HTTP/1.1 407 x\n\n",
                false,
                "answered 407: it wants a user name and a password, and site.toml gives no user for it",
            ),
            (
                "HTTP/1.1 407 x\nProxy-Authenticate: NTLM\nProxy-Authenticate: Negotiate\n\n",
                true,
                "answered 407: it accepts NTLM, Negotiate only, and this box speaks Basic",
            ),
            (
                "HTTP/1.1 401 Unauthorized\n\n",
                true,
                "answered 401: user name or password refused",
            ),
            (
                "HTTP/1.1 403 Forbidden\n\n",
                true,
                "refuses connections to centre.test:8443 (HTTP 403)",
            ),
            (
                "HTTP/1.1 503 x\nX-Squid-Error: ERR_DNS_FAIL 0\n\n",
                true,
                "does not know the name centre.test (HTTP 503)",
            ),
            (
                "HTTP/1.1 503 x\nX-Squid-Error: ERR_CONNECT_FAIL 111\n\n",
                true,
                "cannot reach centre.test:8443: nothing answers there (HTTP 503)",
            ),
            (
                "HTTP/1.1 500 Unable to connect\n\n",
                true,
                "cannot reach centre.test:8443: either its name is not known there, or nothing answers (HTTP 500)",
            ),
            (
                "HTTP/1.1 504 x\n\n",
                true,
                "cannot reach centre.test:8443: it does not answer in time (HTTP 504)",
            ),
            (
                "HTTP/1.1 405 Method Not Allowed\n\n",
                true,
                "answered HTTP 405 Method Not Allowed instead of connecting: is it a proxy?",
            ),
        ] {
            assert_eq!(
                said(answer, with_user),
                format!("proxy http://10.0.0.1:3128 {words}")
            );
        }
    }

    #[test]
    fn each_reply_of_a_socks_proxy_has_its_own_words() {
        let words: std::collections::BTreeSet<_> = (1..=9)
            .map(|reply| Cause::of_reply(reply, &target()).to_string())
            .collect();
        assert_eq!(words.len(), 9, "{words:?}");
        assert!(words.contains("refuses connections to centre.test:8443 (SOCKS reply 2)"));
    }
}

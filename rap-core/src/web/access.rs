//! The access log: a line a request, whatever it was.

use std::fmt;
use std::net::SocketAddr;

/// The most of a target that is written down, in characters.
const MOST: usize = 160;

/// One request and its answer.
#[derive(Debug)]
pub(super) struct Access<'a> {
    pub(super) port: &'a str,
    pub(super) peer: Option<SocketAddr>,
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) status: u16,
    pub(super) bytes: usize,
}

impl fmt::Display for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.port)?;
        match self.peer {
            Some(peer) => write!(f, "{}", peer.ip())?,
            None => f.write_str("?")?,
        }
        // hyper lets only visible ASCII through; quotes and the rest cannot end or forge a field all the same.
        let target: String = self.target.chars().take(MOST).collect();
        let cut = if self.target.chars().count() > MOST {
            "…"
        } else {
            ""
        };
        write!(
            f,
            " {} \"{}{cut}\" {} {}",
            self.method.escape_default(),
            target.escape_default(),
            self.status,
            self.bytes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_asked_for_what_and_cannot_be_forged() {
        let access = Access {
            port: "port1",
            peer: Some(([192, 168, 1, 50], 40000).into()),
            method: "GET",
            target: "/\" 200\nport2",
            status: 404,
            bytes: 12,
        };
        assert_eq!(
            access.to_string(),
            "port1 192.168.1.50 GET \"/\\\" 200\\nport2\" 404 12"
        );
        let long = "x".repeat(5000);
        let access = Access {
            target: &long,
            ..access
        };
        assert!(access.to_string().chars().count() < 250);
    }
}

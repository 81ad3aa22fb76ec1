//! What our forms carry so that nobody else can fill one in: a seal on the port, and one on the request as it was shown.
//!
//! The key is made at the start of the service and never leaves it. A seal on the request is why a yes is a yes to what the
//! person read: when the request has changed meanwhile the yes does not count.

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};

use crate::session::people::Shown;

/// Makes and checks seals.
#[derive(Debug)]
pub(super) struct Seal(Key);

impl Seal {
    /// With a new key.
    ///
    /// # Errors
    /// When there are no random bytes.
    pub(super) fn new() -> Result<Self, std::io::Error> {
        let mut bytes = [0; 32];
        let length = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        if length != bytes.len() {
            return Err(std::io::Error::other("too few random bytes"));
        }
        Ok(Self(Key::new(HMAC_SHA256, &bytes)))
    }

    /// The seal on a form of this port.
    pub(super) fn port(&self, port: &str) -> String {
        self.on(&["port", port])
    }

    /// The seal on a request as it is shown at this port. What only time changes is not part of it.
    pub(super) fn shown(&self, port: &str, shown: &Shown) -> String {
        self.on(&[
            "shown",
            port,
            shown.session.as_str(),
            shown.engineer.as_str(),
            shown.purpose.as_str(),
            &shown.services,
            &shown.seconds.to_string(),
            &shown.idle_seconds.to_string(),
        ])
    }

    /// Whether `found` is the seal `expected`; takes as long for any.
    pub(super) fn is(&self, found: &str, expected: &str) -> bool {
        let tag = hmac::sign(&self.0, found.as_bytes());
        hmac::verify(&self.0, expected.as_bytes(), tag.as_ref()).is_ok()
    }

    fn on(&self, parts: &[&str]) -> String {
        let mut text = String::new();
        for part in parts {
            // With their lengths, so that no two lists are the same text.
            text.push_str(&format!("{}:{part}", part.len()));
        }
        let tag = hmac::sign(&self.0, text.as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn shown() -> Shown {
        Shown {
            session: "s-1".parse().unwrap(),
            state: "asked".to_owned(),
            engineer: "Ada".parse().unwrap(),
            purpose: "The pump".parse().unwrap(),
            services: "tcp/5900".to_owned(),
            seconds: 600,
            idle_seconds: 60,
            pin: false,
            locked_seconds: None,
            seconds_left: Some(500),
        }
    }

    #[test]
    fn a_seal_is_of_one_service_port_and_request() {
        let (seal, other) = (Seal::new().unwrap(), Seal::new().unwrap());
        assert!(seal.is(&seal.port("port1"), &seal.port("port1")));
        let ours = seal.shown("port1", &shown());
        for wrong in [
            String::new(),
            seal.port("port1"),
            seal.shown("port2", &shown()),
            other.shown("port1", &shown()),
        ] {
            assert!(!seal.is(&wrong, &ours), "{wrong}");
        }
        let changes: [fn(&mut Shown); 4] = [
            |shown| shown.services = "tcp/5900, tcp/22".to_owned(),
            |shown| shown.seconds = 6000,
            |shown| shown.engineer = "Eve".parse().unwrap(),
            |shown| shown.purpose = "Another".parse().unwrap(),
        ];
        for change in changes {
            let mut changed = shown();
            change(&mut changed);
            assert!(!seal.is(&seal.shown("port1", &changed), &ours));
        }
        let mut later = shown();
        (later.seconds_left, later.state) = (Some(3), "open".to_owned());
        assert!(seal.is(&seal.shown("port1", &later), &ours));
    }
}

//! Whether a form was sent by one of our own pages, seen at this very port. Pure.
//!
//! A page of somebody else's that is open in the same browser can send forms anywhere, and a name of its own may lead to
//! this address (DNS rebinding). The browser says in `Origin` whose page a form is of (Fetch §3.2), and none of ours can be
//! had under a name that is not in our certificate.

use std::net::IpAddr;

use hyper::header::{AsHeaderName, HOST, HeaderMap, ORIGIN};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

/// What our pages can be reached by at one port.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// The address of the port.
    pub(super) address: IpAddr,
    /// The certificate with our names.
    pub(super) certificate: Option<CertificateDer<'static>>,
}

impl Host {
    /// Whether a request with these headers comes from one of our pages.
    pub(super) fn sent(&self, headers: &HeaderMap) -> bool {
        let (Some(host), Some(origin)) = (only(headers, HOST), only(headers, ORIGIN)) else {
            return false;
        };
        let same = origin
            .strip_prefix("https://")
            .is_some_and(|of| of.eq_ignore_ascii_case(host));
        // Not every browser says so; who does is heard.
        let site = headers.get("sec-fetch-site");
        same && self.is(host) && site.is_none_or(|site| site == "same-origin")
    }

    /// Whether `host`, with a TCP port perhaps, is one of our names.
    fn is(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        if let Ok(address) = name.parse::<IpAddr>() {
            return address == self.address;
        }
        let parsed = self.certificate.as_ref().map(ParsedCertificate::try_from);
        match (parsed, ServerName::try_from(name)) {
            (Some(Ok(certificate)), Ok(name)) => verify_server_name(&certificate, &name).is_ok(),
            _ => false,
        }
    }
}

/// The value of a header that is there once.
fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["rap.local".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Host {
            address: [192, 168, 1, 1].into(),
            certificate: Some(certificate.der().clone()),
        }
    }

    fn sent(fields: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        host().sent(&headers)
    }

    #[test]
    fn a_form_of_our_own_page_by_address_or_by_name() {
        for name in ["192.168.1.1", "192.168.1.1:443", "rap.local", "RAP.local:8443"] {
            let origin = format!("https://{name}");
            assert!(sent(&[("host", name), ("origin", &origin)]), "{name}");
            let fields = [
                ("host", name),
                ("origin", &*origin),
                ("sec-fetch-site", "same-origin"),
            ];
            assert!(sent(&fields), "{name}");
        }
    }

    #[test]
    fn anybody_elses_is_none() {
        let ours = ("host", "192.168.1.1");
        for fields in [
            &[ours][..],
            &[ours, ("origin", "null")],
            &[ours, ("origin", "http://192.168.1.1")],
            &[ours, ("origin", "https://192.168.1.50")],
            &[ours, ("origin", "https://192.168.1.1.evil.example")],
            &[("origin", "https://192.168.1.1")],
            &[ours, ours, ("origin", "https://192.168.1.1")],
            &[
                ours,
                ("origin", "https://192.168.1.1"),
                ("origin", "https://evil.example"),
            ],
            &[
                ours,
                ("origin", "https://192.168.1.1"),
                ("sec-fetch-site", "cross-site"),
            ],
            // Names that lead here and are not ours.
            &[("host", "evil.example"), ("origin", "https://evil.example")],
            &[("host", "192.168.1.2"), ("origin", "https://192.168.1.2")],
            &[("host", "[::1]:443"), ("origin", "https://[::1]:443")],
            &[("host", ""), ("origin", "https://")],
        ] {
            assert!(!sent(fields), "{fields:?}");
        }
    }
}

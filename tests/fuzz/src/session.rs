//! What a service centre asks, what a person at an instrument says, and what OpenVPN tells.

use rap_core::directive::{self, Envelope, ServiceKey};
use rap_core::session::Consent;
use rap_core::session::openvpn::line;

/// The public half of a key whose private half nobody has: the generator of P-256 (SEC 2 §2.4.2).
const KEY: &str = "3059301306072a8648ce3d020106082a8648ce3d03010703420004\
                   6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                   4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

/// Whatever comes in an envelope: nothing opens without the key, however it is written; and behind the signature,
/// which keeps a fuzzer out, any payload.
pub(crate) fn directive(bytes: &[u8]) {
    let der: Vec<u8> = (0..KEY.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&KEY[at..at + 2], 16).expect("hexadecimal"))
        .collect();
    let key = ServiceKey::from_der(&der).expect("a key of P-256");
    // Its private half is 1: only who signs with that gets in, and a fuzzer does not.
    let _ = Envelope::open(bytes, &key);
    if let Some(read) = directive::payload(bytes) {
        let again = serde_json::to_string(&read.command).expect("a command is JSON");
        assert!(directive::COMMANDS.contains(&read.command.name()), "{again}");
        assert!(read.to.chars().count() <= 64);
    }
}

/// What receipts and answers to polls carry.
pub(crate) fn directives(bytes: &[u8]) {
    let carried = rap_core::forward::courier::carried(bytes);
    assert!(carried.iter().map(String::len).sum::<usize>() <= bytes.len());
}

/// The body of an answer at the instrument.
pub(crate) fn consent(bytes: &[u8]) {
    if let Ok(consent) = serde_json::from_slice::<Consent>(bytes) {
        assert!(!consent.by.as_str().contains(['\n', '\u{1b}']));
    }
}

/// The same, as a browser sends the local page's form.
pub(crate) fn form(bytes: &[u8]) {
    if let Some(by) = rap_core::web::said_by(bytes) {
        assert!(!by.is_empty() && !by.chars().any(char::is_control), "{by:?}");
    }
}

/// A line of OpenVPN's management interface.
pub(crate) fn openvpn(bytes: &[u8]) {
    if let line::Line::Ending(why) = line::parse(&String::from_utf8_lossy(bytes)) {
        assert!(!why.chars().any(char::is_control) && why.len() < 1000, "{why:?}");
    }
}

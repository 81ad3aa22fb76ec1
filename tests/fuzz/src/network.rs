//! What stations, the kernel's tools and a site's author say of the network.

use std::path::Path;

use netfw::model::{Mac, Network, Nic, PortName};
use netfw::ruleset::listed_summary;
use rap_core::netd::look;
use rap_core::site::{EXAMPLE, Site};

pub(crate) fn dhcp(bytes: &[u8]) {
    let given: [u8; 4] = [192, 168, 1, 50];
    if let Some(answer) = rap_core::netd::dhcp_answer(bytes) {
        let offered = answer.get(16..20).expect("yiaddr (RFC 2131 §2)");
        assert!(offered == given || offered == [0; 4], "handed out {offered:?}");
    }
}

/// What an instrument answers to a look: nothing is read that is not there, and what was asked is no answer.
pub(crate) fn frame(bytes: &[u8]) {
    if let Some(heard) = look::parse(bytes) {
        assert!(bytes.len() >= 38, "{heard:?} of {} bytes", bytes.len());
    }
}

/// What clients and proxies say to the relay: no parser takes more than there is, nor more when less is there.
pub(crate) fn relay(bytes: &[u8]) {
    let taken = rap_core::relay::taken(bytes);
    assert!(taken.iter().all(|used| *used <= bytes.len()), "{taken:?}");
    if let Some(least) = taken.iter().min() {
        let cut = rap_core::relay::taken(&bytes[..*least]);
        assert!(
            cut.contains(least),
            "{least} bytes were taken of more, not of themselves"
        );
    }
}

/// What nft lists of the openings to sessions.
pub(crate) fn openings(bytes: &[u8]) {
    use std::sync::LazyLock;

    static NETWORK: LazyLock<Network> = LazyLock::new(|| {
        let site = Site::parse(EXAMPLE, Path::new("site.toml")).expect("the example is valid");
        site.network().expect("and plannable")
    });
    if let Ok(listing) = serde_json::from_slice(bytes) {
        let _ = netfw::session::listed(&listing, &NETWORK);
    }
}

pub(crate) fn nft_listing(bytes: &[u8]) {
    if let Ok(listing) = serde_json::from_slice(bytes) {
        let _ = listed_summary(&listing);
    }
}

pub(crate) fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = text.parse::<Nic>();
    if let Ok(name) = text.parse::<PortName>() {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(mac) = text.parse::<Mac>() {
        assert_eq!(mac.to_string().parse::<Mac>().ok(), Some(mac));
    }
}

//! What stations, the kernel's tools and a site's author say of the network.

use netfw::model::{Mac, Nic, PortName};
use netfw::ruleset::listed_summary;

pub(crate) fn dhcp(bytes: &[u8]) {
    let given: [u8; 4] = [192, 168, 1, 50];
    if let Some(answer) = rap_core::netd::dhcp_answer(bytes) {
        let offered = answer.get(16..20).expect("yiaddr (RFC 2131 §2)");
        assert!(offered == given || offered == [0; 4], "handed out {offered:?}");
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

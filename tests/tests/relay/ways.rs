//! Delivery through each proxy, and each of its troubles in words and mended.

use rap_tests::proxy::{Kind, PASSWORD};

use crate::rig::{CENTRE_PORT, PROXY, Rig};

/// What a kind of proxy makes the box say.
struct Words {
    credentials: &'static str,
    /// `None` where the proxy has no such rule.
    denied: Option<&'static str>,
    unknown: &'static [&'static str],
}

#[test]
fn squid() {
    story(
        Kind::Squid,
        &Words {
            credentials: "answered 407: user name or password refused",
            denied: Some("refuses connections to centre.test:8443 (HTTP 403)"),
            // The second is squid 5's.
            unknown: &[
                "does not know the name centre.test (HTTP 503)",
                "cannot reach centre.test:8443: either its name is not known there, or nothing answers (HTTP 500)",
            ],
        },
    );
}

#[test]
fn tinyproxy() {
    story(
        Kind::Tinyproxy,
        &Words {
            credentials: "answered 401: user name or password refused",
            denied: Some("refuses connections to centre.test:8443 (HTTP 403)"),
            unknown: &[
                "cannot reach centre.test:8443: either its name is not known there, or nothing answers (HTTP 500)",
            ],
        },
    );
}

#[test]
fn dante() {
    story(
        Kind::Dante,
        &Words {
            credentials: "answered: user name or password refused",
            denied: Some("refuses connections to centre.test:8443 (SOCKS reply 2)"),
            unknown: &[
                "cannot reach centre.test:8443: no route to it, or its name is not known there (SOCKS reply 4)",
            ],
        },
    );
}

#[test]
fn microsocks() {
    story(
        Kind::Microsocks,
        &Words {
            credentials: "answered: user name or password refused",
            denied: None,
            unknown: &[
                "cannot reach centre.test:8443: either its name is not known there, or nothing answers (SOCKS reply 1)",
            ],
        },
    );
}

/// One box through all troubles with one proxy; each is mended and delivery goes on by itself.
fn story(kind: Kind, words: &Words) {
    let Some(mut rig) = Rig::before(kind, Some("wr0ng-password")) else {
        return;
    };
    let at = |words: &str| format!("proxy {} {words}", kind.url(PROXY));
    rig.post();
    rig.expect_trouble(&at("refuses the connection: nothing listens there"));
    let proxy = rig.proxy(kind, true, CENTRE_PORT);
    rig.expect_trouble(&at(words.credentials));
    assert!(!rig.output().contains("wr0ng"), "{}", rig.output());
    rig.password(&format!("{PASSWORD}\n"));
    rig.expect_delivered();
    rig.expect_way(&format!("proxy hospital {}", kind.url(PROXY)));

    // The relay goes, and with it the tunnel; when it comes back, the proxy says nothing.
    rig.relay_runs(false);
    rig.post();
    rig.expect_forward_trouble(&["the box's own relay does not answer".to_owned()]);
    proxy.freeze().unwrap();
    rig.relay_runs(true);
    rig.expect_trouble(&at("accepts the connection, then does not answer in time"));
    proxy.thaw().unwrap();
    rig.expect_delivered();

    drop(proxy);
    let mut proxy = None;
    if let Some(denied) = words.denied {
        proxy = Some(rig.proxy(kind, true, 443));
        rig.post();
        rig.expect_trouble(&at(denied));
    }
    drop(proxy);
    let proxy = rig.proxy(kind, true, CENTRE_PORT);
    rig.expect_delivered();

    // Started anew: dante remembers names for an hour, known or not.
    drop(proxy);
    rig.know_centre(false);
    let mut proxy = Some(rig.proxy(kind, true, CENTRE_PORT));
    rig.post();
    rig.expect_one_trouble(&words.unknown.iter().map(|words| at(words)).collect::<Vec<_>>());
    rig.know_centre(true);
    if kind == Kind::Dante {
        drop(proxy.take());
        proxy = Some(rig.proxy(kind, true, CENTRE_PORT));
    }
    rig.expect_delivered();
    drop(proxy);
}

#[test]
fn a_proxy_that_asks_for_nobody_and_one_that_is_not_asked_with_a_user() {
    let kind = Kind::Squid;
    let Some(mut rig) = Rig::before(kind, None) else {
        return;
    };
    rig.post();
    let proxy = rig.proxy(kind, true, CENTRE_PORT);
    rig.expect_trouble(&format!(
        "proxy {} answered 407: it wants a user name and a password, and site.toml gives no user for it",
        kind.url(PROXY)
    ));
    drop(proxy);
    let _proxy = rig.proxy(kind, false, CENTRE_PORT);
    rig.expect_delivered();
}

#[test]
fn a_proxy_whose_name_nobody_knows_until_the_box_is_given_another() {
    let kind = Kind::Microsocks;
    if kind.lacks().is_some() {
        // Says so, or fails.
        let _ = Rig::before(kind, None);
        return;
    }
    let Some(mut rig) = Rig::new("http://proxy.nowhere.test:3128", None) else {
        return;
    };
    let _proxy = rig.proxy(kind, false, CENTRE_PORT);
    rig.post();
    rig.expect_trouble("proxy http://proxy.nowhere.test:3128 cannot be found: its name cannot be resolved");
    // Nor could the box find the centre.
    let found = rig
        .box_host()
        .run(|| std::net::ToSocketAddrs::to_socket_addrs("centre.test:8443").is_ok());
    assert!(!found.unwrap(), "the box resolves names itself");
    rig.configure(&kind.url(PROXY));
    rig.expect_delivered();
}

//! The local page on the booted box, in a real browser on an instrument's host.

use rap_qemu::lab::GATEWAY;
use rap_tests::browser::{self, Browser};

use crate::{booted_with, deliver};

#[test]
fn a_person_at_the_instrument_sees_what_the_box_does() {
    if !browser::is_there() {
        assert!(std::env::var_os("CI").is_none(), "this test needs chromium");
        return eprintln!("skipped: needs chromium and chromium-driver");
    }
    let Some(mut system) = booted_with(|_| {}) else {
        return;
    };
    system.agents.post(&system.lab, 1, 5).unwrap();
    deliver(&system);
    let host = system.lab.instrument(1);
    let page = |path: &str, browser: &Browser| {
        browser.open(&format!("https://{GATEWAY}{path}"))?;
        browser.text("body")
    };
    let seen = host.run(|| {
        let browser = Browser::start()?;
        let pages = ["/", "/instrument", "/evidence"].map(|path| page(path, &browser));
        anyhow::Ok((pages, browser.complaints()?))
    });
    let (pages, complaints) = seen.unwrap().unwrap();
    let [overview, instrument, evidence] = pages.map(|page| page.unwrap_or_else(|error| panic!("{error:#}")));
    assert!(complaints.is_empty(), "{complaints:?}");
    assert!(
        overview.contains("Port port1") && overview.contains("forward running"),
        "{overview}"
    );
    assert!(overview.contains("Service centre\nreached"), "{overview}");
    assert!(
        instrument.contains("port1 (this port)") && !instrument.contains("port2"),
        "{instrument}"
    );
    let console = system.machine.console();
    let said = console.first("rap init: version").unwrap().text;
    let build = said.rsplit("build ").next().unwrap().trim();
    assert!(
        build.len() >= 12 && evidence.contains(build),
        "{build}: {evidence}"
    );
    assert!(
        console
            .first("rap web: port1 192.168.1.50 GET \"/evidence\" 200")
            .is_some(),
        "{}",
        console.tail(30)
    );
}

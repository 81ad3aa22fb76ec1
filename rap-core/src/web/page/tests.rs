use super::*;
use crate::web::seal::tests::shown;
use crate::web::view::{Package, View};

const NASTY: &str = "<script>alert(1)</script>\" onload='x' & \u{202e}";

fn frame(here: Option<Route>) -> Frame<'static> {
    Frame {
        words: Words::accepted(Some("en")),
        name: "rap-ward-3",
        port: "port1",
        here,
    }
}

fn view() -> View {
    let status = |text: &str| serde_json::from_str(text).unwrap();
    View {
        build: Some(
            serde_json::from_value(serde_json::json!({
                "version": NASTY, "build-id": "ab", "built": 1_790_000_000_u64, "overlays": [NASTY],
                "fips": true, "development": false,
            }))
            .unwrap(),
        ),
        init: None,
        netd: Some(status(
            r#"{"site":null,"on-trial":false,"trials":[],"uplink":{"name":"uplink","nic":"pci:1","link":"up","address":null},
                "ports":[{"name":"port1","nic":"pci:2","link":"no cable","address":null},
                         {"name":"port2","nic":"pci:3","link":"up","address":"192.168.1.1/24"}],"problems":[]}"#,
        )),
        forward: None,
        update: Some(
            serde_json::from_value(serde_json::json!({
                "running": null, "slots": [], "doing": NASTY, "floor": 1, "repository": NASTY,
                "given-up": {"release": {"number": 1, "version": NASTY, "build-id": "ab"}, "why": NASTY, "at": NASTY},
                "history": [{"at": NASTY, "release": {"number": 1, "version": NASTY, "build-id": "ab"},
                             "what": NASTY, "why": NASTY}],
            }))
            .unwrap(),
        ),
        audit: Some(
            serde_json::from_value(serde_json::json!({ "records": 9, "instruments": [
                {"number": 7, "port": "port1", "time": NASTY, "kind": NASTY, "text": NASTY},
                {"number": 8, "port": "port2", "time": "t", "kind": "k", "text": "of another port2"},
            ]}))
            .unwrap(),
        ),
        problems: vec![("netd".to_owned(), NASTY.to_owned())],
    }
}

/// Every page of this view.
fn pages() -> Vec<String> {
    let package = Package {
        name: NASTY.to_owned(),
        version: "1".to_owned(),
    };
    let view = view();
    vec![
        overview(&frame(Some(Route::Overview)), &view, &[shown()]).into_string(),
        instrument(&frame(Some(Route::Instrument)), &view).into_string(),
        evidence(&frame(Some(Route::Evidence)), &view, &[package]).into_string(),
        updates(&frame(Some(Route::Updates)), view.update.as_ref()).into_string(),
        nowhere(&frame(None), Nowhere::NotFound).into_string(),
        overview(&frame(Some(Route::Overview)), &View::default(), &[]).into_string(),
    ]
}

#[test]
fn what_comes_from_elsewhere_is_text() {
    for page in pages() {
        assert!(!page.contains("<script") && !page.contains("\" onload"), "{page}");
    }
    // What writes from right to left turns nothing of ours round.
    assert!(pages()[0].contains("<bdi>&lt;script&gt;"));
}

#[test]
fn every_page_has_a_language_one_heading_and_a_way_past_the_navigation() {
    for page in pages() {
        assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{page}");
        assert_eq!(page.matches("<h1").count(), 1, "{page}");
        assert!(page.contains("<a class=\"skip\" href=\"#content\">") && page.contains("id=\"content\""));
        assert!(!page.contains("style=\"") && !page.contains("http"), "{page}");
    }
}

#[test]
fn another_instruments_port_is_not_told() {
    let page = instrument(&frame(Some(Route::Instrument)), &view()).into_string();
    assert!(
        page.contains("port1 (this port)") && page.contains(">7<") && !page.contains("port2"),
        "{page}"
    );
}

#[test]
fn where_one_is_is_said() {
    for (page, here) in pages().iter().zip(["/", "/instrument", "/evidence", "/updates"]) {
        assert!(
            page.contains(&format!("<a href=\"{here}\" aria-current=\"page\">")),
            "{page}"
        );
        assert_eq!(page.matches("aria-current").count(), 1);
    }
}

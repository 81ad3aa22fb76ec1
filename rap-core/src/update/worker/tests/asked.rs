//! A person who asks for an update.

use super::*;

/// The box is ready before its uplink has an address: a person who asks then is not told that there is no route.
#[test]
fn who_asks_right_after_the_start_waits_for_the_address() {
    use crate::netd::report::{LinkStatus, Status as Network};
    let mut story = Story::new(true);
    let build_id = story.boot();
    let parts = story.parts(&build_id);
    let (told, world) = (Arc::clone(&parts.told), Arc::clone(&story.world));
    let mut worker = Worker::start(parts).unwrap();
    let asked_before = world.lock().unwrap().operations;
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| worker.install("a person", None).unwrap());
        while !lock(&told).doing.starts_with("waiting until the uplink") {
            assert!(!asking.is_finished(), "it did not wait");
            std::thread::yield_now();
        }
        assert_eq!(world.lock().unwrap().operations, asked_before);
        let uplink = LinkStatus {
            link: "up".to_owned(),
            address: Some("10.9.1.20/24".to_owned()),
            ..LinkStatus::default()
        };
        let network = Network {
            uplink,
            ..Network::default()
        };
        crate::status::write(&story.place.path().join("status"), "netd", &network).unwrap();
    });
    assert!(worker.restarting);
}

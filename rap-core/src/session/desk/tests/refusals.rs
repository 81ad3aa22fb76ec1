//! What is not done is written down, and told.

use super::*;

#[test]
fn what_the_house_forbids_or_nobody_can_is_refused_and_the_rest_done() {
    let mut rig = Rig::new();
    let mut answer = |command: Value| rig.direct(&command, 0).pop().unwrap()["answer"].clone();
    let forbidden = answer(json!({ "do": "put-settings", "site": "" }));
    assert!(
        forbidden["detail"]
            .as_str()
            .unwrap()
            .contains("the hospital forbids put-settings")
    );
    assert_eq!(answer(json!({ "do": "refresh-certificate" }))["outcome"], "done");
    let look = json!({ "do": "diagnose", "look": "counters", "instrument": "port1" });
    assert_eq!(answer(look)["outcome"], "done");
    assert_eq!(
        answer(json!({ "do": "end-session", "session": "s-9" }))["outcome"],
        "failed"
    );
    let records = &rig.desk.records.0;
    let is_refusal = |record: &&String| record.starts_with("DIRECTIVE-REFUSED");
    let refused: Vec<_> = records.iter().filter(is_refusal).collect();
    assert!(matches!(&refused[..], [site] if site.contains("the hospital forbids put-settings")));
}

#[test]
fn refusals_are_written_down_each_and_told_once_a_minute() {
    let mut rig = Rig::new();
    let mut told = Vec::new();
    for _ in 0..5 {
        told.extend(rig.bring("{}".to_owned(), 0));
    }
    assert_eq!((told.len(), told[0]["count"].as_u64()), (1, Some(1)));
    let refused = |record: &&String| record.starts_with("DIRECTIVE-REFUSED");
    assert_eq!(rig.desk.records.0.iter().filter(refused).count(), 5);
    let told = rig.bring("{}".to_owned(), 61);
    assert_eq!(told[0]["count"], 5);
    assert_eq!(rig.desk.memory.kept().docket.last(), 0);
}

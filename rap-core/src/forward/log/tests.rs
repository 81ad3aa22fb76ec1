use super::history;
#[test]
fn histories() {
    let count: u64 = std::env::var("LOG_HISTORIES").ok().and_then(|v| v.parse().ok()).unwrap_or(2000);
    let first: u64 = std::env::var("LOG_SEED").ok().and_then(|v| v.parse().ok()).unwrap_or(0);
    history::run_all(first..first + count);
}
#[test]
fn debug_one() {
    let seed: u64 = std::env::var("LOG_SEED").unwrap().parse().unwrap();
    let h = history::History::new(seed).shrunk(None);
    let mut model = super::model::Model::new(h.seed, h.config, None);
    for act in &h.acts {
        println!("{act:?} -> {:?}", model.act(act));
        model.dump(); model.show("segment-000004");
    }
    println!("{:?}", model.act(&history::Act::End{end: super::sim::End::PowerCut, filled:false})); model.dump(); for i in 1..9 { println!("{:?} {:?}", model.act(&history::Act::DeliverAll), i); model.dump(); }
    println!("{:?}", model.finish());
}

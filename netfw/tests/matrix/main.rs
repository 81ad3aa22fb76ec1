//! The policy against the kernel: random networks, each applied in namespaces of its own, and every packet that
//! anybody around the box could send, really sent. What becomes of it must be what [`netfw::policy`] says.
//!
//! Needs root, `/dev/net/tun`, `ip` (iproute2) and `nft` (nftables). `MATRIX_SEED=n` replays the site of one seed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the message; clippy sees tests only inside #[test] functions"
)]

mod case;
mod cases;
mod counters;
mod flood;
mod inside;
mod lab;
mod link;
mod mutation;
mod netfilter;
mod oracle;
mod packet;
mod run;
mod site;
mod sys;
mod typical;
mod verdict;
mod wire;

use std::time::{Duration, Instant};

use crate::lab::Lab;
use crate::site::Site;

/// The least number of packets that are tried in an ordinary run.
const ENOUGH: usize = 2_000;
/// The sites of an ordinary run.
const SEEDS: std::ops::Range<u64> = 0..3;

#[test]
fn every_packet_fares_as_the_policy_says() {
    if !lab::possible() {
        return;
    }
    let (given, minutes) = (number("MATRIX_SEED"), number("MATRIX_MINUTES"));
    let vlans = lab::has_vlans();
    let (mut tried, mut wrong) = (0, 0);
    for seed in seeds(given, minutes) {
        let start = Instant::now();
        let site = Site::new(seed, vlans);
        let (packets, differences) = try_site(&site);
        println!("{site}: {packets} packets, {:?}", start.elapsed());
        for difference in &differences {
            println!("MATRIX_SEED={seed}: {difference}");
        }
        tried += packets;
        wrong += differences.len();
    }
    println!("{tried} packets tried");
    assert_eq!(wrong, 0, "of {tried} packets these fared otherwise, see above");
    assert!(
        given.is_some() || tried >= ENOUGH,
        "only {tried} packets were tried"
    );
}

/// Tries everything at one site; returns how many packets that were, and what is wrong.
fn try_site(site: &Site) -> (usize, Vec<String>) {
    let mut lab = Lab::new(site);
    let before = link::state(&lab, site);
    let cases = cases::all(site);
    let mut wrong = run::all(&mut lab, site, &cases);
    let (asked, false_answers) = link::questions(&mut lab, site);
    let lies = link::lies(&mut lab, site);
    wrong.extend(false_answers);
    wrong.extend(link::changes(&before, &link::state(&lab, site)));
    wrong.extend(link::strays(&lab, site));
    (cases.len() + asked + lies, wrong)
}

#[test]
fn every_rule_has_a_packet_that_depends_on_it() {
    if lab::possible() {
        let part = if std::env::var_os("MATRIX_PARTS").is_some() {
            mutation::Part::Match
        } else {
            mutation::Part::Rule
        };
        demand_witnesses(part);
    }
}

/// Fails with the list of those that nobody would miss.
fn demand_witnesses(part: mutation::Part) {
    let mut idle = Vec::new();
    let mut tried = 0;
    for site in typical::sites() {
        let start = Instant::now();
        for outcome in mutation::all(&site, part) {
            tried += 1;
            match outcome.witness {
                Some(witness) => println!("{}: {}", outcome.rule, witness.lines().next().unwrap_or("")),
                None => idle.push(outcome.rule),
            }
        }
        println!("site {}: {:?}", site.seed, start.elapsed());
    }
    println!("{tried} rules taken out, {} without a witness", idle.len());
    assert!(idle.is_empty(), "no packet depends on:\n  {}", idle.join("\n  "));
    assert!(tried > 50, "only {tried} rules were found");
}

/// The sites of this run: the ordinary ones, the one that is given, or one after the other for some minutes.
fn seeds(given: Option<u64>, minutes: Option<u64>) -> Box<dyn Iterator<Item = u64>> {
    match (given, minutes) {
        (None, None) => Box::new(SEEDS),
        (Some(seed), None) => Box::new(seed..=seed),
        (first, Some(minutes)) => {
            let end = Instant::now() + Duration::from_secs(60 * minutes);
            Box::new((first.unwrap_or(SEEDS.end)..).take_while(move |_| Instant::now() < end))
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is \"{text}\", expected a number")),
    )
}

//! Running cases: many at once, then one silence for all of them.
//!
//! Before a batch the tables are loaded anew and connections forgotten, so that no case profits or suffers from the
//! ones before: rate limits are full, and nothing is established. Within a batch the expected verdicts say how many
//! cases may draw on the same limit.

use std::collections::HashMap;

use netfw::policy::{Answer, Moment, Verdict};

use crate::case::{Case, From, Seen, Setup, Spot, Word};
use crate::lab::{Event, Lab};
use crate::packet::{ACK, Body, Heard, Live, RST, SYN, Sound, tag};
use crate::site::Site;
use crate::wire::{Mood, Moods};
use crate::{counters, oracle, verdict};

/// Sends between two looks at what came: queues hold more.
const BREATH: usize = 16;

/// Cases of one reason that a batch may hold where a limit may apply: less than the smallest burst of any.
const SHARE: usize = 15;
/// Cases in a batch: less than the queues hold.
const BATCH: usize = 400;

/// Runs all `cases` in batches; returns what is wrong, a text a case.
pub(crate) fn all(lab: &mut Lab, site: &Site, cases: &[Case]) -> Vec<String> {
    let moment = lab.moment(site);
    let mut wrong = Vec::new();
    for batch_of in batches(site, &moment, cases) {
        let (expected, chosen): (Vec<_>, Vec<_>) = batch_of.into_iter().unzip();
        lab.refresh(site);
        let seen = batch(lab, &chosen);
        let each = chosen.iter().zip(&expected).zip(&seen);
        let faults: Vec<_> = each
            .filter_map(|((case, expected), seen)| {
                let fault = verdict::fault(site, case, expected, seen)?;
                let unheard = expected.verdict == Verdict::Refused && *seen == Seen::default();
                Some((*case, expected, fault, unheard))
            })
            .collect();
        for (case, expected, fault, unheard) in faults {
            // The kernel has limits of its own on what it tells (icmp(7)), which not every kernel lets a lab lift.
            let (alone, moved) = again(lab, site, case);
            let right = verdict::fault(site, case, expected, &alone).is_none();
            if !(unheard && right) {
                wrong.push(format!(
                    "{fault}\n    alone: {alone}, counted by {}",
                    moved.join("; ")
                ));
            }
        }
    }
    wrong
}

/// Runs one case by itself: what is seen of it, and which rules counted.
fn again(lab: &mut Lab, site: &Site, case: &Case) -> (Seen, Vec<String>) {
    lab.refresh(site);
    let before = counters::all(lab);
    let seen = batch(lab, &[case]).remove(0);
    (seen, counters::moved(lab, &before))
}

/// Shares `cases` out among batches.
fn batches<'a>(site: &Site, moment: &Moment, cases: &'a [Case]) -> Vec<Vec<(Answer, &'a Case)>> {
    let mut batches: Vec<(HashMap<String, usize>, Vec<_>)> = Vec::new();
    for case in cases {
        let expected = oracle::expected(site, moment, case);
        let share = match expected.verdict {
            Verdict::Silent => BATCH,
            Verdict::Refused => 4 * SHARE,
            Verdict::Delivered => SHARE,
        };
        let fits = |(counts, list): &(HashMap<String, usize>, Vec<_>)| {
            let alike = list
                .iter()
                .all(|(_, other): &(Answer, &Case)| other.closed() == case.closed());
            alike && list.len() < BATCH && counts.get(&expected.reason).is_none_or(|count| *count < share)
        };
        let at = batches.iter().position(fits).unwrap_or_else(|| {
            batches.push((HashMap::new(), Vec::new()));
            batches.len() - 1
        });
        *batches[at].0.entry(expected.reason.clone()).or_default() += 1;
        batches[at].1.push((expected, case));
    }
    batches.into_iter().map(|(_, list)| list).collect()
}

/// Runs `cases` at once and says what was seen of each, in their order.
pub(crate) fn batch(lab: &mut Lab, cases: &[&Case]) -> Vec<Seen> {
    let live = lab.number(cases.len());
    let numbers = set_up(lab, cases, &live);
    let closed = cases.iter().find_map(|case| case.closed());
    if let Some(side) = closed {
        lab.close_sessions(side);
    }
    let kept = live
        .clone()
        .zip(cases)
        .filter(|(_, case)| matches!(case.setup, Setup::Keep));
    let moods: Moods = kept.map(|(number, _)| (number, Mood::HangsNothingUp)).collect();
    let mut seen = vec![Seen::default(); cases.len()];
    for (at, (number, case)) in live.clone().zip(cases).enumerate() {
        let packets = match (&case.packet.body, numbers.get(&number)) {
            (Body::Tcp { .. }, Some(numbers)) => case.packet.segment(number, *numbers),
            _ => case.packet.bytes(number),
        };
        seen[at].words.extend(lab.emit(&case.from, &packets));
        if at % BREATH == BREATH - 1 {
            let events = lab.hear(&live, &moods);
            note(&events, cases, &live, &mut seen);
        }
    }
    let events = lab.settle(&live, &moods);
    note(&events, cases, &live, &mut seen);
    for inside in &mut lab.insides {
        inside.hang_up();
    }
    if closed.is_some() {
        lab.fill_sessions();
    }
    seen
}

/// Does what goes before the packets; returns the sequence numbers that a segment within a connection needs.
fn set_up(lab: &mut Lab, cases: &[&Case], live: &Live) -> HashMap<u16, (u32, u32)> {
    let before: Vec<_> = live
        .clone()
        .zip(cases)
        .filter_map(|(number, case)| case.before().map(|(from, packet)| (number, from, packet)))
        .collect();
    if before.is_empty() {
        return HashMap::new();
    }
    let mood = |from: &From| match from {
        From::Inside { .. } => Mood::AnswersNothing,
        From::Wire { .. } => Mood::HangsNothingUp,
    };
    let moods: Moods = before
        .iter()
        .map(|(number, from, _)| (*number, mood(from)))
        .collect();
    for (number, from, packet) in &before {
        lab.emit(from, &packet.bytes(*number));
    }
    let events = lab.settle(live, &moods);
    let mut numbers = HashMap::new();
    for (number, from, packet) in before {
        if let From::Inside { .. } = from {
            // An answer to what the box asked acknowledges the box's first number.
            numbers.insert(number, (tag(number) + 8, tag(number) + 1));
        } else if let Some((sequence, acknowledged)) = accepted(&events, number) {
            // What is accepted is acknowledged; the case's packet is the next.
            let next = (acknowledged, sequence.wrapping_add(1));
            let mut third = packet.clone();
            if let Body::Tcp { flags, .. } = &mut third.body {
                *flags = ACK;
            }
            lab.emit(from, &third.bare_segment(number, next));
            numbers.insert(number, next);
        }
    }
    lab.settle(live, &moods);
    numbers
}

fn accepted(events: &[Event], number: u16) -> Option<(u32, u32)> {
    let heard = events.iter().filter_map(|event| match event {
        Event::Wire(_, arrival) => Some(&arrival.heard),
        Event::Inside(..) => None,
    });
    heard
        .filter(|heard| heard.case == number)
        .find_map(|heard| match heard.sound {
            Sound::Tcp {
                flags,
                sequence,
                acknowledged,
                ..
            } if flags & (SYN | ACK) == SYN | ACK => Some((sequence, acknowledged)),
            _ => None,
        })
}

fn note(events: &[Event], cases: &[&Case], live: &Live, seen: &mut [Seen]) {
    for event in events {
        let heard = match event {
            Event::Inside(_, heard) => heard,
            Event::Wire(_, arrival) => &arrival.heard,
        };
        let at = usize::from(heard.case - live.start);
        let case = cases[at];
        let spot = match event {
            Event::Inside(here, _) => Spot::Inside(*here),
            Event::Wire(here, _) => Spot::Wire(*here),
        };
        let home = match case.from {
            From::Wire { wire, .. } => Spot::Wire(wire),
            From::Inside { inside, .. } => Spot::Inside(inside),
        };
        let reflected = matches!((spot, home), (Spot::Wire(_), Spot::Wire(_)));
        if itself(case, heard) && !(spot == home && matches!(home, Spot::Wire(_)) && to_sender(case, heard)) {
            let astray = matches!(event, Event::Wire(_, arrival) if !arrival.arrives);
            seen[at].delivered.insert(match spot {
                Spot::Wire(wire) if astray => Spot::Astray(wire),
                spot => spot,
            });
        } else if spot == home || reflected && to_sender(case, heard) {
            seen[at].words.extend(word(&heard.sound));
        }
    }
}

fn to_sender(case: &Case, heard: &Heard) -> bool {
    heard.destination == case.packet.source
}

/// Whether this is the packet of the case, and not an answer to it or what followed.
fn itself(case: &Case, heard: &Heard) -> bool {
    match (&case.packet.body, &heard.sound) {
        (
            Body::Tcp { from, to, flags },
            Sound::Tcp {
                from: source,
                to: port,
                flags: came,
                ..
            },
        ) => (from, to, flags) == (source, port, came),
        (Body::Udp { .. }, Sound::Udp { answer, .. }) => !answer,
        (Body::Echo, Sound::Echo) | (Body::EchoReply, Sound::EchoReply) => true,
        (Body::Icmp { kind, .. } | Body::Error { kind, .. }, Sound::Icmp { kind: came, .. }) => kind == came,
        (Body::Other(protocol), Sound::Other(came)) => protocol == came,
        _ => false,
    }
}

fn word(sound: &Sound) -> Option<Word> {
    Some(match sound {
        Sound::Tcp { flags, .. } if flags & RST != 0 => Word::Reset,
        Sound::Tcp { flags, .. } if flags & (SYN | ACK) == SYN | ACK => Word::Accepted,
        Sound::Tcp { .. } => Word::Segment,
        Sound::Udp { .. } => Word::Datagram,
        Sound::EchoReply => Word::Echo,
        Sound::Icmp { kind, code } => Word::Icmp(*kind, *code),
        Sound::Echo | Sound::Other(_) => return None,
    })
}

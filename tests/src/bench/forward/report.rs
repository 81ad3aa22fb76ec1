//! What is posted: an instrument's status, a CloudEvent of exactly 1 KiB, each with an id of its own.

use std::ops::Range;

/// Bytes of every report.
pub(super) const BYTES: usize = 1024;
/// What an id begins with, and nothing else in a report has.
const ID: &str = "bench-";
/// Digits of the number in an id.
const DIGITS: usize = 12;

const TEXT: &str = r#"{"specversion":"1.0","id":"bench-000000000000","type":"instrument.status","source":"centrifuge","datacontenttype":"application/json","data":{"model":"centrifuge","serial":"R-204417","firmware":"3.14.2","state":"running","uptime":1000000,"temperature":21.402,"rotor":39.918,"pressure":10.131,"humidity":41.377,"imbalance":13.012,"supply":24.003,"program":"spin-07","setpoints":{"temperature":21.5,"rotor":4000,"pressure":101.3,"humidity":40,"acceleration":9,"brake":6,"duration":1800},"modules":[{"name":"rotor","state":"ok","errors":0},{"name":"cooler","state":"ok","errors":0},{"name":"lid","state":"closed","errors":0},{"name":"vacuum","state":"ok","errors":2},{"name":"supply","state":"ok","errors":0},{"name":"carousel","state":"parked","errors":0}],"consumables":{"buffer":"71%","waste":"12%"},"note":""#;
const END: &str = "\"}}";

/// One report whose number is written into it again and again.
#[derive(Debug, Clone)]
pub(super) struct Report {
    bytes: Vec<u8>,
    digits: Range<usize>,
}

impl Report {
    pub(super) fn new() -> Self {
        let mut bytes = TEXT.as_bytes().to_vec();
        bytes.resize(BYTES - END.len(), b'-');
        bytes.extend_from_slice(END.as_bytes());
        let from = TEXT.find(ID).unwrap_or_default() + ID.len();
        Self {
            bytes,
            digits: from..from + DIGITS,
        }
    }

    /// The report with the id of number `k`.
    pub(super) fn numbered(&mut self, k: u64) -> &[u8] {
        let mut rest = k;
        for digit in self.bytes[self.digits.clone()].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        &self.bytes
    }
}

/// The numbers of all whole reports' ids in `bytes`, in order.
pub(super) fn numbers(bytes: &[u8]) -> Vec<u64> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(ID.len()).position(|part| part == ID.as_bytes()) {
        rest = &rest[at + ID.len()..];
        let digits = rest
            .get(..DIGITS)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        found.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    found
}

#[cfg(test)]
mod tests {
    use rap_core::forward::event::{Format, Limits, parse};

    use super::*;

    #[test]
    fn every_report_is_one_event_of_a_kibibyte_with_its_own_id() {
        let mut report = Report::new();
        let mut all = Vec::new();
        for k in [0, 7, 123_456_789_012] {
            let bytes = report.numbered(k);
            assert_eq!(bytes.len(), BYTES);
            let events = parse(bytes, Format::Single, "/bench/port1", &Limits::default()).unwrap();
            assert_eq!(events[0].id, format!("bench-{k:012}"));
            all.extend_from_slice(bytes);
        }
        assert_eq!(numbers(&all), [0, 7, 123_456_789_012]);
        assert_eq!(numbers(&all[..BYTES + 40]), [0]);
    }
}

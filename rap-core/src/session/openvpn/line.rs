//! What OpenVPN says at its management interface (`doc/management-notes.txt` of OpenVPN 2.6): a line each.

use std::net::Ipv4Addr;

/// A line that means something here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// It waits to be let go.
    Hold,
    /// The tunnel is there, and the box has this address in it.
    Connected(Ipv4Addr),
    /// It lost the tunnel or gives up, and why.
    Ending(String),
    /// It wants a password, which nobody has.
    WantsPassword,
    /// A warning or an error of its log: why it ends, perhaps.
    Complaint(String),
    /// Anything else.
    Other,
}

/// Reads a line. What it does not know is [`Line::Other`].
#[must_use]
pub fn parse(line: &str) -> Line {
    let Some((kind, rest)) = line.strip_prefix('>').and_then(|line| line.split_once(':')) else {
        return Line::Other;
    };
    match kind {
        "HOLD" => Line::Hold,
        "FATAL" => Line::Ending(clean(rest)),
        "PASSWORD" => Line::WantsPassword,
        "STATE" => state(rest),
        "LOG" => complaint(rest),
        _ => Line::Other,
    }
}

/// `time,NAME,detail,local address,remote address,…`
fn state(rest: &str) -> Line {
    let fields: Vec<_> = rest.trim_end().split(',').collect();
    let field = |n: usize| fields.get(n).copied().unwrap_or_default();
    match field(1) {
        "CONNECTED" => match (field(2), field(3).parse()) {
            ("SUCCESS", Ok(address)) => Line::Connected(address),
            (detail, _) => Line::Ending(format!("connected without an address ({})", clean(detail))),
        },
        "RECONNECTING" | "EXITING" => Line::Ending(format!("the tunnel ended ({})", clean(field(2)))),
        _ => Line::Other,
    }
}

/// `time,flags,text`: N is an error, F a fatal one, W a warning.
fn complaint(rest: &str) -> Line {
    let mut fields = rest.splitn(3, ',').skip(1);
    match (fields.next(), fields.next()) {
        (Some(flags), Some(text)) if flags.contains(['N', 'F', 'W']) => Line::Complaint(clean(text)),
        _ => Line::Other,
    }
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_matter_are_known() {
        let cases = [
            (">HOLD:Waiting for hold release:0", Line::Hold),
            (
                ">STATE:1700000000,CONNECTED,SUCCESS,10.8.0.6,10.9.0.10,1194,127.0.0.1,40000,",
                Line::Connected(Ipv4Addr::new(10, 8, 0, 6)),
            ),
            (">STATE:1700000000,WAIT,,,,,,", Line::Other),
            (
                ">STATE:1,RECONNECTING,connection-reset,,,,,",
                Line::Ending("the tunnel ended (connection-reset)".to_owned()),
            ),
            (">FATAL:no key\u{1b}", Line::Ending("no key".to_owned())),
            (
                ">LOG:1,N,TCP: connect to 10.9.0.10 failed, again",
                Line::Complaint("TCP: connect to 10.9.0.10 failed, again".to_owned()),
            ),
            (">LOG:1,I,TUN/TAP device tunnel opened", Line::Other),
            (">PASSWORD:Need 'Private Key' password", Line::WantsPassword),
            ("SUCCESS: hold release succeeded", Line::Other),
            (">INFO:OpenVPN Management Interface Version 5", Line::Other),
            ("", Line::Other),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), expected, "{line}");
        }
        assert!(matches!(
            parse(">STATE:1,CONNECTED,SUCCESS,fe80::1"),
            Line::Ending(_)
        ));
        assert!(matches!(
            parse(">STATE:1,CONNECTED,ERROR,10.8.0.6"),
            Line::Ending(_)
        ));
    }
}

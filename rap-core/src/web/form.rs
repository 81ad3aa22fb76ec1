//! What a browser sends of our form (URL standard §5.1, `application/x-www-form-urlencoded`), read strictly. Pure.
//!
//! Invariant: a field that is not in the form, or there twice, makes it no form of ours.

use std::collections::BTreeMap;

use crate::directive::Words;
use crate::session::Consent;
use crate::session::consent::Answer;

/// Bytes of a form, at most.
pub(super) const LIMIT: usize = 4096;
/// Its content type.
pub(super) const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";
/// What a yes for a time may be for, in hours.
pub(super) const HOURS: [u8; 4] = [1, 4, 8, 24];
/// Its fields.
const FIELDS: [&str; 7] = ["token", "shown", "session", "answer", "hours", "by", "pin"];
/// Who said no without a name.
const SOMEBODY: &str = "somebody";

/// A form that was filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    /// The seal on the port.
    pub(super) token: String,
    /// The seal on what was shown.
    pub(super) shown: String,
    /// What the person says.
    pub(super) consent: Consent,
}

/// What is no form of ours, or is not filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoForm {
    /// Nothing that our pages send.
    Wrong,
    /// A yes without the name of who says it, or with one that is no line of text.
    NoName,
}

/// Reads a body.
pub(super) fn read(body: &[u8]) -> Result<Form, NoForm> {
    let mut fields = BTreeMap::new();
    for pair in std::str::from_utf8(body).map_err(|_| NoForm::Wrong)?.split('&') {
        let (name, value) = pair.split_once('=').ok_or(NoForm::Wrong)?;
        let known = FIELDS.iter().find(|known| **known == name);
        let value = decode(value).ok_or(NoForm::Wrong)?;
        if fields.insert(*known.ok_or(NoForm::Wrong)?, value).is_some() {
            return Err(NoForm::Wrong);
        }
    }
    let mut take = |name: &str| fields.remove(name).unwrap_or_default();
    let answer = match take("answer").as_str() {
        "once" => Answer::Once,
        "for-a-time" => Answer::ForATime,
        "refuse" => Answer::Refuse,
        "later" => Answer::Later,
        _ => return Err(NoForm::Wrong),
    };
    let hours = take("hours");
    let seconds = match answer {
        Answer::ForATime => {
            let hours = HOURS.iter().find(|known| known.to_string() == hours);
            Some(u64::from(*hours.ok_or(NoForm::Wrong)?) * 3600)
        }
        _ => None,
    };
    let by = take("by");
    let by: Option<Words> = by.trim().parse().ok();
    let by = match answer {
        // To be safe asks for nothing.
        Answer::Refuse | Answer::Later => by.or_else(|| SOMEBODY.parse().ok()),
        Answer::Once | Answer::ForATime => by,
    };
    let pin = take("pin");
    Ok(Form {
        token: take("token"),
        shown: take("shown"),
        consent: Consent {
            session: take("session").parse().map_err(|_| NoForm::Wrong)?,
            answer,
            seconds,
            by: by.ok_or(NoForm::NoName)?,
            pin: (!pin.is_empty()).then_some(pin),
        },
    })
}

/// Percent-decoded, `+` for a space; none when that is no UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_sends_is_read() {
        let body = b"token=ab&shown=cd&session=s-1&by=J%C3%BCrgen+B.&pin=47%2B11&hours=4&answer=for-a-time";
        let form = read(body).unwrap();
        assert_eq!((form.token.as_str(), form.shown.as_str()), ("ab", "cd"));
        let expected = Consent {
            session: "s-1".parse().unwrap(),
            answer: Answer::ForATime,
            seconds: Some(4 * 3600),
            by: "Jürgen B.".parse().unwrap(),
            pin: Some("47+11".to_owned()),
        };
        assert_eq!(form.consent, expected);
    }

    #[test]
    fn a_no_needs_nothing_and_a_yes_a_name() {
        for answer in ["refuse", "later"] {
            let form = read(format!("session=s-1&by=&pin=&answer={answer}").as_bytes()).unwrap();
            assert_eq!((form.consent.by.as_str(), form.consent.pin), (SOMEBODY, None));
        }
        for by in ["", "+", "%0a", "%E2%80%AE", &"x".repeat(201)] {
            let body = format!("session=s-1&by={by}&answer=once");
            assert_eq!(read(body.as_bytes()), Err(NoForm::NoName), "{by}");
        }
    }

    #[test]
    fn anything_else_is_no_form() {
        for wrong in [
            "",
            "&",
            "answer",
            "answer=once",
            "session=s-1&by=Bob",
            "session=s-1&by=Bob&answer=maybe",
            "session=s-1&by=Bob&answer=once&answer=refuse",
            "session=s-1&by=Bob&answer=once&port=port2",
            "session=../x&by=Bob&answer=once",
            "session=s-1&by=Bob&answer=for-a-time",
            "session=s-1&by=Bob&answer=for-a-time&hours=25",
            "session=s-1&by=%zz&answer=once",
            "session=s-1&by=%4&answer=once",
            "session=s-1&by=%ff&answer=once",
        ] {
            assert_eq!(read(wrong.as_bytes()), Err(NoForm::Wrong), "{wrong}");
        }
        assert_eq!(read(b"\xff"), Err(NoForm::Wrong));
    }
}

//! From bytes that anybody may have written to a directive that the service key's owner made: size, form, signature,
//! content, in this order, so that nothing of an unsigned payload is read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::docket::DocketId;
use super::{COMMANDS, Command, Directive, ENVELOPE_LIMIT, PAYLOAD_LIMIT, Refusal, ServiceKey, VERSION};
use crate::digest::Sha256;

/// Stands before the payload in what is signed, so that no signature of this key for another purpose is one of these.
const CONTEXT: &[u8] = b"RAP directive 1\0";

/// What is signed for `payload`: [`CONTEXT`], then the payload.
#[must_use]
pub fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    [CONTEXT, payload].concat()
}

/// A directive as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The payload's bytes in Base64 (RFC 4648 §4).
    payload: String,
    /// The signature's, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

/// What a payload has.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Payload<'a> {
    version: u32,
    r#box: String,
    docket: DocketId,
    number: u64,
    issued: String,
    expires: String,
    #[serde(borrow)]
    command: &'a RawValue,
}

impl Envelope {
    /// For who signs: a payload and its signature by [`signed_bytes`].
    #[must_use]
    pub fn new(payload: &[u8], signature: Option<&[u8]>) -> Self {
        Self {
            payload: BASE64.encode(payload),
            signature: signature.map(|signature| BASE64.encode(signature)),
        }
    }

    /// Reads an envelope's JSON, checks its signature, and reads what was signed. The digest is the payload's: by it
    /// the same directive is known again.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn open(bytes: &[u8], key: &ServiceKey) -> Result<(Directive, Sha256), Refusal> {
        let envelope = Self::read(bytes)?;
        let payload = decoded("payload", &envelope.payload)?;
        if payload.len() > PAYLOAD_LIMIT {
            return Err(Refusal::TooLarge { bytes: payload.len() });
        }
        let signature = envelope.signature.filter(|text| !text.is_empty());
        let signature = decoded("signature", &signature.ok_or(Refusal::Unsigned)?)?;
        if !key.signed(&signed_bytes(&payload), &signature) {
            return Err(Refusal::WrongKey);
        }
        Ok((read(&payload)?, Sha256::of(&payload)))
    }

    fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > ENVELOPE_LIMIT {
            return Err(Refusal::TooLarge { bytes: bytes.len() });
        }
        serde_json::from_slice(bytes).map_err(|error| Refusal::NoEnvelope {
            why: error.to_string(),
        })
    }
}

fn decoded(what: &str, text: &str) -> Result<Vec<u8>, Refusal> {
    BASE64.decode(text).map_err(|error| Refusal::NoEnvelope {
        why: format!("{what} is no Base64: {error}"),
    })
}

/// Reads a payload, whoever made it: for [`Envelope::open`] and the fuzzer.
pub(super) fn read(payload: &[u8]) -> Result<Directive, Refusal> {
    let wrong = |why: String| Refusal::NoDirective { why };
    let found: Payload<'_> = serde_json::from_slice(payload).map_err(|error| wrong(error.to_string()))?;
    if found.version != VERSION {
        return Err(wrong(format!("version is {}, expected {VERSION}", found.version)));
    }
    let time = |field: &str, text: &str| {
        let expected = "a time such as 2026-11-28T18:00:00Z";
        let parsed = text.parse::<Timestamp>();
        parsed.map_err(|_| wrong(format!("{field} is not {expected}")))
    };
    Ok(Directive {
        issued: time("issued", &found.issued)?,
        expires: time("expires", &found.expires)?,
        command: command(found.command.get())?,
        to: found.r#box.chars().filter(|c| !c.is_control()).take(64).collect(),
        docket: found.docket,
        number: found.number,
    })
}

fn command(text: &str) -> Result<Command, Refusal> {
    #[derive(Deserialize)]
    struct Named {
        r#do: String,
    }
    let wrong = |why: String| Refusal::NoDirective { why };
    let named: Named = serde_json::from_str(text).map_err(|error| wrong(format!("command: {error}")))?;
    if !COMMANDS.contains(&named.r#do.as_str()) {
        let clean = named.r#do.chars().filter(|c| !c.is_control());
        return Err(Refusal::Unknown {
            name: clean.take(40).collect(),
        });
    }
    let command: Command =
        serde_json::from_str(text).map_err(|error| wrong(format!("command {}: {error}", named.r#do)))?;
    command
        .checked()
        .map_err(|why| wrong(format!("command {}: {why}", named.r#do)))
}

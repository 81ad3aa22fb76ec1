//! Signatures for Secure Boot: of programs ([`sign`], [`check`]; Authenticode) and of firmware's key variables ([`variable`]).
//!
//! Deterministic: no time goes into a program's signature, and RSA's old padding has no randomness, so the same image
//! and key give the same bits. Checked in tests by `sbverify` and by OVMF itself, which share no code with this.
//!
//! Sources: Microsoft's "Windows Authenticode Portable Executable Signature Format", UEFI 2.10 §8.2.2 and §32.4, RFC 2315.

mod check;
mod der;
mod pkcs7;
pub mod variable;

#[doc(hidden)]
pub use self::check::is_right;
pub use self::check::{CheckError, check};
use self::der::{BIT_STRING, OID, SEQUENCE, context, nested, value};
use self::pkcs7::{Content, digest_info, wrapped};
pub use self::pkcs7::{Signer, SigningError};
use crate::uki::Program;
use rap_core::digest::Sha256;

/// The key that signs programs, among a directory's keys.
pub const PROGRAM_KEY: &str = "secure-boot-db";

/// 1.3.6.1.4.1.311.2.1.4, SPC_INDIRECT_DATA.
const INDIRECT_DATA: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x04];
/// 1.3.6.1.4.1.311.2.1.15, SPC_PE_IMAGE_DATA.
const PE_IMAGE_DATA: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x0f];
/// `WIN_CERTIFICATE`: revision 2.0, type PKCS #7 (UEFI 2.10 §32.2.4).
const REVISION: u16 = 0x0200;
const PKCS_SIGNED_DATA: u16 = 0x0002;

/// The program with a signature attached.
///
/// # Errors
/// When it is no program, is signed already, or signing fails.
pub fn sign(program: &[u8], signer: &Signer) -> Result<Vec<u8>, SigningError> {
    let parsed = Program::parse(program)?;
    if parsed.is_signed() {
        return Err(SigningError::Signed);
    }
    let indirect = indirect_data(&parsed.authenticode());
    let signature = signer.signed_data(&Content::Inside {
        kind: INDIRECT_DATA,
        der: &indirect,
    })?;
    let certificate = win_certificate(PKCS_SIGNED_DATA, &wrapped(&signature))?;
    let mut signed = program.to_vec();
    signed.resize(signed.len().next_multiple_of(8), 0);
    let at = signed.len();
    signed.extend(&certificate);
    signed.resize(signed.len().next_multiple_of(8), 0);
    let entry = parsed.security_entry();
    let length = signed.len() - at;
    signed[entry..entry + 4].copy_from_slice(&number(at)?);
    signed[entry + 4..entry + 8].copy_from_slice(&number(length)?);
    Ok(signed)
}

/// Who signed a program, by the name in the certificate that comes with the signature. Says nothing of whether the
/// signature is right; `None` when there is none or it cannot be read.
#[must_use]
pub fn signed_by(program: &Program<'_>) -> Option<String> {
    pkcs7::signed_by(pkcs7_of(program)?)
}

/// What the attached `WIN_CERTIFICATE` holds.
fn pkcs7_of<'a>(program: &Program<'a>) -> Option<&'a [u8]> {
    let certificate = program.signature_bytes();
    let length = certificate.get(..4)?.try_into().ok().map(u32::from_le_bytes)?;
    let [revision, kind] = [REVISION, PKCS_SIGNED_DATA].map(u16::to_le_bytes);
    if certificate.get(4..8)? != [revision, kind].concat() {
        return None;
    }
    certificate.get(8..usize::try_from(length).ok()?)
}

/// `SpcIndirectDataContent`: what Authenticode signs in a program's place. The file's name is empty, as in `sbsign`.
fn indirect_data(digest: &Sha256) -> Vec<u8> {
    let no_flags = value(BIT_STRING, &[0]);
    let no_name = value(context(0), &value(context(2), &[0x80, 0]));
    let image = nested(SEQUENCE, &[&no_flags, &no_name]);
    let data = nested(SEQUENCE, &[&value(OID, PE_IMAGE_DATA), &image]);
    nested(SEQUENCE, &[&data, &digest_info(digest)])
}

fn win_certificate(kind: u16, content: &[u8]) -> Result<Vec<u8>, SigningError> {
    let mut out = number(8 + content.len())?.to_vec();
    out.extend(REVISION.to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend(content);
    Ok(out)
}

fn number(value: usize) -> Result<[u8; 4], SigningError> {
    let value = u32::try_from(value).map_err(|_| SigningError::TooLarge(value))?;
    Ok(value.to_le_bytes())
}

#[cfg(test)]
mod tests;

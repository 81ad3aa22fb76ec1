//! Firmware's key variables: PK, KEK and db with one certificate each, signed so that firmware takes them
//! (UEFI 2.10 §8.2.2, `EFI_VARIABLE_AUTHENTICATION_2`; §32.4.1, `EFI_SIGNATURE_LIST`).

use rap_core::boot::variable::{ATTRIBUTES, Variable};
use uuid::{Uuid, uuid};

use super::pkcs7::{Content, Signer, SigningError};
use super::{REVISION, number};

/// `EFI_CERT_X509_GUID`.
const X509: Uuid = uuid!("a5c059a1-94e4-4aa7-87b5-ab155c2bf072");
/// `EFI_CERT_TYPE_PKCS7_GUID`.
const PKCS7: Uuid = uuid!("4aafd29d-68df-49ee-8aa9-347d375665a7");
/// Whose entries these are: ours.
const OWNER: Uuid = uuid!("8d0f5f1e-6c3b-4d6a-9a2e-524150000100");
/// `WIN_CERT_TYPE_EFI_GUID`.
const EFI_GUID: u16 = 0x0ef1;

/// What is written to a variable so that it holds the certificate of `holder`: signed by `signer`, which is the platform
/// key for PK and KEK and the key exchange key for db. `year` must not be less than in what it replaces.
///
/// # Errors
/// When signing fails.
pub fn signed(
    variable: Variable,
    holder: &Signer,
    signer: &Signer,
    year: u16,
) -> Result<Vec<u8>, SigningError> {
    let list = signature_list(holder.certificate())?;
    let time = time(year);
    let mut covered: Vec<u8> = variable
        .name()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    covered.extend(variable.vendor().to_bytes_le());
    covered.extend(ATTRIBUTES.to_le_bytes());
    covered.extend(time);
    covered.extend(&list);
    let signature = signer.signed_data(&Content::Detached(&covered))?;
    let mut out = time.to_vec();
    out.extend(number(8 + 16 + signature.len())?);
    out.extend(REVISION.to_le_bytes());
    out.extend(EFI_GUID.to_le_bytes());
    out.extend(PKCS7.to_bytes_le());
    out.extend(signature);
    out.extend(list);
    Ok(out)
}

fn signature_list(certificate: &[u8]) -> Result<Vec<u8>, SigningError> {
    let entry = 16 + certificate.len();
    let mut out = X509.to_bytes_le().to_vec();
    // Size of the list, of its header, of an entry.
    for size in [16 + 3 * 4 + entry, 0, entry] {
        out.extend(number(size)?);
    }
    out.extend(OWNER.to_bytes_le());
    out.extend(certificate);
    Ok(out)
}

/// `EFI_TIME`: the first of January, midnight; nanoseconds, time zone and daylight must be zero.
fn time(year: u16) -> [u8; 16] {
    let mut time = [0; 16];
    time[..2].copy_from_slice(&year.to_le_bytes());
    (time[2], time[3]) = (1, 1);
    time
}

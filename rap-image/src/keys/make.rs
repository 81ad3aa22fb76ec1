//! Making keys, and the certificates of Secure Boot.

use rcgen::{
    Certificate, CertificateParams, DnType, KeyPair, KeyUsagePurpose, RsaKeySize, SerialNumber,
    SignatureAlgorithm,
};

use super::KeysError;

/// Firmware knows RSA-2048 with SHA-256 everywhere and little else (UEFI 2.10 §32.4).
pub(super) fn secure_boot(
    name: &str,
    common_name: &str,
    years: (i32, i32),
) -> Result<(Certificate, KeyPair), KeysError> {
    let make = |source| KeysError::Make {
        name: name.to_owned(),
        source,
    };
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(make)?;
    let mut params = params(common_name, years);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let certificate = params.self_signed(&key).map_err(make)?;
    Ok((certificate, key))
}

/// A certificate of this name, from the first day of one year to that of another.
pub(super) fn params(common_name: &str, (from, to): (i32, i32)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
    // Positive and at most 20 bytes (RFC 5280 §4.1.2.2).
    let mut serial = uuid::Uuid::new_v4().into_bytes();
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

pub(super) fn generate(name: &str, algorithm: &'static SignatureAlgorithm) -> Result<KeyPair, KeysError> {
    KeyPair::generate_for(algorithm).map_err(|source| KeysError::Make {
        name: name.to_owned(),
        source,
    })
}

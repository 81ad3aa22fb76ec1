//! What signatures are, by our own reading; that firmware and `sbverify` take them is tested on the whole image.

use rap_core::boot::variable::Variable;

use super::variable::signed;
use super::*;
use crate::keys;
use crate::uki::tests::stub;

/// The development keys `names` of a set.
fn signers<const N: usize>(names: [&str; N]) -> [Signer; N] {
    let place = tempfile::tempdir().unwrap();
    let keys = place.path().join("keys");
    keys::write_development(&keys, false, &[]).unwrap();
    names.map(|name| Signer::load(&keys, name).unwrap_or_else(|e| panic!("{e}")))
}

#[test]
fn a_signature_changes_nothing_of_what_it_covers_and_is_the_same_every_time() {
    let [signer] = signers([PROGRAM_KEY]);
    for more in [0, 3] {
        // A tail after the last section, so that the signature's place has to be padded.
        let program = [stub(), vec![7; more]].concat();
        let program = &program[..];
        let signed = sign(program, &signer).unwrap();
        assert_eq!(signed, sign(program, &signer).unwrap());
        let (before, after) = (Program::parse(program).unwrap(), Program::parse(&signed).unwrap());
        assert_eq!(before.authenticode(), after.authenticode());
        assert!(after.is_signed() && signed.len().is_multiple_of(8));
        assert_eq!(signed_by(&after).as_deref(), Some("DEVELOPMENT secure-boot-db"));
        assert!(matches!(sign(&signed, &signer), Err(SigningError::Signed)));
    }
}

#[test]
fn keys_that_cannot_sign_are_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let keys = place.path().join("keys");
    keys::write_development(&keys, false, &[]).unwrap();
    let load = |name| Signer::load(&keys, name).unwrap_err().to_string();
    assert!(
        load("nobody").contains("nobody.crt; rap-image keys dev"),
        "{}",
        load("nobody")
    );
    assert!(
        load("device").contains("device.key holds no key"),
        "{}",
        load("device")
    );
    let copy = |from: &str, to: &str| std::fs::copy(keys.join(from), keys.join(to)).unwrap();
    copy("secure-boot-PK.key", "secure-boot-db.key");
    assert!(load("secure-boot-db").contains("is not the key of the certificate beside it"));
    std::fs::write(keys.join("secure-boot-db.crt"), "x").unwrap();
    assert!(load("secure-boot-db").contains("holds no certificate"));
}

#[test]
fn a_program_that_is_none_is_not_signed() {
    let [signer] = signers([PROGRAM_KEY]);
    assert!(matches!(
        sign(b"#!/bin/sh", &signer),
        Err(SigningError::Program(_))
    ));
}

/// The layout of `EFI_VARIABLE_AUTHENTICATION_2` and of the list behind it.
#[test]
fn a_key_variable_is_time_signature_and_list() {
    let [pk, kek] = signers(["secure-boot-PK", "secure-boot-KEK"]);
    let bytes = signed(Variable::Kek, &kek, &pk, 2024).unwrap();
    assert_eq!(bytes[..16], [0xe8, 7, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let length = usize::try_from(u32::from_le_bytes(bytes[16..20].try_into().unwrap())).unwrap();
    assert_eq!(bytes[20..24], [0, 2, 0xf1, 0x0e]);
    assert_eq!(bytes[24..28], [0x9d, 0xd2, 0xaf, 0x4a]);
    let list = &bytes[16 + length..];
    assert_eq!(list[..4], [0xa1, 0x59, 0xc0, 0xa5]);
    let size = u32::from_le_bytes(list[16..20].try_into().unwrap());
    assert_eq!(usize::try_from(size).unwrap(), list.len());
    assert!(list.ends_with(kek.certificate()));
}

#[test]
fn a_signature_is_right_for_its_key_and_program_only() {
    let [db, other] = signers([PROGRAM_KEY, "secure-boot-KEK"]);
    let good = sign(&stub(), &db).unwrap();
    let found = |bytes: &[u8]| check(&Program::parse(bytes).unwrap(), db.certificate());
    assert_eq!(found(&good), Ok(()));
    assert_eq!(found(&stub()), Err(CheckError::Unsigned));
    assert_eq!(found(&sign(&stub(), &other).unwrap()), Err(CheckError::Foreign));
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    assert_eq!(found(&flipped(0x500)), Err(CheckError::Changed));
    // The last byte of the signature's numbers; padding follows.
    let end = good.iter().rposition(|byte| *byte != 0).unwrap();
    assert_eq!(found(&flipped(end)), Err(CheckError::Forged));
    for at in stub().len()..good.len() {
        // Whatever it says, it says without a panic.
        let _ = found(&flipped(at));
    }
}

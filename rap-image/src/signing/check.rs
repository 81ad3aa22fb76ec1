//! Whether a program's signature is right: by this certificate, over this program. As strict as what [`super::sign`]
//! writes and firmware accepts: one signer, RSA with SHA-256, attributes with the content's digest.

use rustls::SignatureScheme;

use super::der::{BIT_STRING, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, SET, context, value};
use super::pkcs7::{self, Parts, digest_info};
use crate::uki::Program;
use rap_core::digest::Sha256;

/// What is wrong with a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// There is none.
    #[error("it is not signed")]
    Unsigned,
    /// It is none that can be read.
    #[error("its signature cannot be read")]
    Shape,
    /// Somebody else's.
    #[error("it is signed with another key")]
    Foreign,
    /// It covers something else.
    #[error("it was changed after it was signed")]
    Changed,
    /// The numbers do not fit.
    #[error("its signature is forged or damaged")]
    Forged,
}

/// Holds the signature of `program` against `certificate` (DER).
///
/// # Errors
/// What is wrong first.
pub fn check(program: &Program<'_>, certificate: &[u8]) -> Result<(), CheckError> {
    if !program.is_signed() {
        return Err(CheckError::Unsigned);
    }
    let signature = super::pkcs7_of(program).and_then(Signature::of);
    let signature = signature.ok_or(CheckError::Shape)?;
    if signature.certificate != certificate {
        return Err(CheckError::Foreign);
    }
    if signature.digest_info != digest_info(&program.authenticode()) || !signature.attributes_fit() {
        return Err(CheckError::Changed);
    }
    signature.verified().ok_or(CheckError::Forged)
}

/// Whether `content_info` is a signature with a certificate and a digest that fit each other: for the fuzzer.
#[doc(hidden)]
#[must_use]
pub fn is_right(content_info: &[u8]) -> bool {
    let fits = |signature: Signature<'_>| signature.attributes_fit() && signature.verified().is_some();
    Signature::of(content_info).is_some_and(fits)
}

/// The parts of a PKCS #7 `ContentInfo` with one signer.
struct Signature<'a> {
    /// What was signed, without tag and length.
    content: &'a [u8],
    digest_info: &'a [u8],
    certificate: &'a [u8],
    /// Without tag and length.
    attributes: &'a [u8],
    numbers: &'a [u8],
}

impl<'a> Signature<'a> {
    fn of(content_info: &'a [u8]) -> Option<Self> {
        let mut fields = Reader(pkcs7::signed_data_of(content_info)?);
        fields.expect(INTEGER)?;
        fields.expect(SET)?;
        let mut information = Reader(fields.expect(SEQUENCE)?.content);
        information.expect(OID)?;
        let content = Reader(information.expect(context(0))?.content)
            .expect(SEQUENCE)?
            .content;
        let mut halves = Reader(content);
        halves.expect(SEQUENCE)?;
        let digest_info = halves.expect(SEQUENCE)?.whole;
        let certificate = Reader(fields.expect(context(0))?.content).expect(SEQUENCE)?.whole;
        let mut signer = Reader(Reader(fields.expect(SET)?.content).expect(SEQUENCE)?.content);
        signer.expect(INTEGER)?;
        signer.expect(SEQUENCE)?;
        signer.expect(SEQUENCE)?;
        let attributes = signer.expect(context(0))?.content;
        signer.expect(SEQUENCE)?;
        let numbers = signer.expect(OCTET_STRING)?.content;
        Some(Self {
            content,
            digest_info,
            certificate,
            attributes,
            numbers,
        })
    }

    /// Whether the numbers are those of the certificate's key over the attributes.
    fn verified(&self) -> Option<()> {
        let parts = Parts::of(self.certificate)?;
        verified(&parts.public_key, &value(SET, self.attributes), self.numbers)
    }

    fn attributes_fit(&self) -> bool {
        let wanted = pkcs7::digest_attribute(&Sha256::of(self.content));
        let mut attributes = Reader(self.attributes);
        std::iter::from_fn(|| attributes.next()).any(|attribute| attribute.whole == wanted)
    }
}

/// Whether `numbers` are those of the RSA key in the `SubjectPublicKeyInfo` over `signed`.
pub(super) fn verified(information: &[u8], signed: &[u8], numbers: &[u8]) -> Option<()> {
    let key = public_key(information)?;
    let provider = rap_core::identity::provider();
    let mut known = provider.signature_verification_algorithms.mapping.iter();
    let (_, algorithms) = known.find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256)?;
    let mut outcomes = algorithms
        .iter()
        .map(|algorithm| algorithm.verify_signature(key, signed, numbers));
    outcomes.find_map(Result::ok)
}

/// The key in a `SubjectPublicKeyInfo`, as verification takes it.
fn public_key(information: &[u8]) -> Option<&[u8]> {
    let mut fields = Reader(Reader(information).expect(SEQUENCE)?.content);
    fields.expect(SEQUENCE)?;
    fields.expect(BIT_STRING)?.content.strip_prefix(&[0])
}

//! A signer, and the PKCS #7 signatures (RFC 2315) that firmware checks: one certificate, one signature,
//! RSA with SHA-256 (PKCS #1 v1.5, which has no randomness: the same key and content give the same bytes).

use std::path::{Path, PathBuf};

use super::check::verified;
use super::der::{INTEGER, NULL, OCTET_STRING, OID, Reader, SEQUENCE, SET, context, nested, value};
use crate::keys::{Passphrase, PrivateKey, PrivateKeyError};
use rap_core::digest::Sha256;

/// 1.2.840.113549.1.7.1, data.
pub(super) const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// 1.2.840.113549.1.7.2, signed data.
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// 1.2.840.113549.1.9.3, the attribute that says what kind of content was signed.
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
/// 1.2.840.113549.1.9.4, the attribute with the content's digest.
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
/// 1.2.840.113549.1.1.1, RSA.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 2.16.840.1.101.3.4.2.1, SHA-256.
const SHA_256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// 2.5.4.3, a common name.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// A file of the pair cannot be read.
    #[error("cannot read {0}; rap-image keys dev makes keys for development")]
    Read(PathBuf, #[source] std::io::Error),
    /// The certificate is none.
    #[error("{0} holds no certificate that can be used for Secure Boot: expected one in PEM")]
    Certificate(PathBuf),
    /// The key is none.
    #[error("{0} holds no key that can be used for Secure Boot: expected RSA-2048 in PEM, PKCS #8")]
    Key(PathBuf, #[source] PrivateKeyError),
    /// The key is not the certificate's.
    #[error("{0} is not the key of the certificate beside it")]
    Pair(PathBuf),
    /// Signing failed.
    #[error("signing failed")]
    Sign(#[source] PrivateKeyError),
    /// What a program signed is not by this key.
    #[error(
        "what was signed does not fit the certificate of {0}: its .crt and what signs are not of one pair"
    )]
    Foreign(String),
    /// What was to be signed is no program.
    #[error("only programs can be signed")]
    Program(#[from] crate::uki::UkiError),
    /// Too large for a field of 32 bits.
    #[error("{0} bytes are too many to be signed")]
    TooLarge(usize),
    /// It is signed already.
    #[error("the program is signed already")]
    Signed,
}

/// Whoever signs: a certificate and its key.
#[derive(Debug)]
pub struct Signer {
    certificate: Vec<u8>,
    issuer_and_serial: Vec<u8>,
    name: String,
    public_key: Vec<u8>,
    key: PrivateKey,
}

/// Where the content is.
pub(super) enum Content<'a> {
    /// In the signature, of this kind; with attributes.
    Inside {
        kind: &'a [u8],
        /// A whole DER value. Its digest is that of its content, without tag and length (RFC 2315 §9.3).
        der: &'a [u8],
    },
    /// Elsewhere; without attributes.
    Detached(&'a [u8]),
}

impl Signer {
    /// Reads `NAME.crt` and `NAME.key` (or `NAME.signer`) in `directory`. The passphrase of an encrypted key comes from the
    /// environment or the terminal.
    ///
    /// # Errors
    /// When one of them is missing or unusable, or they do not belong together.
    pub fn load(directory: &Path, name: &str) -> Result<Self, SigningError> {
        let path = |kind: &str| directory.join(format!("{name}.{kind}"));
        let read = |path: PathBuf| {
            std::fs::read_to_string(&path).map_err(|source| SigningError::Read(path.clone(), source))
        };
        let (of_certificate, of_key) = (path("crt"), path("key"));
        let unusable = || SigningError::Certificate(of_certificate.clone());
        read(of_certificate.clone())?;
        let chain = rap_core::identity::certificates(&of_certificate).map_err(|_| unusable())?;
        let certificate = chain.first().ok_or_else(unusable)?.to_vec();
        let parts = Parts::of(&certificate).ok_or_else(unusable)?;
        let passphrase = Passphrase::usual(None);
        let key = PrivateKey::load(directory, name, Some(&rcgen::PKCS_RSA_SHA256), &passphrase);
        let key = key.map_err(|error| match error {
            PrivateKeyError::Absent(_) => {
                SigningError::Read(of_key.clone(), std::io::ErrorKind::NotFound.into())
            }
            error => SigningError::Key(of_key.clone(), error),
        })?;
        if key.public_der().is_some_and(|public| public != parts.public_key) {
            return Err(SigningError::Pair(of_key));
        }
        Ok(Self {
            issuer_and_serial: nested(SEQUENCE, &[parts.issuer, parts.serial]),
            name: parts.name,
            public_key: parts.public_key,
            certificate,
            key,
        })
    }

    /// The common name in its certificate.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the certificate says of itself that it is for development.
    #[must_use]
    pub fn is_development(&self) -> bool {
        self.name.starts_with("DEVELOPMENT ")
    }

    /// Its certificate, in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// A `SignedData` over `content`.
    pub(super) fn signed_data(&self, content: &Content<'_>) -> Result<Vec<u8>, SigningError> {
        let version = value(INTEGER, &[1]);
        let digest = algorithm(SHA_256);
        let (information, attributes, signed) = match content {
            Content::Inside { kind, der } => {
                let inner = Reader(der).next().map_or(&[][..], |found| found.content);
                let attributes = [
                    attribute(CONTENT_TYPE, &value(OID, kind)),
                    digest_attribute(&Sha256::of(inner)),
                ];
                // A set is in the order of its members' encodings; the shorter one comes first here.
                let attributes = attributes.concat();
                let information = nested(SEQUENCE, &[&value(OID, kind), &value(context(0), der)]);
                let signed = value(SET, &attributes);
                (information, value(context(0), &attributes), signed)
            }
            Content::Detached(bytes) => (nested(SEQUENCE, &[&value(OID, DATA)]), Vec::new(), bytes.to_vec()),
        };
        let signature = self.key.sign(&signed).map_err(SigningError::Sign)?;
        if verified(&self.public_key, &signed, &signature).is_none() {
            return Err(SigningError::Foreign(self.name.clone()));
        }
        let signer = nested(
            SEQUENCE,
            &[
                &version,
                &self.issuer_and_serial,
                &digest,
                &attributes,
                &algorithm(RSA),
                &value(OCTET_STRING, &signature),
            ],
        );
        Ok(nested(
            SEQUENCE,
            &[
                &version,
                &value(SET, &digest),
                &information,
                &value(context(0), &self.certificate),
                &value(SET, &signer),
            ],
        ))
    }
}

/// A `ContentInfo` around a `SignedData`.
pub(super) fn wrapped(signed_data: &[u8]) -> Vec<u8> {
    nested(
        SEQUENCE,
        &[&value(OID, SIGNED_DATA), &value(context(0), signed_data)],
    )
}

/// SHA-256 as a `DigestInfo`.
pub(super) fn digest_info(digest: &Sha256) -> Vec<u8> {
    nested(
        SEQUENCE,
        &[&algorithm(SHA_256), &value(OCTET_STRING, digest.as_bytes())],
    )
}

fn algorithm(oid: &[u8]) -> Vec<u8> {
    nested(SEQUENCE, &[&value(OID, oid), &value(NULL, &[])])
}

fn attribute(kind: &[u8], content: &[u8]) -> Vec<u8> {
    nested(SEQUENCE, &[&value(OID, kind), &value(SET, content)])
}

/// The attribute with the content's digest.
pub(super) fn digest_attribute(digest: &Sha256) -> Vec<u8> {
    attribute(MESSAGE_DIGEST, &value(OCTET_STRING, digest.as_bytes()))
}

/// What a signature needs of a certificate (RFC 5280 §4.1).
pub(super) struct Parts<'a> {
    serial: &'a [u8],
    issuer: &'a [u8],
    name: String,
    /// A `SubjectPublicKeyInfo`.
    pub(super) public_key: Vec<u8>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(certificate: &'a [u8]) -> Option<Self> {
        let mut outer = Reader(Reader(certificate).expect(SEQUENCE)?.content);
        let mut fields = Reader(outer.expect(SEQUENCE)?.content);
        fields.expect(context(0))?;
        let serial = fields.expect(INTEGER)?;
        fields.expect(SEQUENCE)?;
        let issuer = fields.expect(SEQUENCE)?;
        fields.expect(SEQUENCE)?;
        let subject = fields.expect(SEQUENCE)?;
        let public_key = fields.expect(SEQUENCE)?;
        Some(Self {
            serial: serial.whole,
            issuer: issuer.whole,
            name: common_name(subject.content).unwrap_or_default(),
            public_key: public_key.whole.to_vec(),
        })
    }
}

fn common_name(subject: &[u8]) -> Option<String> {
    let mut sets = Reader(subject);
    while let Some(set) = sets.expect(SET) {
        let mut pair = Reader(Reader(set.content).expect(SEQUENCE)?.content);
        if pair.expect(OID)?.content == COMMON_NAME {
            return String::from_utf8(pair.next()?.content.to_vec()).ok();
        }
    }
    None
}

/// The fields of the `SignedData` in a PKCS #7 `ContentInfo`.
pub(super) fn signed_data_of(content_info: &[u8]) -> Option<&[u8]> {
    let mut information = Reader(Reader(content_info).expect(SEQUENCE)?.content);
    information
        .expect(OID)
        .filter(|kind| kind.content == SIGNED_DATA)?;
    Some(
        Reader(information.expect(context(0))?.content)
            .expect(SEQUENCE)?
            .content,
    )
}

/// The common name of the subject of the first certificate in a PKCS #7 `ContentInfo`.
pub(super) fn signed_by(content_info: &[u8]) -> Option<String> {
    let mut fields = Reader(signed_data_of(content_info)?);
    fields.expect(INTEGER)?;
    fields.expect(SET)?;
    fields.expect(SEQUENCE)?;
    let certificates = fields.expect(context(0))?;
    let first = Reader(certificates.content).expect(SEQUENCE)?;
    Some(Parts::of(first.whole)?.name)
}

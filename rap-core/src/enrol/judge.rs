//! Whether an answer to this box's request is one: which of its certificates is for which of our keys, and whether
//! others would accept it. Pure.
//!
//! The clock is a floor: it may be behind, never ahead. So a certificate that is over by it is over, and one that has not
//! begun by it may have begun: that is no reason to refuse.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{Error, RootCertStore};
use serde::{Deserialize, Serialize};

use super::certificate::{Certificate, Unreadable, pem};
use super::subject::Subject;
use crate::client::words::day;
use crate::digest::Sha256;
use crate::identity::provider;

/// Why an answer is not installed; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// Nothing that can be read.
    #[error("nothing was installed")]
    File(#[from] Unreadable),
    /// For another key.
    #[error(
        "no certificate in the file is for this box's key {key}: it answers another request, an older one or another \
         box's; have the one signed that `rapctl identity csr` shows"
    )]
    OtherKey {
        /// Ours.
        key: Sha256,
    },
    /// For another box.
    #[error(
        "the certificate is for \"{found}\", and this box is \"{expected}\": have it issued for that name"
    )]
    OtherBox {
        /// Whom it names.
        found: String,
        /// Who we are.
        expected: Subject,
    },
    /// Over.
    #[error("the certificate expired on {until}, and this box's clock, which is never ahead, says {today}")]
    Expired {
        /// Its last day.
        until: String,
        /// By our clock.
        today: String,
    },
    /// Nobody to hold it against.
    #[error(
        "this box knows no authority yet, and the file holds none: put centre-ca.crt behind the certificate, as \
         `rap-image provision sign` does"
    )]
    NoAuthority,
    /// Not accepted.
    #[error("the {whom} would not accept the certificate: is it issued by the authority of centre-ca.crt?")]
    Refused {
        /// Who.
        whom: &'static str,
        /// Why.
        #[source]
        source: Error,
    },
}

/// Who has to accept a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The service centre, as TLS server.
    Centre,
    /// The instruments' agents, as TLS clients.
    Agents,
}

/// What a request asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whom the certificate has to name.
    pub subject: Subject,
    /// The key towards the service centre.
    pub device: Sha256,
    /// The key towards the instruments.
    pub ingest: Sha256,
}

/// An answer that can be used: chains in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// Towards the service centre.
    pub device: String,
    /// Towards the instruments, if that was answered too.
    pub ingest: Option<String>,
    /// The authority, where this box had none before.
    pub authority: Option<String>,
}

/// Judges a file; `roots` are the authority's certificates that this box has, none at first; `now` is in seconds since
/// 1970.
///
/// # Errors
/// When it is no answer to that request, or would not be accepted.
pub fn judge(
    file: &[u8],
    wanted: &Wanted,
    roots: &[CertificateDer<'static>],
    now: u64,
) -> Result<Answer, NoAnswer> {
    let list = Certificate::read_all(file)?;
    let of_key = |key: Sha256| list.iter().find(|one| one.facts.key == key);
    let device = of_key(wanted.device).ok_or(NoAnswer::OtherKey { key: wanted.device })?;
    let ingest = of_key(wanted.ingest);
    let ours = |one: &&Certificate| one.facts.key != wanted.device && one.facts.key != wanted.ingest;
    let (authorities, between): (Vec<&Certificate>, Vec<&Certificate>) =
        list.iter().filter(ours).partition(|one| one.facts.self_issued);
    let between: Vec<_> = between.into_iter().map(|one| one.der.clone()).collect();
    let authority = roots.is_empty().then(|| authorities.first()).flatten();
    let roots = match authority {
        Some(first) => vec![first.der.clone()],
        None if roots.is_empty() => return Err(NoAnswer::NoAuthority),
        None => roots.to_vec(),
    };
    let chain = |leaf: &Certificate, purpose| {
        is_ours(leaf, &wanted.subject, now)?;
        // It may have begun although our clock is not so far.
        let at = now.max(leaf.facts.from);
        accepts(&roots, &leaf.der, &between, purpose, at).map_err(|source| NoAnswer::Refused {
            whom: match purpose {
                Purpose::Centre => "service centre",
                Purpose::Agents => "instruments",
            },
            source,
        })?;
        Ok::<_, NoAnswer>(pem(std::slice::from_ref(&leaf.der)) + &pem(&between))
    };
    Ok(Answer {
        device: chain(device, Purpose::Centre)?,
        ingest: ingest.map(|leaf| chain(leaf, Purpose::Agents)).transpose()?,
        authority: authority.map(|first| pem(std::slice::from_ref(&first.der))),
    })
}

fn is_ours(leaf: &Certificate, subject: &Subject, now: u64) -> Result<(), NoAnswer> {
    let facts = &leaf.facts;
    if facts.name != subject.name() || facts.serial.as_deref() != Some(subject.serial()) {
        let serial = facts.serial.as_deref().unwrap_or("(no serial number)");
        let found = format!("{} {serial}", facts.name);
        let expected = subject.clone();
        return Err(NoAnswer::OtherBox { found, expected });
    }
    if now > facts.until {
        let (until, today) = (day(facts.until), day(now));
        return Err(NoAnswer::Expired { until, today });
    }
    Ok(())
}

/// Whether who trusts `roots` alone would accept a certificate at that time, in seconds since 1970. Names are not looked at.
///
/// # Errors
/// Why not.
pub fn accepts(
    roots: &[CertificateDer<'static>],
    leaf: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    purpose: Purpose,
    at: u64,
) -> Result<(), Error> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone())?;
    }
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
    match purpose {
        Purpose::Centre => WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider())
            .build()
            .map_err(|error| Error::General(error.to_string()))?
            .verify_client_cert(leaf, between, at)
            .map(drop),
        Purpose::Agents => {
            let algorithms = provider().signature_verification_algorithms.all;
            let leaf = ParsedCertificate::try_from(leaf)?;
            verify_server_cert_signed_by_trust_anchor(&leaf, &store, between, at, algorithms)
        }
    }
}

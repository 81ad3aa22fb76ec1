//! Where everything comes together: who asks, what is on the disk, and what the service centre says.
//!
//! Decisions are [`judge`]'s and [`Shelf`]'s. Invariant: what somebody asks for is on the disk before it is answered.

use std::path::PathBuf;

use serde_json::json;
use ureq::tls::TlsConfig;

use super::certificate::{Certificate, Facts};
use super::control::Request;
use super::judge::{self, NoAnswer};
use super::request;
use super::shelf::Shelf;
use super::status::{Asked, Status, Trial, WAITS};
use super::subject::is_serial;
use super::trial::Verdict;
use crate::client::words::day;
use crate::control::Answer;
use crate::folder::Directory;
use crate::identity::{self, IdentityError, Validity};

/// So long before its end a certificate is to be renewed.
const REMINDER: u64 = 30 * 24 * 60 * 60;

/// The desk.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) shelf: Shelf<Directory>,
    /// Directory of the identity.
    pub(super) directory: PathBuf,
    /// The box's name.
    pub(super) name: String,
    /// The serial number that firmware says.
    pub(super) firmware: Option<String>,
    /// Whom the box shows itself to.
    pub(super) centre: String,
    /// How often the answer on trial was shown, and what kept the centre from saying anything.
    pub(super) tries: (u32, Option<String>),
    /// How often another identity was put in use.
    pub(super) changes: u32,
}

/// What the service centre is to be shown.
pub(super) struct Show {
    pub(super) tls: TlsConfig,
    pub(super) validity: Option<Validity>,
    /// By this it is recognised when the verdict comes.
    pub(super) device: String,
}

impl Desk {
    /// A box without an identity makes its keys now.
    pub(super) fn begin(&mut self) -> anyhow::Result<()> {
        if self.in_use("device.crt").is_some() {
            return Ok(());
        }
        if self.shelf.kept().request.is_none() {
            self.ask()?;
            log::info!(
                "this box has no identity: it made keys of its own, which wait for their certificates"
            );
        }
        if self.page().is_none()
            && let Some(request) = &self.shelf.kept().request
        {
            let pem = request.self_signed()?;
            self.shelf.show(&pem)?;
            self.changes += 1;
        }
        Ok(())
    }

    /// Makes new keys and remembers their request.
    fn ask(&mut self) -> anyhow::Result<()> {
        let of_certificate = self.in_use("device.crt").and_then(|facts| facts.serial);
        let before = self.shelf.kept().request.as_ref().map(|request| &request.serial);
        let serial = of_certificate
            .as_ref()
            .filter(|serial| is_serial(serial))
            .or(before)
            .or(self.firmware.as_ref());
        let request = request::Request::make(&self.name, serial.map(String::as_str))?;
        self.shelf.ask(request)?;
        Ok(())
    }

    /// Answers who asks; `now` is in seconds since 1970.
    pub(super) fn answer(&mut self, request: &Request, now: u64) -> Answer {
        let done = match request {
            Request::Status {} => serde_json::to_value(self.status(now)).map_err(Into::into),
            Request::Csr {} => self.request(),
            Request::Renew {} => self.renew(),
            Request::Withdraw {} => self.withdraw(),
            Request::Install { certificates } => self.install(certificates.as_bytes(), now),
        };
        done.map_or_else(|error| Answer::Refused(format!("{error:#}")), Answer::Done)
    }

    fn request(&self) -> anyhow::Result<serde_json::Value> {
        let request = self.shelf.kept().request.as_ref();
        let request = request.ok_or_else(|| {
            anyhow::anyhow!("no request waits for an answer: `rapctl identity renew` makes one for new keys")
        })?;
        Ok(json!({
            "request": request.pem, "name": request.name, "serial": request.serial,
            "key": request.device.sha256, "ingest-key": request.ingest.sha256,
        }))
    }

    fn renew(&mut self) -> anyhow::Result<serde_json::Value> {
        let stale = |request: &request::Request| request.name != self.name;
        if self.shelf.kept().request.as_ref().is_none_or(stale) {
            self.ask()?;
        }
        self.request()
    }

    fn withdraw(&mut self) -> anyhow::Result<serde_json::Value> {
        anyhow::ensure!(
            self.in_use("device.crt").is_some(),
            "this box has no other keys than those"
        );
        self.shelf.withdraw()?;
        self.tries = (0, None);
        Ok(json!({}))
    }

    fn install(&mut self, file: &[u8], now: u64) -> anyhow::Result<serde_json::Value> {
        let wanted = self.shelf.wanted();
        let wanted = wanted.ok_or_else(|| {
            anyhow::anyhow!(
                "this box asked for no certificate: `rapctl identity renew` makes the request to be answered"
            )
        })?;
        let roots = self.roots()?;
        let answer = judge::judge(file, &wanted, &roots, now)?;
        let facts = Certificate::read_all(answer.device.as_bytes()).map_err(NoAnswer::from)?;
        let words = facts.first().map(|one| one.facts.words()).unwrap_or_default();
        let first = self.in_use("device.crt").is_none();
        self.shelf.hold(answer)?;
        self.tries = (0, None);
        if first {
            self.put_in_use(&format!("certificate {words} is in use; it is the first"))?;
        } else {
            log::info!("certificate {words} is shown to the service centre before it is used");
        }
        let state = if first { "in-use" } else { "on-trial" };
        Ok(json!({ "state": state, "certificate": words, "first-of-its-authority": roots.is_empty() }))
    }

    fn put_in_use(&mut self, words: &str) -> anyhow::Result<()> {
        self.shelf.accepted(words, jiff::Timestamp::now().to_string())?;
        self.changes += 1;
        log::info!("{words}");
        Ok(())
    }

    /// The authority's certificates: those given on the desk or installed here; none at first.
    fn roots(&self) -> anyhow::Result<Vec<rustls::pki_types::CertificateDer<'static>>> {
        match identity::authority(&self.directory) {
            Ok(roots) => Ok(roots),
            Err(IdentityError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is to be shown to the service centre, if there is something. The first answer needs nobody's word: with
    /// nothing in use, there is nothing to lose.
    pub(super) fn show(&mut self) -> anyhow::Result<Option<Show>> {
        if self.shelf.kept().answer.is_some() && self.in_use("device.crt").is_none() {
            self.put_in_use("the first certificate is in use")?;
        }
        let kept = self.shelf.kept();
        let (Some(request), Some(answer)) = (&kept.request, &kept.answer) else {
            return Ok(None);
        };
        let chain = identity::certificates_in(answer.device.as_bytes())?;
        let validity = chain.first().and_then(Validity::of);
        let tls = identity::shown(&request.device.pem, &chain, &self.roots()?)?;
        Ok(Some(Show {
            tls,
            validity,
            device: answer.device.clone(),
        }))
    }

    /// Hears what the service centre said of `shown`.
    pub(super) fn verdict(&mut self, shown: &str, verdict: Verdict) -> anyhow::Result<()> {
        let held = self.shelf.kept().answer.as_ref();
        if held.is_none_or(|answer| answer.device != shown) {
            // Withdrawn, or another one meanwhile.
            return Ok(());
        }
        self.tries.0 += 1;
        match verdict {
            Verdict::Taken => self.put_in_use("the service centre took the new certificate: it is in use"),
            Verdict::Refused(why) => {
                let words = format!("{why}; the certificate before stays in use");
                log::error!("the new certificate is not used: {words}");
                self.tries.1 = None;
                Ok(self.shelf.refused(&words, jiff::Timestamp::now().to_string())?)
            }
            Verdict::Unknown(why) => {
                if self.tries.1.as_ref() != Some(&why) {
                    log::warn!("the new certificate waits until the service centre has seen it: {why}");
                }
                self.tries.1 = Some(why);
                Ok(())
            }
        }
    }

    /// The first certificate of a file that is in use for the forwarder.
    fn in_use(&self, name: &str) -> Option<Facts> {
        read(&identity::files(&self.directory, identity::Reader::Forward, name).0)
    }

    /// And for the local page.
    fn page(&self) -> Option<Facts> {
        read(&identity::files(&self.directory, identity::Reader::Web, "ingest.crt").0)
    }

    /// How it is.
    pub(super) fn status(&self, now: u64) -> Status {
        let kept = self.shelf.kept();
        let device = self.in_use("device.crt");
        let authority = self.roots().ok().and_then(|roots| roots.into_iter().next());
        let first = |pem: &str| Certificate::read_all(pem.as_bytes()).ok()?.into_iter().next();
        let trial = kept.answer.as_ref().and_then(|answer| {
            Some(Trial {
                device: first(&answer.device)?.facts,
                attempts: self.tries.0,
                trouble: self.tries.1.clone(),
            })
        });
        let mut status = Status {
            trouble: device.is_none().then(|| WAITS.to_owned()),
            centre: self.centre.clone(),
            made_here: self.shelf.is_in_use().unwrap_or(false),
            ingest: self.in_use("ingest.crt"),
            authority: authority.and_then(Certificate::read).map(|one| one.facts),
            request: kept.request.as_ref().map(|request| Asked {
                name: request.name.clone(),
                serial: request.serial.clone(),
                key: request.device.sha256,
            }),
            trial,
            last: kept.last.clone(),
            ..Status::default()
        };
        if let Some(last) = kept
            .last
            .as_ref()
            .filter(|last| !last.taken && kept.answer.is_none())
        {
            status
                .problems
                .push(format!("the new certificate is not used: {}", last.words));
        }
        for (whom, facts) in [("service centre", &device), ("instruments", &status.ingest)] {
            let Some(facts) = facts else { continue };
            let words = format!(
                "the certificate towards the {whom} ends on {}: `rapctl identity renew`",
                day(facts.until)
            );
            if now > facts.until {
                status.problems.push(words);
            } else if now + REMINDER > facts.until {
                status.warnings.push(words);
            }
        }
        status.device = device;
        status
    }
}

fn read(path: &std::path::Path) -> Option<Facts> {
    let content = std::fs::read(path).ok()?;
    let list = Certificate::read_all(&content).ok()?;
    list.into_iter().next().map(|one| one.facts)
}

#[cfg(test)]
mod tests;

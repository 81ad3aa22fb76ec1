//! What has effects: the tunnel, and what netd is asked for.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use ipnet::Ipv4Net;
use serde_json::Value;

use super::News;
use super::openvpn::{self, Tunnel};
use crate::control::{self, Answer};
use crate::digest::Sha256;
use crate::directive::{Diagnostic, OpenSession, Outcome};
use crate::netd::{look, report, sessions, trial};
use crate::{status, update};

/// What a desk can have done. Errors are in words.
pub(super) trait Hands {
    /// Brings the tunnel up; how it goes is heard later.
    fn connect(&mut self, ticket: &OpenSession, time: Duration) -> Result<(), String>;
    /// Opens the ticket's ports to who comes by the tunnel, where the box has this address.
    fn open(&mut self, ticket: &OpenSession, address: Ipv4Addr, time: Duration) -> Result<(), String>;
    /// Closes everything of it; what is closed is closed.
    fn close(&mut self, ticket: &OpenSession) -> Result<(), String>;
    /// Whether anything passed through the tunnel since it was asked last.
    fn passed(&mut self) -> bool;
    /// Puts another site on trial.
    fn try_site(&mut self, text: &str) -> Result<Value, String>;
    /// Takes a look at the network for the directive of this number and digest. Without an outcome that is heard later: a
    /// look takes seconds, and somebody may say no meanwhile.
    fn look(&mut self, look: &Diagnostic, number: u64, digest: Sha256) -> Option<Outcome>;
    /// The latest trials of sites, as netd tells of them, the latest last.
    fn trials(&mut self) -> Vec<trial::Record>;
    /// Has the updater look for a release.
    fn check_update(&mut self) -> Result<(), String>;
    /// Has the box ask for its next certificate, or take the answer.
    fn identity(&mut self, answer: Option<&str>) -> Result<Value, String>;
}

/// The real ones.
pub(super) struct Real {
    /// Where netd is asked.
    pub(super) netd: PathBuf,
    /// Where the updater is.
    pub(super) update: PathBuf,
    /// Directory of the status files.
    pub(super) status: PathBuf,
    /// Where the identity service is asked.
    pub(super) identity: PathBuf,
    /// How the tunnel is made.
    pub(super) config: Option<openvpn::Config>,
    pub(super) news: SyncSender<News>,
    /// Whether a look goes on.
    pub(super) looking: Arc<AtomicBool>,
    pub(super) tunnel: Option<Tunnel>,
    /// Packets that came out of the tunnel so far.
    pub(super) packets: Option<u64>,
}

impl Real {
    fn ask(&self, request: &sessions::Request) -> Result<Value, String> {
        match control::ask("netd", &self.netd, request, None) {
            Ok(Answer::Done(done)) => Ok(done),
            Ok(Answer::Refused(why)) => Err(why),
            Err(error) => Err(format!("{:#}", anyhow::Error::from(error))),
        }
    }
}

impl Hands for Real {
    fn connect(&mut self, ticket: &OpenSession, time: Duration) -> Result<(), String> {
        let config = self.config.clone().ok_or("the site names no tunnel")?;
        self.tunnel = None;
        self.ask(&sessions::Request::Tunnel {})?;
        let tunnel = Tunnel::start(&config, ticket, time, self.news.clone());
        self.tunnel = Some(tunnel.map_err(|error| format!("{error:#}"))?);
        self.packets = None;
        Ok(())
    }

    fn open(&mut self, ticket: &OpenSession, address: Ipv4Addr, time: Duration) -> Result<(), String> {
        if !ticket.tunnel.contains(&address) {
            let expected = ticket.tunnel;
            return Err(format!(
                "the tunnel gave the box {address}, expected an address of {expected}"
            ));
        }
        let prefix = ticket.tunnel.prefix_len();
        let address = Ipv4Net::new(address, prefix).map_err(|error| error.to_string())?;
        let request = sessions::Request::Open {
            port: ticket.instrument.to_string(),
            services: ticket.services.iter().map(ToString::to_string).collect(),
            address,
            seconds: time.as_secs(),
        };
        self.ask(&request).map(drop)
    }

    fn close(&mut self, ticket: &OpenSession) -> Result<(), String> {
        // The firewall first: from then on nothing passes, however long the tunnel takes to end.
        let port = ticket.instrument.to_string();
        let closed = self.ask(&sessions::Request::Close { port });
        self.tunnel = None;
        closed.map(drop)
    }

    fn passed(&mut self) -> bool {
        if self.tunnel.is_none() {
            return false;
        }
        let packets = openvpn::packets();
        let before = std::mem::replace(&mut self.packets, packets);
        before.is_some() && packets.is_some() && before != packets
    }

    fn try_site(&mut self, text: &str) -> Result<Value, String> {
        let site = text.to_owned();
        self.ask(&sessions::Request::Try { site })
    }

    fn identity(&mut self, answer: Option<&str>) -> Result<Value, String> {
        use crate::enrol::control::{Request, ask};
        let request = answer.map_or(Request::Renew {}, |certificates| Request::Install {
            certificates: certificates.to_owned(),
        });
        match ask(&self.identity, &request) {
            Ok(Answer::Done(done)) => Ok(done),
            Ok(Answer::Refused(why)) => Err(why),
            Err(error) => Err(format!("{:#}", anyhow::Error::from(error))),
        }
    }

    fn look(&mut self, look: &Diagnostic, number: u64, digest: Sha256) -> Option<Outcome> {
        if self.looking.swap(true, Ordering::AcqRel) {
            return Some(Outcome::Refused(
                "another look goes on; there is one at a time".to_owned(),
            ));
        }
        let request = look::Request::Look { look: look.clone() };
        let (looking, news) = (Arc::clone(&self.looking), self.news.clone());
        let socket = self.netd.with_file_name(look::SOCKET);
        let take = move || {
            let outcome = match control::ask("netd", &socket, &request, None) {
                Ok(Answer::Done(done)) => Outcome::Done(done),
                Ok(Answer::Refused(why)) => Outcome::Failed(why),
                Err(error) => Outcome::Failed(format!("{:#}", anyhow::Error::from(error))),
            };
            looking.store(false, Ordering::Release);
            // The service may be ending.
            let _ = news.send(News::Looked(number, digest, outcome));
        };
        match std::thread::Builder::new().name("look".to_owned()).spawn(take) {
            Ok(_) => None,
            Err(error) => {
                self.looking.store(false, Ordering::Release);
                Some(Outcome::Failed(format!("the box cannot look now: {error}")))
            }
        }
    }

    fn trials(&mut self) -> Vec<trial::Record> {
        let netd: Option<report::Status> = status::read_one(&self.status, "netd");
        netd.map(|netd| netd.trials).unwrap_or_default()
    }

    fn check_update(&mut self) -> Result<(), String> {
        match update::control::ask_to_check(&self.update) {
            Ok(Answer::Done(_)) => Ok(()),
            Ok(Answer::Refused(why)) => Err(why),
            Err(error) => Err(format!("{:#}", anyhow::Error::from(error))),
        }
    }
}

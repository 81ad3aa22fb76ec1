//! DHCP as a pure function: a packet in, an answer or silence out (RFC 2131).
//!
//! There is one lease and it is always the same, so there is no state and nothing to exhaust. Invariants: no packet,
//! however wrong, makes it panic or hand out another address; a pinned port answers no other station.

mod question;

use std::net::Ipv4Addr;

use dhcproto::Encodable as _;
use dhcproto::v4::{DhcpOption, Flags, HType, Message, MessageType, Opcode};
use ipnet::Ipv4Net;
use netfw::model::Mac;

use question::Question;

/// Seconds a lease lasts: short, so that an instrument that was moved notices.
const LEASE: u32 = 3600;

/// The one lease of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    /// The box's address and the prefix length.
    pub(super) gateway: Ipv4Net,
    /// The address that is handed out.
    pub(super) instrument: Ipv4Addr,
    /// The only station that is answered, when pinned.
    pub(super) mac: Option<Mac>,
}

/// An answer and where to send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The station's address, or broadcast while it has none.
    pub(super) to: Ipv4Addr,
    /// What it is, for the log.
    pub(super) kind: MessageType,
    /// The message.
    pub(super) packet: Vec<u8>,
}

impl Offer {
    /// The answer to `packet`; none to what is wrong, meant for another server, or needs none.
    pub(super) fn answer(&self, packet: &[u8]) -> Option<Answer> {
        let question = Question::parse(packet)?;
        let known = self.mac.is_none_or(|mac| question.station == mac.bytes());
        let ours = question.server.is_none_or(|server| server == self.gateway.addr());
        if !known || !ours {
            return None;
        }
        match MessageType::from(question.kind) {
            MessageType::Discover => self.reply(&question, MessageType::Offer, Ipv4Addr::BROADCAST),
            MessageType::Request => self.answer_request(&question),
            // RFC 2131 §4.3.5: the station has its address by other means and asks for the rest.
            MessageType::Inform if question.ciaddr == self.instrument => {
                self.reply(&question, MessageType::Ack, self.instrument)
            }
            MessageType::Decline => {
                log::warn!("an instrument says that {} is in use by another", self.instrument);
                None
            }
            // The lease stays what it is: a release changes nothing.
            _ => None,
        }
    }

    /// RFC 2131 §4.3.2: selecting and rebooting name the address in an option, renewing and rebinding in `ciaddr`.
    fn answer_request(&self, question: &Question) -> Option<Answer> {
        let wanted = question.requested.unwrap_or(question.ciaddr);
        if wanted.is_unspecified() {
            None
        } else if wanted == self.instrument {
            let renewing = question.ciaddr == self.instrument;
            let to = if renewing {
                self.instrument
            } else {
                Ipv4Addr::BROADCAST
            };
            self.reply(question, MessageType::Ack, to)
        } else {
            self.reply(question, MessageType::Nak, Ipv4Addr::BROADCAST)
        }
    }

    /// RFC 2131 §4.3.1, table 3.
    fn reply(&self, question: &Question, kind: MessageType, to: Ipv4Addr) -> Option<Answer> {
        let inform = MessageType::from(question.kind) == MessageType::Inform;
        let mut reply = Message::default();
        reply
            .set_opcode(Opcode::BootReply)
            .set_htype(HType::Eth)
            .set_xid(question.xid)
            .set_flags(Flags::new(question.flags))
            .set_chaddr(&question.station);
        let server = self.gateway.addr();
        let options = reply.opts_mut();
        options.insert(DhcpOption::MessageType(kind));
        options.insert(DhcpOption::ServerIdentifier(server));
        if kind != MessageType::Nak {
            options.insert(DhcpOption::SubnetMask(self.gateway.netmask()));
            options.insert(DhcpOption::BroadcastAddr(self.gateway.broadcast()));
            options.insert(DhcpOption::Router(vec![server]));
            if !inform {
                options.insert(DhcpOption::AddressLeaseTime(LEASE));
                options.insert(DhcpOption::Renewal(LEASE / 2));
                options.insert(DhcpOption::Rebinding(LEASE / 8 * 7));
                reply.set_yiaddr(self.instrument);
            }
        }
        if kind == MessageType::Ack {
            reply.set_ciaddr(question.ciaddr);
        }
        let packet = reply.to_vec().ok()?;
        Some(Answer { to, kind, packet })
    }
}

/// What a port whose instrument is 192.168.1.50 answers to `packet`: for the fuzzer.
#[must_use]
pub fn answer(packet: &[u8]) -> Option<Vec<u8>> {
    let gateway = Ipv4Net::new(Ipv4Addr::new(192, 168, 1, 1), 24).ok()?;
    let offer = Offer {
        gateway,
        instrument: Ipv4Addr::new(192, 168, 1, 50),
        mac: None,
    };
    offer.answer(packet).map(|answer| answer.packet)
}

#[cfg(test)]
mod tests;

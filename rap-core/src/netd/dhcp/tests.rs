//! What a port answers, and that nothing makes it answer otherwise.

use dhcproto::v4::OptionCode;
use dhcproto::{Decodable as _, Decoder};
use proptest::prelude::*;

use super::*;

const STATION: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const LEASED: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 50);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

fn offer(pinned: bool) -> Offer {
    Offer {
        gateway: "192.168.1.1/24".parse().unwrap(),
        instrument: LEASED,
        mac: pinned.then(|| "52:54:00:12:34:56".parse().unwrap()),
    }
}

fn question(kind: MessageType, options: Vec<DhcpOption>, ciaddr: Ipv4Addr) -> Vec<u8> {
    let mut message = Message::default();
    message.set_chaddr(&STATION).set_ciaddr(ciaddr);
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    for option in options {
        message.opts_mut().insert(option);
    }
    message.to_vec().unwrap()
}

fn ask(packet: &[u8]) -> Option<(Answer, Message)> {
    let answer = offer(true).answer(packet)?;
    let message = Message::decode(&mut Decoder::new(&answer.packet)).unwrap();
    Some((answer, message))
}

#[test]
fn discover_is_answered_with_the_one_lease() {
    let (answer, message) = ask(&question(MessageType::Discover, vec![], Ipv4Addr::UNSPECIFIED)).unwrap();
    assert_eq!(
        (answer.to, answer.kind),
        (Ipv4Addr::BROADCAST, MessageType::Offer)
    );
    assert_eq!(message.yiaddr(), LEASED);
    assert_eq!(message.chaddr(), STATION);
    let mask = Some(&DhcpOption::SubnetMask([255, 255, 255, 0].into()));
    assert_eq!(message.opts().get(OptionCode::SubnetMask), mask);
}

#[test]
fn request_is_acknowledged_for_the_lease_and_refused_for_any_other_address() {
    let select = |address| {
        let options = vec![
            DhcpOption::RequestedIpAddress(address),
            DhcpOption::ServerIdentifier(GATEWAY),
        ];
        ask(&question(MessageType::Request, options, Ipv4Addr::UNSPECIFIED)).unwrap()
    };
    let (answer, message) = select(LEASED);
    assert_eq!((answer.kind, message.yiaddr()), (MessageType::Ack, LEASED));
    let (answer, message) = select([192, 168, 1, 51].into());
    assert_eq!(
        (answer.kind, message.yiaddr()),
        (MessageType::Nak, Ipv4Addr::UNSPECIFIED)
    );
}

#[test]
fn renewing_is_answered_to_the_address_itself() {
    let (answer, _) = ask(&question(MessageType::Request, vec![], LEASED)).unwrap();
    assert_eq!((answer.to, answer.kind), (LEASED, MessageType::Ack));
    let (answer, _) = ask(&question(MessageType::Request, vec![], [10, 0, 0, 1].into())).unwrap();
    assert_eq!(answer.kind, MessageType::Nak);
}

#[test]
fn inform_is_answered_without_a_lease_and_only_at_the_leases_address() {
    let (answer, message) = ask(&question(MessageType::Inform, vec![], LEASED)).unwrap();
    assert_eq!((answer.to, message.yiaddr()), (LEASED, Ipv4Addr::UNSPECIFIED));
    assert_eq!(message.opts().get(OptionCode::AddressLeaseTime), None);
    assert_eq!(
        ask(&question(MessageType::Inform, vec![], [10, 0, 0, 1].into())),
        None
    );
}

#[test]
fn release_decline_another_server_and_a_strange_station_get_silence() {
    for kind in [MessageType::Release, MessageType::Decline, MessageType::Offer] {
        assert_eq!(ask(&question(kind, vec![], LEASED)), None);
    }
    let other = vec![DhcpOption::ServerIdentifier([192, 168, 1, 2].into())];
    assert_eq!(ask(&question(MessageType::Request, other, LEASED)), None);

    let mut strange = question(MessageType::Discover, vec![], Ipv4Addr::UNSPECIFIED);
    strange[28] ^= 2;
    assert_eq!(ask(&strange), None);
    assert!(
        offer(false).answer(&strange).is_some(),
        "a port without a pin answers it"
    );
}

#[test]
fn an_option_of_a_wrong_length_or_without_an_end_is_no_question() {
    let whole = question(MessageType::Discover, vec![], Ipv4Addr::UNSPECIFIED);
    assert!(offer(true).answer(&whole).is_some());
    // Found by the property test below in the decoder that is not used for it: option 54 of one byte.
    for tail in [
        &[53, 1, 1, 54, 1, 9, 255][..],
        &[53, 1, 1],
        &[53, 1, 1, 12, 200, 1],
        &[53],
    ] {
        let mut packet = whole[..240].to_vec();
        packet.extend(tail);
        assert_eq!(offer(true).answer(&packet), None, "{tail:?}");
    }
}

#[test]
fn a_hardware_address_longer_than_its_field_is_not_read() {
    let mut packet = question(MessageType::Discover, vec![], Ipv4Addr::UNSPECIFIED);
    packet[2] = 255;
    assert_eq!(offer(false).answer(&packet), None);
}

/// No answer names another address than the lease.
fn holds(packet: &[u8]) -> Result<(), TestCaseError> {
    for pinned in [false, true] {
        let Some(answer) = offer(pinned).answer(packet) else {
            continue;
        };
        let message = Message::decode(&mut Decoder::new(&answer.packet)).unwrap();
        prop_assert!(message.yiaddr() == LEASED || message.yiaddr().is_unspecified());
        prop_assert!(answer.to == LEASED || answer.to == Ipv4Addr::BROADCAST);
        prop_assert!(!pinned || message.chaddr() == STATION);
    }
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(packet in prop::collection::vec(any::<u8>(), 0..2000)) {
        holds(&packet)?;
    }

    #[test]
    fn a_real_message_with_anything_changed_does_no_harm(
        kind in 0_u8..20,
        wanted in any::<u32>(),
        ciaddr in any::<u32>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        tail in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let wanted = DhcpOption::RequestedIpAddress(wanted.into());
        let mut packet = question(MessageType::from(kind), vec![wanted], ciaddr.into());
        for (at, byte) in changes {
            let at = at.index(packet.len());
            packet[at] = byte;
        }
        packet.extend(tail);
        holds(&packet)?;
    }
}

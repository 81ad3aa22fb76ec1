//! The nftables tables in force, read from the kernel itself: `nft list` takes as long as `nft -f`, this a fraction.
//!
//! The messages are those of `linux/netfilter/nf_tables.h`; of each rule only the comment is read, which `nft` keeps in
//! the rule's user data as type, length and text (libnftnl `include/libnftnl/udata.h`).

use std::collections::BTreeMap;
use std::io;

use super::netlink::{Message, Socket};

/// `NFNL_SUBSYS_NFTABLES` in the upper byte of a message's type (`linux/netfilter/nfnetlink.h`).
const SUBSYSTEM: u16 = 10 << 8;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const GET_RULE: u16 = SUBSYSTEM | 7;
const GET_SET: u16 = SUBSYSTEM | 10;
/// `struct nfgenmsg`: family, version, resource.
const GENERIC: usize = 4;
/// `NFPROTO_INET`.
const INET: u8 = 1;

/// `NFTA_CHAIN_TABLE`, `NFTA_RULE_TABLE` and `NFTA_SET_TABLE`.
const TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_POLICY: u16 = 5;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
/// `NFT_SET_ANONYMOUS`: a set within a rule, which comes and goes with it.
const ANONYMOUS: u32 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_USER_DATA: u16 = 7;
/// `NFTNL_UDATA_RULE_COMMENT`.
const COMMENT: u8 = 0;

/// The tables of family `inet` in the socket's namespace, in the words of [`crate::ruleset::Table::summary`].
pub(super) fn tables(socket: &mut Socket) -> io::Result<BTreeMap<String, Vec<String>>> {
    let question = [INET, 0, 0, 0];
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for message in socket.dump_raw(GET_CHAIN, &question)? {
        if let Some((table, line)) = chain(&message) {
            tables.entry(table).or_default().push(line);
        }
    }
    for message in socket.dump_raw(GET_RULE, &question)? {
        if let Some((table, line)) = rule(&message) {
            tables.entry(table).or_default().push(line);
        }
    }
    for lines in tables.values_mut() {
        // As `ruleset::Table::summary` does: by chain, each chain's rules in their order.
        lines.sort_by_key(|line| line.split(':').next().map(str::to_owned));
    }
    Ok(tables)
}

/// What a table in force is made of, besides its rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Existing {
    /// Names and policies of the chains that packets come to by themselves, in order.
    pub(super) base_chains: Vec<String>,
    /// Names of the others.
    pub(super) other_chains: Vec<String>,
    /// Names of the sets.
    pub(super) sets: Vec<String>,
}

/// The table `inet name` in the socket's namespace; none where it has no chain.
pub(super) fn existing(socket: &mut Socket, name: &str) -> io::Result<Option<Existing>> {
    let question = [INET, 0, 0, 0];
    let mut found = Existing::default();
    let chains = socket.dump_raw(GET_CHAIN, &question)?;
    for (_, line) in chains.iter().filter_map(chain).filter(|(table, _)| table == name) {
        let chain = line.trim_start_matches("chain ").to_owned();
        let chains = if chain.contains(' ') {
            &mut found.base_chains
        } else {
            &mut found.other_chains
        };
        chains.push(chain);
    }
    let sets = socket.dump_raw(GET_SET, &question)?;
    let sets = sets.iter().filter_map(set).filter(|(table, _)| table == name);
    found.sets.extend(sets.map(|(_, set)| set));
    found.base_chains.sort_unstable();
    let any = !found.base_chains.is_empty() || !found.other_chains.is_empty();
    Ok(any.then_some(found))
}

fn set((_, body): &Message) -> Option<(String, String)> {
    let attributes = inet_attributes(body)?;
    let flags = attributes.get(&SET_FLAGS).and_then(|flags| flags.first_chunk());
    let anonymous = flags.is_some_and(|flags| u32::from_be_bytes(*flags) & ANONYMOUS != 0);
    (!anonymous).then_some(())?;
    Some((text(attributes.get(&TABLE)?), text(attributes.get(&SET_NAME)?)))
}

fn chain((_, body): &Message) -> Option<(String, String)> {
    let attributes = inet_attributes(body)?;
    let name = text(attributes.get(&CHAIN_NAME)?);
    // Big-endian, as everything in these messages; absent in a chain without a hook.
    let policy = match attributes.get(&CHAIN_POLICY) {
        Some([0, 0, 0, 0]) => " drop",
        Some(_) => " accept",
        None => "",
    };
    Some((text(attributes.get(&TABLE)?), format!("chain {name}{policy}")))
}

fn rule((_, body): &Message) -> Option<(String, String)> {
    let attributes = inet_attributes(body)?;
    let chain = text(attributes.get(&RULE_CHAIN)?);
    let data = attributes.get(&RULE_USER_DATA).copied().unwrap_or_default();
    Some((
        text(attributes.get(&TABLE)?),
        format!("{chain}: {}", comment(data)),
    ))
}

fn inet_attributes(body: &[u8]) -> Option<BTreeMap<u16, &[u8]>> {
    let (generic, attributes) = body.split_at_checked(GENERIC)?;
    (generic[0] == INET).then(|| split(attributes))
}

/// `struct nlattr`: length with the header's four bytes, type with two flags on top, value, padding to four.
fn split(mut bytes: &[u8]) -> BTreeMap<u16, &[u8]> {
    let mut attributes = BTreeMap::new();
    while let Some((header, _)) = bytes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & 0x3fff;
        let Some(value) = bytes.get(4..length) else { break };
        attributes.insert(kind, value);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    attributes
}

fn comment(mut data: &[u8]) -> String {
    while let Some(([kind, length], rest)) = data.split_first_chunk::<2>() {
        let Some((value, others)) = rest.split_at_checked(usize::from(*length)) else {
            break;
        };
        if *kind == COMMENT {
            return text(value);
        }
        data = others;
    }
    String::new()
}

/// Texts end with a zero byte.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_chain_is_its_name_and_policy() {
        let generic = vec![INET, 0, 0, 0];
        let (table, name) = (attribute(TABLE, b"netfw\0"), attribute(CHAIN_NAME, b"input\0"));
        let policy = attribute(CHAIN_POLICY, &[0; 4]);
        let base = (0, [generic.clone(), table.clone(), name.clone(), policy].concat());
        assert_eq!(chain(&base).unwrap(), ("netfw".into(), "chain input drop".into()));
        let plain = (0, [generic, table, name].concat());
        assert_eq!(chain(&plain).unwrap().1, "chain input");
    }

    #[test]
    fn a_comment_is_found_behind_other_user_data_and_broken_data_has_none() {
        assert_eq!(comment(b"\x01\x02xy\x00\x04dns\0"), "dns");
        assert_eq!(comment(b"\x00\xffdns"), "");
        assert_eq!(comment(b"\x00"), "");
    }

    #[test]
    fn an_attribute_that_lies_about_its_length_ends_the_list() {
        let mut bytes = attribute(TABLE, b"netfw\0");
        bytes[0] = 200;
        assert!(split(&bytes).is_empty());
        bytes[0] = 0;
        assert!(split(&bytes).is_empty());
    }
}

//! An order: what the session service hands to the forwarder once a directive was found good.

use std::fmt;
use std::str::FromStr;

use netfw::model::PortName;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::directive::{FileRequest, PutFile};

/// An order's name: the first half of its directive's digest, so that both ends know it without being told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct OrderId([u8; 16]);

/// A text that names no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an id, 32 lower hexadecimal digits")]
pub(crate) struct NoOrder;

/// What is to be done for the service centre at an instrument's agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Order {
    /// Its name.
    pub(crate) id: OrderId,
    /// The directive's number.
    pub(crate) number: u64,
    /// What.
    pub(crate) what: What,
}

/// One of two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// Bring a file, and show it.
    Put(PutFile),
    /// Show the wish for one.
    Get(FileRequest),
}

impl Order {
    /// The port it is for.
    pub(crate) fn port(&self) -> &PortName {
        match &self.what {
            What::Put(put) => &put.instrument,
            What::Get(get) => &get.instrument,
        }
    }

    /// For how many seconds it is open, from when it is taken.
    pub(crate) fn seconds(&self) -> u64 {
        match &self.what {
            What::Put(put) => put.seconds,
            What::Get(get) => get.seconds,
        }
    }

    /// Bytes it takes on the disk.
    pub(super) fn bytes(&self) -> u64 {
        match &self.what {
            What::Put(put) => put.bytes,
            What::Get(_) => 0,
        }
    }

    /// What people call it.
    pub(super) fn name(&self) -> &str {
        match &self.what {
            What::Put(put) => put.name.as_str(),
            What::Get(get) => get.name.as_str(),
        }
    }
}

impl OrderId {
    /// The name of what the directive with this digest orders.
    pub(crate) fn of(digest: &Sha256) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&digest.as_bytes()[..16]);
        Self(id)
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for OrderId {
    type Err = NoOrder;

    fn from_str(text: &str) -> Result<Self, NoOrder> {
        let clean = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(clean) {
            return Err(NoOrder);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| NoOrder)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl TryFrom<String> for OrderId {
    type Error = NoOrder;

    fn try_from(text: String) -> Result<Self, NoOrder> {
        text.parse()
    }
}

impl From<OrderId> for String {
    fn from(id: OrderId) -> Self {
        id.to_string()
    }
}

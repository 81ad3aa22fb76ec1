//! What an installer is to do: `/etc/rap/installer.json`, written by `rap-image installer`.

use serde::{Deserialize, Serialize};

use crate::boot::disk::{Place, Table};
use crate::digest::Sha256;

/// The version of the format that is written and read.
const VERSION: u32 = 1;
/// Bytes of the longest order.
const LONGEST: usize = 4096;

/// Why an order cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// It is too long to be one.
    #[error("the order has {0} bytes, at most {LONGEST} are read")]
    Long(usize),
    /// It is no order.
    #[error("the order cannot be read")]
    Json(#[from] serde_json::Error),
    /// Of another version.
    #[error("the order is of version {0}, this installer knows {VERSION}")]
    Version(u32),
    /// A partition does not hold what is to be written to it.
    #[error("the order has {used} bytes for the partition {partition}, which has {bytes}")]
    TooLarge {
        /// Its name.
        partition: &'static str,
        /// Bytes to be written.
        used: u64,
        /// Bytes there are.
        bytes: u64,
    },
}

/// What an installer is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Whether nobody is asked.
    pub unattended: bool,
    /// Whether, unattended, an appliance that is on the disk is replaced, with all its data.
    pub replace: bool,
    /// SHA-256 of the package.
    pub package: Sha256,
    /// How many bytes each partition begins with, by the partitions' numbers.
    pub used: [u64; 5],
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Raw {
    version: u32,
    unattended: bool,
    replace: bool,
    package: Sha256,
    used: [u64; 5],
}

impl Order {
    /// Reads an order.
    ///
    /// # Errors
    /// When it is none, or what it names does not fit a fresh image's partitions.
    pub fn parse(bytes: &[u8]) -> Result<Self, OrderError> {
        if bytes.len() > LONGEST {
            return Err(OrderError::Long(bytes.len()));
        }
        let raw: Raw = serde_json::from_slice(bytes)?;
        if raw.version != VERSION {
            return Err(OrderError::Version(raw.version));
        }
        let fresh = Table::fresh();
        for (place, used) in Place::ALL.into_iter().zip(raw.used) {
            let bytes = fresh.partition(place).length();
            if used > bytes {
                let partition = place.name();
                return Err(OrderError::TooLarge {
                    partition,
                    used,
                    bytes,
                });
            }
        }
        Ok(Self {
            unattended: raw.unattended,
            replace: raw.replace,
            package: raw.package,
            used: raw.used,
        })
    }

    /// The order as it is written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let raw = Raw {
            version: VERSION,
            unattended: self.unattended,
            replace: self.replace,
            package: self.package,
            used: self.used,
        };
        // Plain data, which cannot fail to serialize.
        let mut bytes = serde_json::to_vec_pretty(&raw).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        Order {
            unattended: true,
            replace: false,
            package: Sha256::of(b"package"),
            used: [1 << 20, 60 << 20, 1 << 20, 0, 0],
        }
    }

    #[test]
    fn an_order_is_read_as_it_was_written() {
        assert_eq!(Order::parse(&order().encode()).unwrap(), order());
    }

    #[test]
    fn what_is_no_order_is_told_apart() {
        let text = String::from_utf8(order().encode()).unwrap();
        let words = |text: &str| Order::parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            words(&text.replace("\"version\": 1", "\"version\": 2")),
            "the order is of version 2, this installer knows 1"
        );
        let mut large = order();
        large.used[3] = (4 << 20) + 1;
        assert_eq!(
            Order::parse(&large.encode()).unwrap_err().to_string(),
            "the order has 4194305 bytes for the partition rap-provision, which has 4194304"
        );
        assert_eq!(
            words(&text.replace("replace", "replaces")),
            "the order cannot be read"
        );
        assert!(matches!(Order::parse(&[b' '; 5000]), Err(OrderError::Long(5000))));
    }
}

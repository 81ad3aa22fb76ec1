//! The desk's half of TUF: keys, signatures and roots. [The Update Framework 1.0](https://theupdateframework.github.io/specification/v1.0.33/).
//!
//! The types of metadata and the checking of signatures are `tough`'s, the same a box uses. Making metadata is ours:
//! `tough`'s editor reads and writes files as it goes, writes keys in a random order, and does not count a root's
//! signatures. Here metadata is a value until all of it is right, and the same content is the same bytes.

mod key;
mod root;
mod sign;

pub use key::{KeyError, public_key};
pub use root::{Chain, DEVELOPMENT, Root, RootError, Terms, make};
pub use sign::{Document, SignError, Signatory, sign, signatures};

/// The newest root, in a directory of keys.
pub const ROOT_FILE: &str = "root.json";
/// The metadata format this writes (TUF 1.0 §4.3, `spec_version`).
pub const SPEC_VERSION: &str = "1.0.0";

//! What the whole-system tests are made of: the service centre, instruments, and keys for them.

pub mod centre;
pub mod instrument;
pub mod keys;

//! What a disk says of the audit trail.

/// Whatever is taken for a record is written again as it was read.
pub(crate) fn record(bytes: &[u8]) {
    rap_core::audit::fuzz(&String::from_utf8_lossy(bytes));
}

//! The box's clock as the forwarder uses it. It may be wrong: nothing but what people read depends on it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01 UTC; 0 when the clock stands before that.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since boot.
pub(super) fn since_boot_ms() -> u64 {
    u64::try_from(crate::moment::since_boot().as_millis()).unwrap_or(u64::MAX)
}

/// RFC 3339 text of such a time.
pub(super) fn text(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| "unknown".to_owned(), |t| t.to_string())
}

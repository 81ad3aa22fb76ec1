//! Tells the helpers of one site that another one is in force.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Shared by who tells and who is told.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// From now on [`Self::is_set`], and whoever pauses goes on at once.
    pub(super) fn set(&self) {
        let (flag, told) = &*self.0;
        *flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        told.notify_all();
    }

    /// Whether to stop.
    pub(super) fn is_set(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `time`, or less when told to stop. Says whether to go on.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let (flag, told) = &*self.0;
        let flag = flag.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = told.wait_timeout_while(flag, time, |stop| !*stop);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

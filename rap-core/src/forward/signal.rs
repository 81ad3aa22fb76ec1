//! A flag that one thread raises and another waits for: news in the log, and the wish to stop.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

#[derive(Debug, Default)]
struct State {
    news: bool,
    stop: bool,
}

/// News and stop, waited for together.
#[derive(Debug, Default)]
pub(super) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

impl Signal {
    /// Says that there is something new.
    pub(super) fn raise(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).news = true;
        self.changed.notify_all();
    }

    /// Says that everything is to stop.
    pub(super) fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.changed.notify_all();
    }

    /// Waits for news, at most `limit`, and takes it. Returns whether to go on.
    pub(super) fn wait_for_news(&self, limit: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(state, limit, |s| !s.news && !s.stop);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.news = false;
        !state.stop
    }

    /// Waits for `time` or the wish to stop, whatever news there is. Returns whether to go on.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(state, time, |s| !s.stop);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.stop
    }
}

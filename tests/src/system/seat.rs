//! At most two systems at a time in one process, on however many threads its tests run: more machines under software
//! emulation than processors would make every wait for a guest a matter of luck.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many systems there may be.
const SEATS: usize = 2;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// A system's right to be; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat(());

impl Seat {
    /// Waits until there is one.
    pub(super) fn take() -> Self {
        let free = FREED.wait_while(taken(), |taken| *taken >= SEATS);
        *free.unwrap_or_else(PoisonError::into_inner) += 1;
        Self(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        *taken() -= 1;
        FREED.notify_one();
    }
}

/// A number cannot be left half-changed: a panic elsewhere leaves it as good as before.
fn taken() -> MutexGuard<'static, usize> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn never_more_than_the_seats_and_everybody_gets_one() {
        let (now, most, all) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let sit = || {
            let _seat = Seat::take();
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::yield_now();
            all.fetch_add(1, Ordering::SeqCst);
            now.fetch_sub(1, Ordering::SeqCst);
        };
        thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(sit);
            }
        });
        assert!(most.into_inner() <= SEATS);
        assert_eq!(all.into_inner(), 32);
    }
}

//! Work in several namespaces at once: much of it is waiting for the kernel.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// At once, at most; more would only wait for the one lock that the kernel has for links.
const THREADS: usize = 4;

/// What `work` makes of each of `items`, in their order.
pub(super) fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let worker = || {
        while let Some((nth, item)) = take(&next, items) {
            let result = work(item);
            done.lock()
                .unwrap_or_else(|broken| broken.into_inner())
                .push((nth, result));
        }
    };
    thread::scope(|scope| {
        for _ in 1..THREADS.min(items.len()) {
            // Where there is no thread to be had, this one does it all.
            let _ = thread::Builder::new().spawn_scoped(scope, worker);
        }
        worker();
    });
    let mut done = done.into_inner().unwrap_or_else(|broken| broken.into_inner());
    done.sort_by_key(|(nth, _)| *nth);
    done.into_iter().map(|(_, result)| result).collect()
}

fn take<'a, T>(next: &AtomicUsize, items: &'a [T]) -> Option<(usize, &'a T)> {
    let nth = next.fetch_add(1, Ordering::Relaxed);
    Some((nth, items.get(nth)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..100).collect();
        let slow_first = |item: &u32| {
            if *item < 3 {
                thread::sleep(std::time::Duration::from_millis(5));
            }
            item * 2
        };
        assert_eq!(map(&items, slow_first), (0..200).step_by(2).collect::<Vec<_>>());
        assert!(map(&[], |item: &u32| *item).is_empty());
    }
}

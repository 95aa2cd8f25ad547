//! Bounded concurrency for blocking work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::error::{Error, ErrorKind, Result};

/// How many threads may run at once. (Asking the system reads files each time.)
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(2, usize::from))
}

/// Runs `work(0..count)` on at most `workers` threads; results in order. After the first error no new item is begun, and
/// that error (of the lowest index among those that failed) is returned once the running ones have ended.
pub(crate) fn run<T: Send>(
    count: usize,
    workers: usize,
    work: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let workers = workers.min(count);
    if workers <= 1 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results: Mutex<Vec<(usize, Result<T>)>> = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= count || failed.load(Ordering::Relaxed) {
                        return;
                    }
                    let result = work(i);
                    if result.is_err() {
                        failed.store(true, Ordering::Relaxed);
                    }
                    results
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((i, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(i, _)| *i);
    let values: Vec<T> = results.into_iter().map(|(_, r)| r).collect::<Result<_>>()?;
    if values.len() != count {
        return Err(Error::new(
            ErrorKind::Store,
            "a worker of a concurrent transfer ended early",
        ));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn results_come_in_order_and_the_first_error_wins() {
        assert_eq!(
            run(100, 7, |i| Ok(i * 2)).unwrap(),
            (0..100).map(|i| i * 2).collect::<Vec<_>>()
        );
        assert!(run(0, 4, |_| Ok(())).unwrap().is_empty());
        let begun = AtomicUsize::new(0);
        let error = run(1000, 4, |i| {
            begun.fetch_add(1, Ordering::Relaxed);
            if i == 10 {
                Err(Error::invalid("ten"))
            } else {
                Ok(())
            }
        })
        .unwrap_err();
        assert_eq!(error.message(), "ten");
        assert!(begun.load(Ordering::Relaxed) < 1000);
    }
}

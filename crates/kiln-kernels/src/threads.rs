//! Work for one thread or for all of them.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

/// Multiplications that are worth a second thread.
pub(crate) const SMALLEST_HALF: usize = 1 << 20;

/// All tasks, each once, in any order, on the calling thread and on the others of the current rayon pool.
///
/// A thread outside the pool that hands it work and waits is woken when the work is done: for tasks of some ten
/// microseconds that takes as long as they do. Here the calling thread works too, and the others help.
pub fn share<T: Send>(tasks: Vec<T>, run: impl Fn(T) + Sync) {
    let helpers = (rayon::current_num_threads() - 1).min(tasks.len().saturating_sub(1));
    let waiting = Mutex::new(tasks.into_iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(task) = next() {
            run(task);
        }
    };
    rayon::in_place_scope(|scope| {
        (0..helpers).for_each(|_| scope.spawn(|_| work()));
        work();
    });
}

/// All tasks, on all threads where their `work` is worth it. Every thread has scratch memory of its own.
pub(crate) fn for_each<T: Send, S>(
    tasks: Vec<T>,
    work: usize,
    scratch: impl Fn() -> S + Send + Sync,
    run: impl Fn(&mut S, T) + Send + Sync,
) {
    if tasks.len() > 1 && work > SMALLEST_HALF && rayon::current_num_threads() > 1 {
        tasks.into_par_iter().for_each_init(scratch, run);
    } else {
        let mut scratch = scratch();
        tasks.into_iter().for_each(|task| run(&mut scratch, task));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `test` outside of any pool, and in pools of one and of several threads.
    fn everywhere(test: impl Fn() + Sync + Send) {
        test();
        for threads in [1, 4] {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&test);
        }
    }

    #[test]
    fn every_task_is_done_once() {
        everywhere(|| {
            for count in [0, 1, 2, 1000] {
                let mut done = vec![0; count];
                share(done.iter_mut().collect(), |times: &mut i32| *times += 1);
                assert!(done.iter().all(|times| *times == 1), "{count}");
                let mut sums = vec![0; count];
                for_each(sums.iter_mut().collect(), usize::MAX, || 7, |scratch, sum: &mut i32| *sum += *scratch);
                assert!(sums.iter().all(|sum| *sum == 7), "{count}");
            }
        });
    }

    #[test]
    fn a_panic_of_a_task_reaches_the_caller() {
        let outcome = std::panic::catch_unwind(|| share((0..100).collect(), |task| assert_ne!(task, 50)));
        assert!(outcome.is_err());
    }
}

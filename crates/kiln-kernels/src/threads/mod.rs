//! Work for one thread or for all of them.

mod helped;

use std::sync::{Mutex, PoisonError};
use std::thread;

use rayon::ThreadPoolBuildError;

use helped::helped;

/// Multiplications that are worth a second thread.
pub(crate) const SMALLEST_HALF: usize = 1 << 19;

/// Makes the calling thread one of those of rayon's global pool, which then has as many as there are processors, or as
/// `RAYON_NUM_THREADS` says, the calling thread included. To be called at the beginning of `main`.
///
/// A thread outside of the pool is one more than there are processors: where it shares work with the pool, all of them take
/// turns. Where there is to be one thread alone, nothing is done: work that other threads leave to a pool of the calling
/// thread would wait for it.
///
/// # Errors
/// Where the pool exists already, and where its threads cannot be started.
pub fn join_pool() -> Result<(), ThreadPoolBuildError> {
    let chosen = std::env::var("RAYON_NUM_THREADS").ok().and_then(|threads| threads.parse().ok());
    let threads =
        chosen.filter(|threads| *threads > 0).or_else(|| thread::available_parallelism().ok().map(usize::from));
    match threads {
        Some(threads) if threads > 1 => {
            rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build_global()
        }
        _ => Ok(()),
    }
}

/// All tasks, each once, in any order, on the calling thread and on the others of the current rayon pool.
///
/// The calling thread works too, and the others help where they are awake or wake in time: work of some ten microseconds
/// is not held up by a thread that sleeps.
///
/// # Panics
/// Where a task does.
pub fn share<T: Send>(tasks: Vec<T>, run: impl Fn(T) + Sync) {
    share_with(tasks, || (), |(), task| run(task));
}

/// As [`share`]; every thread that gets a task has scratch memory of its own.
fn share_with<T: Send, S>(tasks: Vec<T>, scratch: impl Fn() -> S + Sync, run: impl Fn(&mut S, T) + Sync) {
    let helpers = match tasks.len() {
        0 | 1 => 0,
        more => (rayon::current_num_threads() - 1).min(more - 1),
    };
    if helpers == 0 {
        return run_all(tasks, scratch, run);
    }
    // Many small tasks are taken some at a time, so that the threads do not wait for each other at the queue.
    let at_once = tasks.len().div_ceil(TURNS * (helpers + 1));
    let waiting = Mutex::new(tasks.into_iter());
    let next = || -> Vec<T> { waiting.lock().unwrap_or_else(PoisonError::into_inner).by_ref().take(at_once).collect() };
    helped(helpers, &|| {
        let mut tasks = next();
        if tasks.is_empty() {
            return;
        }
        let mut scratch = scratch();
        while !tasks.is_empty() {
            tasks.into_iter().for_each(|task| run(&mut scratch, task));
            tasks = next();
        }
    });
}

/// Times that a thread comes for tasks, where there are many.
const TURNS: usize = 32;

fn run_all<T, S>(tasks: Vec<T>, scratch: impl Fn() -> S, run: impl Fn(&mut S, T)) {
    let mut scratch = scratch();
    tasks.into_iter().for_each(|task| run(&mut scratch, task));
}

/// All tasks, on all threads where their `work` is worth it. Every thread has scratch memory of its own.
pub(crate) fn for_each<T: Send, S>(
    tasks: Vec<T>,
    work: usize,
    scratch: impl Fn() -> S + Sync,
    run: impl Fn(&mut S, T) + Sync,
) {
    if work > SMALLEST_HALF { share_with(tasks, scratch, run) } else { run_all(tasks, scratch, run) }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

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
        everywhere(|| {
            for bad in [0, 50, 99] {
                let outcome = catch_unwind(|| share((0..100).collect(), |task| assert_ne!(task, bad)));
                assert!(outcome.is_err(), "{bad}");
            }
        });
    }

    #[test]
    fn a_panic_of_a_helper_reaches_the_caller() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let outcome = pool.install(|| {
            let caller = thread::current().id();
            let both = Barrier::new(2);
            catch_unwind(AssertUnwindSafe(|| {
                share(vec![(), ()], |()| {
                    // Neither goes on alone, so one of the two is a helper.
                    both.wait();
                    assert_eq!(thread::current().id(), caller, "a helper's panic");
                });
            }))
        });
        let message = outcome.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("a helper's panic"), "{message}");
    }

    #[test]
    fn work_is_shared_inside_of_shared_work() {
        everywhere(|| {
            let mut sums = vec![0; 50];
            share(sums.iter_mut().collect(), |sum: &mut usize| {
                let total = AtomicUsize::new(0);
                share((0..20).collect(), |number| _ = total.fetch_add(number, Ordering::Relaxed));
                *sum = total.into_inner();
            });
            assert!(sums.iter().all(|sum| *sum == 190), "{sums:?}");
        });
    }

    #[test]
    fn nobody_touches_the_tasks_after_the_return() {
        everywhere(|| {
            for round in 0..2000 {
                let mut done = [0; 3];
                share(done.iter_mut().collect(), |place| *place = round);
                assert_eq!(done, [round; 3]);
                done = [-1; 3];
                assert_eq!(std::hint::black_box(done), [-1; 3]);
            }
        });
    }
}

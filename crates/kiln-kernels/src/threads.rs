//! Work for one thread or for all of them.

use rayon::prelude::*;

/// Multiplications that are worth a second thread.
pub(crate) const SMALLEST_HALF: usize = 1 << 20;

/// Both, at the same time where the current rayon pool has more than one thread.
pub(crate) fn join<A: Send, B: Send>(first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B + Send) -> (A, B) {
    if rayon::current_num_threads() > 1 { rayon::join(first, second) } else { (first(), second()) }
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

//! Work in two halves, for two threads where there are two.

/// Both, at the same time where the current rayon pool has more than one thread.
pub(crate) fn join<A: Send, B: Send>(first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B + Send) -> (A, B) {
    if rayon::current_num_threads() > 1 { rayon::join(first, second) } else { (first(), second()) }
}

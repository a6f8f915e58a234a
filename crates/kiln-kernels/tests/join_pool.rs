//! The main thread as one of the pool. A program has one pool, so this is a program of its own.

use std::sync::Barrier;
use std::thread;

use kiln_kernels::{join_pool, share};

#[test]
fn the_calling_thread_becomes_one_of_the_pool_if_there_are_others() {
    join_pool().unwrap();
    if thread::available_parallelism().map_or(1, usize::from) == 1 {
        return assert_eq!(rayon::current_thread_index(), None);
    }
    assert_eq!(rayon::current_thread_index(), Some(0));
    // Another thread of the pool takes part, and work of a thread outside is done though this one waits for it.
    let both = Barrier::new(2);
    share(vec![(), ()], |()| _ = both.wait());
    let sum = thread::spawn(|| rayon::join(|| 1, || 2)).join().unwrap();
    assert_eq!(sum, (1, 2));
    assert!(join_pool().is_err(), "there is one already");
}

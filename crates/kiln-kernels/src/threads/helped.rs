//! Work on the stack of one thread that others help with.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};

/// Runs `work` here, and at the same time on those of so many `helpers` of the rayon pool that come before it is done here.
/// Returns when no helper works any more; a panic of one of them goes on here.
///
/// A scope of rayon waits for every helper, also for one that has not begun: a thread that sleeps is waited for longer than
/// it would have worked. Here it finds the gate closed when it comes.
pub(super) fn helped(helpers: usize, work: &(dyn Fn() + Sync)) {
    // SAFETY: the pointer differs in its lifetime alone. It is followed between `enter` and `leave`, and `Closing` lets this
    // function end, by a panic too, when nobody is between them and nobody will be.
    let work = unsafe { std::mem::transmute::<&(dyn Fn() + Sync), *const (dyn Fn() + Sync)>(work) };
    let gate = Arc::new(Gate { work, state: AtomicUsize::new(0), panic: Mutex::new(None), owner: thread::current() });
    let closing = Closing(&gate);
    for _ in 0..helpers {
        let gate = Arc::clone(&gate);
        rayon::spawn(move || gate.help());
    }
    // SAFETY: the borrow from which the pointer came lasts to the end of this function.
    unsafe { (*work)() };
    drop(closing);
    let panic = gate.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

/// Helpers get through until it is closed.
struct Gate {
    work: *const (dyn Fn() + Sync),
    /// The number of helpers that work, and [`CLOSED`].
    state: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    owner: Thread,
}

const CLOSED: usize = 1 << (usize::BITS - 1);

/// Looks at the helpers before the owner sleeps: some hundred microseconds, the length of a short kernel.
const LOOKS: usize = 1 << 13;

// SAFETY: what `work` points to may be called from several threads, for it is `Sync`; everything else is so by itself.
unsafe impl Send for Gate {}
// SAFETY: as above.
unsafe impl Sync for Gate {}

impl Gate {
    fn help(&self) {
        if !self.enter() {
            return;
        }
        // SAFETY: the owner waits for those that have entered.
        let outcome = catch_unwind(AssertUnwindSafe(|| unsafe { (*self.work)() }));
        if let Err(panic) = outcome {
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
        self.leave();
    }

    fn enter(&self) -> bool {
        let one_more = |state| (state & CLOSED == 0).then_some(state + 1);
        self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, one_more).is_ok()
    }

    fn leave(&self) {
        if self.state.fetch_sub(1, Ordering::Release) == CLOSED + 1 {
            self.owner.unpark();
        }
    }
}

/// Closes the gate and waits until it is empty, however the owner's work ends.
struct Closing<'a>(&'a Gate);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let mut looks = 0;
        let mut state = self.0.state.fetch_or(CLOSED, Ordering::Acquire) | CLOSED;
        while state != CLOSED {
            if looks < LOOKS {
                looks += 1;
                std::hint::spin_loop();
            } else {
                thread::park();
            }
            state = self.0.state.load(Ordering::Acquire);
        }
    }
}

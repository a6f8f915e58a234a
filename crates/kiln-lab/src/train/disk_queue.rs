//! Files of a training that are written while it goes on.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::panic_message;

/// Work on the disk, with the reason where it fails.
type Work = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// Does work on files in the order in which it was given, on a thread of its own.
///
/// A training whose epochs are faster than the disk would wait for it at every epoch, and most of what it waits for is
/// replaced or deleted a moment later. Here a file that is given again before it was written is written once, and a file
/// that is removed before it was written never is.
pub(super) struct DiskQueue {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    working: bool,
    closed: bool,
    /// The first failure.
    failure: Option<String>,
}

struct Job {
    path: PathBuf,
    writes: bool,
    work: Work,
}

impl DiskQueue {
    /// Jobs that may wait; what they hold is in memory.
    const MOST_WAITING: usize = 16;

    pub(super) fn new() -> Self {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || shared.work()
        });
        Self { shared, thread: Some(thread) }
    }

    /// Writes the file at `path` by `write`, in place of what waits to be written there.
    ///
    /// # Errors
    /// What went wrong with an earlier file.
    pub(super) fn write(
        &self,
        path: &Path,
        write: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Result<(), String> {
        let mut state = self.shared.lock();
        let job = Job { path: path.to_path_buf(), writes: true, work: Box::new(write) };
        // A file that is written again need not be removed before.
        state.waiting.retain(|waiting| waiting.writes || waiting.path != path);
        if let Some(waiting) = state.waiting.iter_mut().find(|waiting| waiting.path == path) {
            *waiting = job;
        } else {
            let full = |state: &mut State| state.failure.is_none() && state.waiting.len() >= Self::MOST_WAITING;
            state = self.shared.wait_while(state, full);
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            state.waiting.push_back(job);
        }
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Removes the file at `path` after everything that waits, and sees to it that it is not written before. After a failure
    /// nothing is removed: what is on the disk is all there is.
    pub(super) fn remove(&self, path: &Path) {
        let mut state = self.shared.lock();
        if state.failure.is_some() {
            return;
        }
        if let Some(at) = state.waiting.iter().position(|waiting| waiting.writes && waiting.path == path) {
            state.waiting.remove(at);
            // What was to go once this file was there goes once those are that take its place.
            let (writes, removals): (Vec<Job>, Vec<Job>) = state.waiting.drain(at..).partition(|job| job.writes);
            state.waiting.extend(writes.into_iter().chain(removals));
        }
        let removed = path.to_path_buf();
        let work = move || match std::fs::remove_file(&removed) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("cannot remove {}: {error}", removed.display()))
            }
            _ => Ok(()),
        };
        state.waiting.push_back(Job { path: path.to_path_buf(), writes: false, work: Box::new(work) });
        self.shared.changed.notify_all();
    }

    /// Waits until everything is done.
    ///
    /// # Errors
    /// What went wrong with a file.
    pub(super) fn flush(&self) -> Result<(), String> {
        let state = self.shared.lock();
        let state = self.shared.wait_while(state, |state| state.working || !state.waiting.is_empty());
        state.failure.clone().map_or(Ok(()), Err)
    }
}

impl Drop for DiskQueue {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread catches the panics of its jobs and has none of its own.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Takes one job after the other until the queue is closed and empty.
    fn work(&self) {
        loop {
            let mut state = self.wait_while(self.lock(), |state| state.waiting.is_empty() && !state.closed);
            let Some(Job { path, work, .. }) = state.waiting.pop_front() else { return };
            state.working = true;
            drop(state);
            // Whoever waits for the queue would wait for ever if a panic took its thread.
            let outcome = catch_unwind(AssertUnwindSafe(work))
                .unwrap_or_else(|panic| Err(format!("cannot write {}: {}", path.display(), panic_message(&*panic))));
            let mut state = self.lock();
            state.working = false;
            if let Err(failure) = outcome {
                state.failure.get_or_insert(failure);
                // Nothing may be removed for files that did not come.
                state.waiting.clear();
            }
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        condition: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'a, State> {
        self.changed.wait_while(state, condition).unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A queue whose thread is held until the returned sender speaks.
    fn held() -> (DiskQueue, Sender<()>) {
        let queue = DiskQueue::new();
        let ((started, has_started), (release, released)) = (channel(), channel::<()>());
        queue
            .write(Path::new("held"), move || {
                started.send(()).unwrap();
                released.recv().map_err(|error| error.to_string())
            })
            .unwrap();
        has_started.recv().unwrap();
        (queue, release)
    }

    fn note(queue: &DiskQueue, notes: &Sender<&'static str>, path: &str, what: &'static str) {
        let notes = notes.clone();
        queue.write(Path::new(path), move || notes.send(what).map_err(|error| error.to_string())).unwrap();
    }

    fn all(notes: Receiver<&'static str>) -> Vec<&'static str> {
        notes.try_iter().collect()
    }

    #[test]
    fn a_file_is_written_once_where_it_was_first_asked_for() {
        let (queue, release) = held();
        let (notes, noted) = channel();
        note(&queue, &notes, "course", "one epoch");
        note(&queue, &notes, "model-1", "model 1");
        note(&queue, &notes, "course", "two epochs");
        note(&queue, &notes, "model-2", "model 2");
        queue.remove(Path::new("model-1"));
        release.send(()).unwrap();
        queue.flush().unwrap();
        assert_eq!(all(noted), ["two epochs", "model 2"]);
    }

    #[test]
    fn a_file_is_removed_after_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model-1");
        let queue = DiskQueue::new();
        let file = path.clone();
        queue.write(&path, move || std::fs::write(file, b"1").map_err(|error| error.to_string())).unwrap();
        queue.flush().unwrap();
        assert!(path.is_file());
        queue.remove(&path);
        queue.remove(&path);
        queue.flush().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn everything_is_written_before_the_queue_goes() {
        let (queue, release) = held();
        let (notes, noted) = channel();
        note(&queue, &notes, "a", "a");
        note(&queue, &notes, "b", "b");
        release.send(()).unwrap();
        drop(queue);
        assert_eq!(all(noted), ["a", "b"]);
    }

    #[test]
    fn a_panic_is_a_failure_and_not_a_wait_for_ever() {
        let queue = DiskQueue::new();
        queue.write(Path::new("weights"), || panic!("a defect")).unwrap();
        assert_eq!(queue.flush().unwrap_err(), "cannot write weights: a defect");
        assert!(queue.write(Path::new("weights"), || Ok(())).is_err());
    }

    #[test]
    fn nothing_is_removed_for_a_file_that_did_not_come() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("model-1");
        std::fs::write(&old, b"1").unwrap();
        let (queue, release) = held();
        queue.write(Path::new("model-2"), || Err("the disk is full".into())).unwrap();
        queue.remove(&old);
        release.send(()).unwrap();
        assert!(queue.flush().is_err());
        queue.remove(&old);
        assert!(queue.flush().is_err() && old.is_file());
    }

    #[test]
    fn there_is_a_whole_file_at_every_moment_on_a_slow_disk() {
        let folder = tempfile::tempdir().unwrap();
        let model = |epoch: usize| folder.path().join(format!("model-{epoch}"));
        (1..=2).for_each(|epoch| std::fs::write(model(epoch), b"whole").unwrap());
        let (queue, release) = held();
        for epoch in 3..=6 {
            let (path, before) = (model(epoch), [model(1), model(2)]);
            let write = move || {
                let kept = before.iter().any(|path| path.is_file());
                std::fs::write(path, b"whole").map_err(|error| error.to_string())?;
                if kept { Ok(()) } else { Err("both were removed before their successor was there".into()) }
            };
            queue.write(&model(epoch), write).unwrap();
            queue.remove(&model(epoch - 2));
        }
        release.send(()).unwrap();
        queue.flush().unwrap();
        let left: Vec<usize> = (1..=6).filter(|epoch| model(*epoch).is_file()).collect();
        assert_eq!(left, [5, 6]);
    }

    #[test]
    fn a_full_queue_waits_for_room() {
        let (queue, release) = held();
        let written = Arc::new(Mutex::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..3 * DiskQueue::MOST_WAITING {
                    let written = Arc::clone(&written);
                    let count = move || {
                        *written.lock().unwrap() += 1;
                        Ok(())
                    };
                    queue.write(Path::new(&number.to_string()), count).unwrap();
                }
            });
            release.send(()).unwrap();
        });
        queue.flush().unwrap();
        assert_eq!(*written.lock().unwrap(), 3 * DiskQueue::MOST_WAITING);
    }

    #[test]
    fn the_first_failure_is_told_to_everybody_who_comes_later() {
        let (queue, release) = held();
        queue.write(Path::new("a"), || Err("the disk is full".into())).unwrap();
        queue.write(Path::new("b"), || Err("the disk is gone".into())).unwrap();
        release.send(()).unwrap();
        assert_eq!(queue.flush().unwrap_err(), "the disk is full");
        assert_eq!(queue.write(Path::new("c"), || Ok(())).unwrap_err(), "the disk is full");
    }
}

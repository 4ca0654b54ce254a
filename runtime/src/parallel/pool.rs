//! The threads behind [`super::for_each`]: how many there are, and who has them.

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};
use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::thread;

use super::handover::{Handover, IDLE, Job, Slot};

/// The most threads a loop is shared among.
const MOST: usize = 256;

struct Pool {
    /// Held by the thread whose loop it is.
    busy: AtomicBool,
    /// Workers that exist: the slots `1..=started`.
    started: AtomicUsize,
    handover: Handover<MOST>,
}

static POOL: Pool = Pool {
    busy: AtomicBool::new(false),
    started: AtomicUsize::new(0),
    handover: Handover {
        job: AtomicPtr::new(core::ptr::null_mut()),
        slots: [const {
            Slot {
                state: AtomicU8::new(IDLE),
                asleep: AtomicBool::new(false),
                next: AtomicUsize::new(0),
                thread: OnceLock::new(),
            }
        }; MOST],
    },
};

std::thread_local! {
    static OVERRIDE: Cell<Option<usize>> = const { Cell::new(None) };
    /// Whether this thread is in a task.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Sets a thread-local value until it is dropped.
pub(super) struct Until<T: Copy + 'static>(&'static thread::LocalKey<Cell<T>>, T);

impl<T: Copy> Until<T> {
    fn set(key: &'static thread::LocalKey<Cell<T>>, value: T) -> Self {
        Until(key, key.replace(value))
    }
}

impl<T: Copy> Drop for Until<T> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

/// Says that this thread is in a task, until it is dropped.
pub(super) fn inside() -> Until<bool> {
    Until::set(&INSIDE, true)
}

/// How many threads a loop may use: what [`with_threads`] says on this thread, else the environment's `CASTNET_NUM_THREADS`, else its
/// `RAYON_NUM_THREADS` (both read once; zero and what is no number count for nothing), else one per processor. Within a task: one.
pub fn threads() -> usize {
    static DEFAULT: OnceLock<usize> = OnceLock::new();
    if INSIDE.get() {
        return 1;
    }
    OVERRIDE.get().unwrap_or_else(|| {
        *DEFAULT.get_or_init(|| {
            let variable = |name| wish(std::env::var(name).ok().as_deref());
            variable("CASTNET_NUM_THREADS")
                .or_else(|| variable("RAYON_NUM_THREADS"))
                .unwrap_or_else(|| thread::available_parallelism().map_or(1, |n| n.get().min(MOST)))
        })
    })
}

/// What an environment variable's value asks for.
fn wish(value: Option<&str>) -> Option<usize> {
    value?.trim().parse().ok().filter(|&n| n > 0).map(|n: usize| n.min(MOST))
}

/// Calls `f` while loops started by this thread use `n` threads (at least one, at most 256); nests.
pub fn with_threads<R>(n: usize, f: impl FnOnce() -> R) -> R {
    let _until = Until::set(&OVERRIDE, Some(n.clamp(1, MOST)));
    f()
}

/// See [`super::for_each_worker`].
pub(super) fn run(tasks: usize, task: &(dyn Fn(usize, usize) + Sync)) {
    let wanted = threads().min(tasks);
    if wanted <= 1 || !POOL.enter() {
        return (0..tasks).for_each(|i| task(0, i));
    }
    /// Lets the next loop in, whatever happens.
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            POOL.busy.store(false, Ordering::Release);
        }
    }
    let _leave = Leave;
    let participants = POOL.ensure(wanted - 1) + 1;
    let job = Job::new(task, tasks, participants);
    POOL.handover.share(&job);
    if let Some(payload) = job.into_panic() {
        resume_unwind(payload);
    }
}

impl Pool {
    /// Takes the pool, if no other thread has it.
    fn enter(&self) -> bool {
        let enter = || !self.busy.load(Ordering::Relaxed) && !self.busy.swap(true, Ordering::Acquire);
        // Our own tests that ask for a number of threads must get them although other tests run beside them.
        while cfg!(test) && OVERRIDE.get().is_some() {
            if enter() {
                return true;
            }
            thread::yield_now();
        }
        enter()
    }

    /// Makes sure of `wanted` workers, or of as many as the system grants, and says how many. Only the thread that has the pool calls it.
    fn ensure(&'static self, wanted: usize) -> usize {
        let mut started = self.started.load(Ordering::Relaxed);
        while started < wanted {
            let me = started + 1;
            let Ok(handle) = thread::Builder::new().name(format!("castnet-{me}")).spawn(move || self.serve(me)) else {
                break;
            };
            // Set here and not by the worker: it is needed as soon as the worker can be posted to.
            self.handover.slots[me].thread.get_or_init(|| handle.thread().clone());
            started = me;
            self.started.store(started, Ordering::Relaxed);
        }
        started.min(wanted)
    }

    /// A worker's life.
    fn serve(&self, me: usize) {
        loop {
            self.handover.serve(me);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_every_task_once() {
        for tasks in [1, 2, 3, 7, 8, 100, usize::MAX] {
            for participants in [1, 2, 3, 7, 8] {
                let job = Job::new(&|_, _| {}, tasks, participants);
                let mut end = 0;
                for i in 0..participants {
                    let share = job.share(i);
                    assert_eq!(share.start, end);
                    end = share.end;
                }
                assert_eq!(end, tasks);
            }
        }
    }

    #[test]
    fn numbers_of_threads_are_read_with_care() {
        assert_eq!(wish(None), None);
        assert_eq!(wish(Some("0")), None);
        assert_eq!(wish(Some("many")), None);
        assert_eq!(wish(Some("-1")), None);
        assert_eq!(wish(Some(" 3 ")), Some(3));
        assert_eq!(wish(Some("100000")), Some(MOST));
    }
}

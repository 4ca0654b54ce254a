//! The threads behind [`super::for_each`].
//!
//! One loop at a time is posted. Each participant (the caller is number 0) owns a contiguous share of its tasks, so that in a steady
//! loop the same thread meets the same data, and takes from the others' shares when its own is done. The caller posts to the workers,
//! works itself, takes the loop back from workers that have not started, since they may still be asleep, and waits for the others.

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};
use core::time::Duration;
use std::any::Any;
use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Instant;

/// The most threads a loop is shared among.
const MOST: usize = 256;

/// How long a worker waits awake for the next loop: longer than what lies between two layers of a small network, some ten
/// microseconds; waking a sleeping worker takes some fifty.
const AWAKE: Duration = Duration::from_micros(50);

/// Turns of waiting, of some 15 to 50 ns each, after which a waiting thread offers its processor to others at every further turn. Where
/// there are more threads than processors, the one that is waited for may be on this very processor.
const TURNS: u32 = 64;

// What a worker's slot says.
/// There is nothing to do.
const IDLE: u8 = 0;
/// There is a loop; the worker may start on it and the caller may take it back.
const POSTED: u8 = 1;
/// The worker is in the loop; only the worker changes this.
const STARTED: u8 = 2;

/// A participant's place. Two cache lines, since the hardware fetches them in pairs.
#[repr(align(128))]
struct Slot {
    state: AtomicU8,
    asleep: AtomicBool,
    /// The next task of this participant's share.
    next: AtomicUsize,
    thread: OnceLock<Thread>,
}

struct Pool {
    /// Held by the thread whose loop it is.
    busy: AtomicBool,
    /// Workers that exist: the slots `1..=started`.
    started: AtomicUsize,
    /// Valid while a slot is posted or started.
    job: AtomicPtr<Job<'static>>,
    slots: [Slot; MOST],
}

struct Job<'a> {
    task: &'a (dyn Fn(usize, usize) + Sync),
    tasks: usize,
    participants: usize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

static POOL: Pool = Pool {
    busy: AtomicBool::new(false),
    started: AtomicUsize::new(0),
    job: AtomicPtr::new(core::ptr::null_mut()),
    slots: [const {
        Slot {
            state: AtomicU8::new(IDLE),
            asleep: AtomicBool::new(false),
            next: AtomicUsize::new(0),
            thread: OnceLock::new(),
        }
    }; MOST],
};

std::thread_local! {
    static OVERRIDE: Cell<Option<usize>> = const { Cell::new(None) };
    /// Whether this thread is in a task.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Sets a thread-local value until it is dropped.
struct Until<T: Copy + 'static>(&'static thread::LocalKey<Cell<T>>, T);

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
    let job = Job { task, tasks, participants, panic: Mutex::new(None) };
    POOL.share(&job);
    if let Some(payload) = job.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
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
            self.slots[me].thread.get_or_init(|| handle.thread().clone());
            started = me;
            self.started.store(started, Ordering::Relaxed);
        }
        started.min(wanted)
    }

    /// Runs `job` with its participants. When it returns, nobody refers to `job`.
    fn share(&self, job: &Job<'_>) {
        for (i, slot) in self.slots[..job.participants].iter().enumerate() {
            slot.next.store(job.share(i).start, Ordering::Relaxed);
        }
        // The lifetime ends below, after the last worker has left.
        self.job.store(core::ptr::from_ref(job).cast_mut().cast(), Ordering::Relaxed);
        let workers = &self.slots[1..job.participants];
        for slot in workers {
            // Sequentially consistent, as is what the worker does when it falls asleep: of "posted" and "asleep", each stored by one
            // side before it loads the other's, at least one is seen.
            slot.state.store(POSTED, Ordering::SeqCst);
            if slot.asleep.load(Ordering::SeqCst)
                && let Some(thread) = slot.thread.get()
            {
                thread.unpark();
            }
        }
        self.work(job, 0);
        for slot in workers {
            let taken_back = slot.state.compare_exchange(POSTED, IDLE, Ordering::Relaxed, Ordering::Relaxed);
            let mut turns = 0;
            while taken_back.is_err() && slot.state.load(Ordering::Acquire) != IDLE {
                wait(&mut turns);
            }
        }
    }

    /// Runs tasks as participant `me` until none is left.
    fn work(&self, job: &Job<'_>, me: usize) {
        let _inside = Until::set(&INSIDE, true);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            for victim in (me..job.participants).chain(0..me) {
                let end = job.share(victim).end;
                let next = &self.slots[victim].next;
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= end {
                        break;
                    }
                    (job.task)(me, i);
                }
            }
        }));
        if let Err(payload) = outcome {
            for slot in &self.slots[..job.participants] {
                // Past every end, and far from overflow for the few more times that it is counted up.
                slot.next.store(usize::MAX / 2, Ordering::Relaxed);
            }
            job.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
        }
    }

    /// A worker's life.
    fn serve(&self, me: usize) {
        let slot = &self.slots[me];
        loop {
            let (mut since, mut turns) = (Instant::now(), 0);
            while turns < TURNS || since.elapsed() < AWAKE {
                if slot.state.load(Ordering::Relaxed) == POSTED && self.start(me) {
                    (since, turns) = (Instant::now(), 0);
                }
                wait(&mut turns);
            }
            slot.asleep.store(true, Ordering::SeqCst);
            while slot.state.load(Ordering::SeqCst) != POSTED {
                thread::park();
            }
            slot.asleep.store(false, Ordering::Relaxed);
            self.start(me);
        }
    }

    /// Starts on what is posted for worker `me`, unless it has been taken back meanwhile.
    fn start(&self, me: usize) -> bool {
        let slot = &self.slots[me];
        if slot.state.compare_exchange(POSTED, STARTED, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        // SAFETY: the caller stored the job before it posted, and does not return before this slot is idle again.
        let job = unsafe { &*self.job.load(Ordering::Relaxed) };
        self.work(job, me);
        slot.state.store(IDLE, Ordering::Release);
        true
    }
}

/// One turn of waiting, counted in `turns`.
fn wait(turns: &mut u32) {
    if *turns < TURNS {
        *turns += 1;
        core::hint::spin_loop();
    } else {
        thread::yield_now();
    }
}

impl Job<'_> {
    /// The tasks that participant `i` starts with.
    fn share(&self, i: usize) -> core::ops::Range<usize> {
        let [start, end] = super::part(self.tasks, self.participants, i);
        start..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_every_task_once() {
        for tasks in [1, 2, 3, 7, 8, 100, usize::MAX] {
            for participants in [1, 2, 3, 7, 8] {
                let job = Job { task: &|_, _| {}, tasks, participants, panic: Mutex::new(None) };
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

//! How a loop is handed to workers and taken back.
//!
//! One loop at a time is posted. Each participant (the caller is number 0) owns a contiguous share of its tasks, so that in a steady
//! loop the same thread meets the same data, and takes from the others' shares when its own is done. The caller posts to the workers,
//! works itself, takes the loop back from workers that have not started, since they may still be asleep, and waits for the others.

use core::sync::atomic::Ordering;
use std::any::Any;
use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::platform::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, TURNS, Thread, Waiting, fence, inside, park, spin_loop, yield_now,
};
use super::tasks::part;

// What a worker's slot says.
/// There is nothing to do.
pub(super) const IDLE: u8 = 0;
/// There is a loop; the worker may start on it and the caller may take it back.
pub(super) const POSTED: u8 = 1;
/// The worker is in the loop; only the worker changes this.
const STARTED: u8 = 2;

/// A participant's place. Two cache lines, since the hardware fetches them in pairs.
#[repr(align(128))]
pub(super) struct Slot {
    pub state: AtomicU8,
    pub asleep: AtomicBool,
    /// The next task of this participant's share.
    pub next: AtomicUsize,
    pub thread: OnceLock<Thread>,
}

/// The places of `N` participants and the loop that they share.
pub(super) struct Handover<const N: usize> {
    /// Valid while a slot is posted or started.
    pub job: AtomicPtr<Job<'static>>,
    pub slots: [Slot; N],
}

/// A loop.
pub(super) struct Job<'a> {
    task: &'a (dyn Fn(usize, usize) + Sync),
    tasks: usize,
    participants: usize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl<'a> Job<'a> {
    pub fn new(task: &'a (dyn Fn(usize, usize) + Sync), tasks: usize, participants: usize) -> Self {
        Job { task, tasks, participants, panic: Mutex::new(None) }
    }

    /// The tasks that participant `i` starts with.
    pub fn share(&self, i: usize) -> core::ops::Range<usize> {
        let [start, end] = part(self.tasks, self.participants, i);
        start..end
    }

    /// What a task panicked with.
    pub fn into_panic(self) -> Option<Box<dyn Any + Send>> {
        self.panic.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<const N: usize> Handover<N> {
    /// Runs `job` with its participants. When it returns, nobody refers to `job`.
    pub fn share(&self, job: &Job<'_>) {
        self.post(job);
        self.work(job, 0);
        for slot in &self.slots[1..job.participants] {
            let taken_back = slot.state.compare_exchange(POSTED, IDLE, Ordering::Relaxed, Ordering::Relaxed);
            let mut turns = 0;
            while taken_back.is_err() && slot.state.load(Ordering::Acquire) != IDLE {
                wait(&mut turns);
            }
        }
    }

    /// Posts `job` to its workers, each of which may refer to it until its slot is idle again.
    pub fn post(&self, job: &Job<'_>) {
        for (i, slot) in self.slots[..job.participants].iter().enumerate() {
            slot.next.store(job.share(i).start, Ordering::Relaxed);
        }
        self.job.store(core::ptr::from_ref(job).cast_mut().cast(), Ordering::Relaxed);
        let workers = &self.slots[1..job.participants];
        for slot in workers {
            slot.state.store(POSTED, Ordering::Release);
        }
        // As the worker has one between what it does when it falls asleep: of "posted" and "asleep", each stored by one side before it
        // loads the other's, at least one is seen.
        fence(Ordering::SeqCst);
        for slot in workers {
            if slot.asleep.load(Ordering::Relaxed)
                && let Some(thread) = slot.thread.get()
            {
                thread.unpark();
            }
        }
    }

    /// Runs tasks as participant `me` until none is left.
    fn work(&self, job: &Job<'_>, me: usize) {
        let _inside = inside();
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

    /// A worker's turn: it takes part in loops while it is awake, and when it has slept, in the one that woke it.
    pub fn serve(&self, me: usize) {
        let slot = &self.slots[me];
        let (mut since, mut turns) = (Waiting::new(), 0);
        while turns < TURNS || !since.is_over() {
            if slot.state.load(Ordering::Relaxed) == POSTED && self.start(me) {
                (since, turns) = (Waiting::new(), 0);
            }
            wait(&mut turns);
        }
        slot.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        while slot.state.load(Ordering::Relaxed) != POSTED {
            park();
        }
        slot.asleep.store(false, Ordering::Relaxed);
        self.start(me);
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
        spin_loop();
    } else {
        yield_now();
    }
}

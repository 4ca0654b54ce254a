//! Loops that are handed to workers, in every order up to a number of preemptions.

use std::panic::panic_any;
use std::sync::OnceLock;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};
use loom::thread::{self, JoinHandle, yield_now};

use super::handover::{Handover, IDLE, Job, POSTED, Slot};

/// Runs a model; more preemptions than this find nothing more that the hand-over's few steps could do.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// A caller and its workers, `N` participants in all.
struct Workers<const N: usize> {
    handover: Arc<Handover<N>>,
    leave: Arc<AtomicBool>,
    threads: Vec<(JoinHandle<()>, Arc<AtomicBool>)>,
}

impl<const N: usize> Workers<N> {
    fn new() -> Self {
        let slot = |_| Slot {
            state: AtomicU8::new(IDLE),
            asleep: AtomicBool::new(false),
            next: AtomicUsize::new(0),
            thread: OnceLock::new(),
        };
        let slots = std::array::from_fn(slot);
        let handover = Arc::new(Handover { job: AtomicPtr::new(std::ptr::null_mut()), slots });
        let leave = Arc::new(AtomicBool::new(false));
        let spawn = |me: usize| {
            let (handover, leave, left) = (handover.clone(), leave.clone(), Arc::new(AtomicBool::new(false)));
            let say = left.clone();
            let thread = thread::spawn(move || {
                while !leave.load(Ordering::Relaxed) {
                    handover.serve(me);
                }
                say.store(true, Ordering::Release);
            });
            (thread, left)
        };
        let threads: Vec<_> = (1..N).map(spawn).collect();
        for (slot, (thread, _)) in handover.slots[1..].iter().zip(&threads) {
            slot.thread.get_or_init(|| thread.thread().clone());
        }
        Workers { handover, leave, threads }
    }

    /// Ends the workers, which in a program live as long as it: each leaves after the next loop that it takes part in.
    fn dismiss(self) {
        self.leave.store(true, Ordering::Relaxed);
        let nothing = Job::new(&|_, _| {}, 0, N);
        self.handover.job.store(std::ptr::from_ref(&nothing).cast_mut().cast(), Ordering::Relaxed);
        for (slot, (thread, left)) in self.handover.slots[1..].iter().zip(self.threads) {
            while !left.load(Ordering::Acquire) {
                if slot.state.load(Ordering::Acquire) == IDLE {
                    slot.state.store(POSTED, Ordering::SeqCst);
                    thread.thread().unpark();
                }
                yield_now();
            }
            thread.join().expect("a worker does not panic");
        }
    }
}

/// A number for each task, which loom sees touched: two tasks at once, or the caller before a task has ended, fail the model.
struct Counts(Vec<UnsafeCell<usize>>);

// SAFETY: every access is one that loom checks.
unsafe impl Sync for Counts {}

impl Counts {
    fn new(tasks: usize) -> Self {
        Counts((0..tasks).map(|_| UnsafeCell::new(0)).collect())
    }

    fn add(&self, task: usize) {
        // SAFETY: the pointer is the cell's, and loom fails where another access is not ordered against this one.
        self.0[task].with_mut(|count| unsafe { *count += 1 });
    }

    fn get(&self) -> Vec<usize> {
        // SAFETY: as in `add`.
        self.0.iter().map(|count| count.with(|count| unsafe { *count })).collect()
    }
}

/// Hands loops of so many tasks to the workers, one after the other.
fn loops<const N: usize>(loops: &[usize]) {
    let workers = Workers::<N>::new();
    for &tasks in loops {
        let counts = Counts::new(tasks);
        let task = |_: usize, i: usize| counts.add(i);
        workers.handover.share(&Job::new(&task, tasks, N));
        assert_eq!(counts.get(), vec![1; tasks]);
    }
    workers.dismiss();
}

#[test]
fn every_task_runs_once_and_has_ended_when_the_loop_returns() {
    check(3, || loops::<2>(&[3]));
}

/// The worker may be asleep, on its way to sleep, or still where the first loop was taken back.
#[test]
fn a_loop_follows_another() {
    check(3, || loops::<2>(&[2, 2]));
}

/// A worker that falls asleep while it is posted to is woken: here the caller does nothing itself and takes nothing back, and a wake-up
/// that is lost leaves both asleep.
#[test]
fn a_worker_that_falls_asleep_is_woken() {
    check(3, || {
        let workers = Workers::<2>::new();
        let (caller, done) = (thread::current(), AtomicBool::new(false));
        let task = |_: usize, _: usize| {
            done.store(true, Ordering::Release);
            caller.unpark();
        };
        let job = Job::new(&task, 1, 2);
        workers.handover.post(&job);
        while !done.load(Ordering::Acquire) {
            thread::park();
        }
        while workers.handover.slots[1].state.load(Ordering::Acquire) != IDLE {
            yield_now();
        }
        workers.dismiss();
    });
}

#[test]
fn two_workers_take_from_each_other() {
    check(2, || loops::<3>(&[3]));
}

#[test]
fn a_panic_reaches_the_caller_and_no_worker_is_left_in_the_loop() {
    check(2, || {
        let workers = Workers::<2>::new();
        let counts = Counts::new(2);
        let task = |_: usize, i: usize| {
            counts.add(i);
            if i == 0 {
                panic_any("the first task");
            }
        };
        let job = Job::new(&task, 2, 2);
        workers.handover.share(&job);
        let payload = job.into_panic().expect("the first task always runs");
        assert_eq!(payload.downcast_ref(), Some(&"the first task"));
        assert!(matches!(counts.get()[..], [1, 0 | 1]));
        workers.dismiss();
    });
}

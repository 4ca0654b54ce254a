//! loom's counterparts of what the hand-over takes from the standard library.

pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, fence};
pub use loom::thread::{Thread, park, yield_now};

/// A worker looks once and then falls asleep: in a model each further turn only repeats what one has shown.
pub const TURNS: u32 = 1;

/// A model has no clock.
pub struct Waiting;

impl Waiting {
    pub fn new() -> Self {
        Waiting
    }

    pub fn is_over(&self) -> bool {
        true
    }
}

/// Loops within tasks are no part of the models.
pub struct Inside;

pub fn inside() -> Inside {
    Inside
}

/// Nothing: loom takes a thread that yields for one that has seen all there was, and would not try what a worker misses on its way to
/// sleep. What goes on waiting yields ([`yield_now`]) from the next turn on.
pub fn spin_loop() {}

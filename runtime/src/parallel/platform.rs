//! What the hand-over of a loop takes from the standard library, in one place: `tests/loom` compiles the same hand-over with loom's
//! counterparts of these, and runs it in every order that its atomics allow.

use core::time::Duration;
use std::time::Instant;

pub(super) use core::hint::spin_loop;
pub(super) use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, fence};
pub(super) use std::thread::{Thread, park, yield_now};

pub(super) use super::pool::inside;

/// Turns of waiting, of some 15 to 50 ns each, after which a waiting thread offers its processor to others at every further turn. Where
/// there are more threads than processors, the one that is waited for may be on this very processor.
pub(super) const TURNS: u32 = 64;

/// How long a worker waits awake for the next loop: longer than what lies between two layers of a small network, some ten
/// microseconds; waking a sleeping worker takes some fifty.
const AWAKE: Duration = Duration::from_micros(50);

/// Since when a worker has been waiting.
pub(super) struct Waiting(Instant);

impl Waiting {
    pub fn new() -> Self {
        Waiting(Instant::now())
    }

    /// Whether it has waited long enough to fall asleep.
    pub fn is_over(&self) -> bool {
        self.0.elapsed() >= AWAKE
    }
}

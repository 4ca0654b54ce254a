//! A fork-join pool of threads for loops whose turns are independent.
//!
//! Not a work-stealing pool for everything: one loop runs at a time, handing it out takes about a microsecond, and a steady loop
//! allocates nothing. A call from within a task, or while another thread's loop has the pool, runs where it is.
//!
//! **Results never depend on the number of threads.** Whoever writes a kernel cuts sums by sizes alone: into which partial sums, and the
//! order in which these are added afterwards, may depend on lengths but not on [`threads`], and no task reads what another writes. How
//! many whole sums a task computes may depend on it.
//!
//! Denormals are not flushed to zero, although they slow a loop some twentyfold: the compiler assumes the default floating-point
//! environment, and a worker that differed from its caller would give results that depend on who ran a task.

mod disjoint;
#[cfg(feature = "std")]
mod handover;
mod loops;
#[cfg(feature = "std")]
mod platform;
#[cfg(feature = "std")]
mod pool;
mod tasks;
#[cfg(all(test, feature = "std"))]
mod tests;

pub use disjoint::Disjoint;
pub use loops::{
    for_each, for_each_chunk, for_each_chunk_scratch, for_each_chunk2, for_each_chunk3, for_each_scratch,
    for_each_worker,
};
#[cfg(feature = "std")]
pub use pool::{threads, with_threads};
pub(crate) use tasks::{items_per_task, part, tasks};

/// How many threads a loop may use: one, without the feature `std`.
#[cfg(not(feature = "std"))]
pub fn threads() -> usize {
    1
}

//! Loops whose turns several threads share: over tasks, and over chunks of slices.

use core::ops::Range;

use super::disjoint::Disjoint;
#[cfg(feature = "std")]
use super::pool;
use super::threads;

/// Calls `f(worker, i)` for every task `i` in `0..tasks`, in any order, on several threads. `worker < threads()` is the same for no two
/// tasks that run at once. Returns when all are done; a task's panic is passed on (other tasks may then not have run).
pub fn for_each_worker(tasks: usize, f: impl Fn(usize, usize) + Sync) {
    #[cfg(feature = "std")]
    pool::run(tasks, &f);
    #[cfg(not(feature = "std"))]
    (0..tasks).for_each(|i| f(0, i));
}

/// Calls `f(i)` for every task `i` in `0..tasks`; see [`for_each_worker`].
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// let sum = AtomicUsize::new(0);
/// castnet::parallel::for_each(10, |i| { sum.fetch_add(i, Ordering::Relaxed); });
/// assert_eq!(sum.into_inner(), 45);
/// ```
pub fn for_each(tasks: usize, f: impl Fn(usize) + Sync) {
    for_each_worker(tasks, |_, i| f(i));
}

/// Calls `f(scratch, i)` for every task, with `each` elements of `scratch` that no other task uses meanwhile; what an earlier task left
/// there is still in them.
///
/// # Panics
/// If `scratch` is shorter than `each * min(tasks, threads())`.
pub fn for_each_scratch<T: Send>(scratch: &mut [T], each: usize, tasks: usize, f: impl Fn(&mut [T], usize) + Sync) {
    assert!(scratch.len() >= each * tasks.min(threads()), "scratch memory for fewer threads than may run");
    let scratch = Disjoint::new(scratch);
    for_each_worker(tasks, |worker, i| {
        // SAFETY: no two tasks with the same worker run at once, and there are at most min(tasks, threads()) workers.
        f(unsafe { scratch.slice(worker * each..(worker + 1) * each) }, i);
    });
}

/// The `i`-th of the pieces of `len` elements that `total` elements fall into; the last may be shorter.
fn piece(i: usize, len: usize, total: usize) -> Range<usize> {
    i * len..((i + 1) * len).min(total)
}

/// Into how many pieces of `len` elements `total` elements fall.
fn chunks(total: usize, len: usize) -> usize {
    if total == 0 { 0 } else { total.div_ceil(len) }
}

/// Calls `f(i, chunk)` for chunks of `len` elements of `a`, the last of which may be shorter.
///
/// # Panics
/// If `len` is zero and `a` is not empty.
pub fn for_each_chunk<T: Send>(a: &mut [T], len: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let total = a.len();
    if total == 0 {
        return;
    }
    let a = Disjoint::new(a);
    for_each(total.div_ceil(len), |i| {
        // SAFETY: the pieces do not overlap, and each is asked for once.
        f(i, unsafe { a.slice(piece(i, len, total)) });
    });
}

/// Calls `f(i, chunk_a, chunk_b)` for chunks of `len_a` elements of `a` beside chunks of `len_b` elements of `b`.
///
/// # Panics
/// If there are more chunks of the one than of the other.
pub fn for_each_chunk2<T: Send, U: Send>(
    a: &mut [T],
    len_a: usize,
    b: &mut [U],
    len_b: usize,
    f: impl Fn(usize, &mut [T], &mut [U]) + Sync,
) {
    let tasks = chunks(a.len(), len_a);
    assert_eq!(tasks, chunks(b.len(), len_b), "unequal numbers of chunks");
    let (total_a, total_b) = (a.len(), b.len());
    let (a, b) = (Disjoint::new(a), Disjoint::new(b));
    for_each(tasks, |i| {
        // SAFETY: the pieces do not overlap, and each is asked for once.
        unsafe { f(i, a.slice(piece(i, len_a, total_a)), b.slice(piece(i, len_b, total_b))) }
    });
}

/// Calls `f(i, chunk_a, chunk_b, chunk_c)` for chunks of three slices, as [`for_each_chunk2`].
///
/// # Panics
/// If there are more chunks of one than of another.
#[allow(clippy::too_many_arguments)]
pub fn for_each_chunk3<T: Send, U: Send, V: Send>(
    a: &mut [T],
    len_a: usize,
    b: &mut [U],
    len_b: usize,
    c: &mut [V],
    len_c: usize,
    f: impl Fn(usize, &mut [T], &mut [U], &mut [V]) + Sync,
) {
    let tasks = chunks(a.len(), len_a);
    assert_eq!(tasks, chunks(b.len(), len_b), "unequal numbers of chunks");
    assert_eq!(tasks, chunks(c.len(), len_c), "unequal numbers of chunks");
    let (total_a, total_b, total_c) = (a.len(), b.len(), c.len());
    let (a, b, c) = (Disjoint::new(a), Disjoint::new(b), Disjoint::new(c));
    for_each(tasks, |i| {
        // SAFETY: the pieces do not overlap, and each is asked for once.
        unsafe {
            f(
                i,
                a.slice(piece(i, len_a, total_a)),
                b.slice(piece(i, len_b, total_b)),
                c.slice(piece(i, len_c, total_c)),
            )
        }
    });
}

/// Calls `f(i, chunk, scratch)` for chunks of `len` elements of `a`, with working memory as [`for_each_scratch`] hands it out.
///
/// # Panics
/// If `len` is zero and `a` is not empty, or if `scratch` is shorter than `each * min(chunks, threads())`.
pub fn for_each_chunk_scratch<T: Send, U: Send>(
    a: &mut [T],
    len: usize,
    scratch: &mut [U],
    each: usize,
    f: impl Fn(usize, &mut [T], &mut [U]) + Sync,
) {
    let total = a.len();
    let a = Disjoint::new(a);
    for_each_scratch(scratch, each, chunks(total, len), |scratch, i| {
        // SAFETY: the pieces do not overlap, and each is asked for once.
        f(i, unsafe { a.slice(piece(i, len, total)) }, scratch);
    });
}

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

#[cfg(feature = "std")]
mod pool;

use core::marker::PhantomData;
use core::ops::Range;

#[cfg(feature = "std")]
pub use pool::{threads, with_threads};

/// How many threads a loop may use: one, without the feature `std`.
#[cfg(not(feature = "std"))]
pub fn threads() -> usize {
    1
}

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

/// The `index`-th of `pieces` parts of `len` elements, as `[start, end]`: it starts at `len * index / pieces`, computed without overflow,
/// so that lengths differ by at most one and the longer parts are spread evenly.
pub(crate) const fn part(len: usize, pieces: usize, index: usize) -> [usize; 2] {
    let (each, more) = (len / pieces, len % pieces);
    [index * each + index * more / pieces, (index + 1) * each + (index + 1) * more / pieces]
}

/// The `i`-th of the pieces of `len` elements that `total` elements fall into; the last may be shorter.
fn piece(i: usize, len: usize, total: usize) -> Range<usize> {
    i * len..((i + 1) * len).min(total)
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

/// How many of `items` that move `floats` floats each a task should take, for work that is bound by memory rather than by arithmetic.
///
/// A task moves 2^15 floats: 128 KiB, some four microseconds at 40 GB/s, beside which a fork of one microsecond is small. There are at
/// most 256 tasks, which is plenty to share out evenly.
pub(crate) fn items_per_task(items: usize, floats: usize) -> usize {
    (1usize << 15).div_ceil(floats.max(1)).max(items.div_ceil(256))
}

/// Into how many tasks to cut what `most` tasks would be worth their handing out (5 µs each, say).
///
/// Several for each thread even out what other programs take of a processor. Where they are short, though, a thread that begins a
/// microsecond late loses some of them to another, which then owns cache lines that in the next layer the first will want: so there are
/// four for each thread where these take some 20 µs, and else two.
pub(crate) fn tasks(most: usize) -> usize {
    match threads() {
        1 => 1,
        threads if most >= 16 * threads => 4 * threads,
        threads => most.clamp(1, 2 * threads),
    }
}

fn chunks(total: usize, len: usize) -> usize {
    if total == 0 { 0 } else { total.div_ceil(len) }
}

/// A mutable slice of which several tasks write parts that do not overlap, where chunks are not enough: columns, channel blocks.
#[derive(Clone, Copy)]
pub struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: it hands out mutable parts alone, whose not overlapping the callers of its unsafe functions vouch for.
unsafe impl<T: Send> Send for Disjoint<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    /// Takes the slice for as long as parts may be written.
    pub fn new(slice: &'a mut [T]) -> Self {
        Disjoint { start: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements of `range`.
    ///
    /// # Safety
    /// While the part is used, nobody uses an overlapping one.
    ///
    /// # Panics
    /// If `range` is not within the slice.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "a part outside of the slice");
        // SAFETY: within the slice, and the caller promises that nobody else uses it.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(range.start), range.end - range.start) }
    }

    /// The first element's address, for kernels that write by pointer: what they write must be within the slice and be written by one
    /// task alone.
    #[inline]
    pub fn as_ptr(&self) -> *mut T {
        self.start
    }
}

#[cfg(all(test, feature = "std"))]
mod tests;

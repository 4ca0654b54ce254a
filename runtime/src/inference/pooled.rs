//! A pool of 2x2 pixels as the last step of a convolution: what it takes is made in working memory and is still in the first cache.

use super::blocked::BLOCK;
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// What becomes of 2x2 pixels, windows being two pixels apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool2x2 {
    /// The largest; NaN where there is one (`torch.nn.MaxPool2d`).
    Max,
    /// The mean (`torch.nn.AvgPool2d`).
    Mean,
}

impl Pool2x2 {
    /// Of two partial results, the result.
    #[inline(always)]
    fn combine<S: Simd>(self, simd: S, a: S::V, b: S::V) -> S::V {
        match self {
            Pool2x2::Max => simd.max_nan(a, b),
            Pool2x2::Mean => simd.add(a, b),
        }
    }

    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, sum: S::V) -> S::V {
        match self {
            Pool2x2::Max => sum,
            Pool2x2::Mean => simd.mul(sum, simd.splat(0.25)),
        }
    }
}

/// How many pixels of a convolution, across or down, make one of what follows it.
pub(super) const fn factor(pool: Option<Pool2x2>) -> usize {
    if pool.is_some() { 2 } else { 1 }
}

/// Rows of one plane, or of one block of 16 channels, to be pooled. Distances in floats.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub from: *const f32,
    /// From a row to the next; two make a row of the output.
    pub from_row: usize,
    pub to: *mut f32,
    pub to_row: usize,
    /// Rows and columns of the output.
    pub size: [usize; 2],
}

/// Pools a plane whose columns lie side by side.
///
/// # Safety
/// The output's rows may be written, by nobody else meanwhile, and twice as many rows and columns read; of each row as many floats more
/// as make its output's columns a multiple of 16.
pub(super) unsafe fn planar(isa: Isa, pool: Pool2x2, rows: Rows) {
    match pool {
        // SAFETY: the caller's promise.
        Pool2x2::Max => dispatch(isa, unsafe { Planar::<true>::new(rows) }),
        // SAFETY: as above.
        Pool2x2::Mean => dispatch(isa, unsafe { Planar::<false>::new(rows) }),
    }
}

/// Pools a block of 16 channels, whose pixels lie 16 floats apart.
///
/// # Safety
/// The output's pixels may be written, by nobody else meanwhile, and twice as many rows and columns read.
pub(super) unsafe fn blocked(isa: Isa, pool: Pool2x2, rows: Rows) {
    match pool {
        // SAFETY: the caller's promise.
        Pool2x2::Max => dispatch(isa, unsafe { Blocks::<true>::new(rows) }),
        // SAFETY: as above.
        Pool2x2::Mean => dispatch(isa, unsafe { Blocks::<false>::new(rows) }),
    }
}

const fn pool(max: bool) -> Pool2x2 {
    if max { Pool2x2::Max } else { Pool2x2::Mean }
}

struct Planar<const MAX: bool>(Rows);

impl<const MAX: bool> Planar<MAX> {
    /// # Safety
    /// As [`planar`].
    unsafe fn new(rows: Rows) -> Self {
        Planar(rows)
    }
}

impl<const MAX: bool> Kernel for Planar<MAX> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Rows { from, from_row, to, to_row, size: [rows, width] } = self.0;
        let pool = pool(MAX);
        for row in 0..rows {
            for column in (0..width).step_by(S::LANES) {
                // SAFETY: the promise made to `new`.
                unsafe {
                    let upper = from.add(2 * row * from_row + 2 * column);
                    let lower = upper.add(from_row);
                    let down =
                        |at: usize| pool.combine(simd, simd.load_ptr(upper.add(at)), simd.load_ptr(lower.add(at)));
                    let (even, odd) = simd.deinterleave(down(0), down(S::LANES));
                    let y = pool.finish(simd, pool.combine(simd, even, odd));
                    let to = to.add(row * to_row + column);
                    if width - column >= S::LANES {
                        simd.store_ptr(y, to);
                    } else {
                        simd.store_ptr_partial(y, to, width - column);
                    }
                }
            }
        }
    }
}

struct Blocks<const MAX: bool>(Rows);

impl<const MAX: bool> Blocks<MAX> {
    /// # Safety
    /// As [`blocked`].
    unsafe fn new(rows: Rows) -> Self {
        Blocks(rows)
    }
}

impl<const MAX: bool> Kernel for Blocks<MAX> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Rows { from, from_row, to, to_row, size: [rows, width] } = self.0;
        let pool = pool(MAX);
        for row in 0..rows {
            for column in 0..width {
                for lane in (0..BLOCK).step_by(S::LANES) {
                    // SAFETY: the promise made to `new`.
                    unsafe {
                        let upper = from.add(2 * row * from_row + 2 * column * BLOCK + lane);
                        let lower = upper.add(from_row);
                        let down =
                            |at: usize| pool.combine(simd, simd.load_ptr(upper.add(at)), simd.load_ptr(lower.add(at)));
                        let y = pool.finish(simd, pool.combine(simd, down(0), down(BLOCK)));
                        simd.store_ptr(y, to.add(row * to_row + column * BLOCK + lane));
                    }
                }
            }
        }
    }
}

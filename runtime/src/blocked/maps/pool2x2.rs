//! A pool of 2x2 pixels as the last step of a convolution: what it takes is made in working memory and is still in the first cache.

pub use castnet_descriptors::Pool2x2;

use super::pooling::{Max, Mean, Pooling};
use crate::blocked::BLOCK;
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// How many pixels of a convolution, across or down, make one of what follows it.
pub(in crate::blocked) const fn factor(pool: Option<Pool2x2>) -> usize {
    if pool.is_some() { 2 } else { 1 }
}

/// PooledPairs of one plane, or of one block of 16 channels, to be pooled. Distances in floats.
#[derive(Clone, Copy)]
pub(in crate::blocked) struct PooledPairs {
    pub from: *const f32,
    /// From a row to the next; two make a row of the output.
    pub from_row: usize,
    pub to: *mut f32,
    pub to_row: usize,
    /// PooledPairs and columns of the output.
    pub size: [usize; 2],
}

/// Pools a plane whose columns lie side by side.
///
/// # Safety
/// The output's rows may be written, by nobody else meanwhile, and twice as many rows and columns read; of each row as many floats more
/// as make its output's columns a multiple of 16.
pub(in crate::blocked) unsafe fn planar(isa: Isa, pool: Pool2x2, rows: PooledPairs) {
    match pool {
        // SAFETY: the caller's promise.
        Pool2x2::Max => dispatch(isa, unsafe { Planar::new(Max, rows) }),
        // SAFETY: as above.
        Pool2x2::Mean => dispatch(isa, unsafe { Planar::new(Mean, rows) }),
    }
}

/// Pools a block of 16 channels, whose pixels lie 16 floats apart.
///
/// # Safety
/// The output's pixels may be written, by nobody else meanwhile, and twice as many rows and columns read.
pub(in crate::blocked) unsafe fn blocked(isa: Isa, pool: Pool2x2, rows: PooledPairs) {
    match pool {
        // SAFETY: the caller's promise.
        Pool2x2::Max => dispatch(isa, unsafe { Blocks::new(Max, rows) }),
        // SAFETY: as above.
        Pool2x2::Mean => dispatch(isa, unsafe { Blocks::new(Mean, rows) }),
    }
}

/// The inverse of the divisor.
const SCALE: f32 = 0.25;

struct Planar<R>(R, PooledPairs);

impl<R> Planar<R> {
    /// # Safety
    /// As [`planar`].
    unsafe fn new(reduction: R, rows: PooledPairs) -> Self {
        Planar(reduction, rows)
    }
}

impl<R: Pooling> Kernel for Planar<R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (reduction, PooledPairs { from, from_row, to, to_row, size: [rows, width] }) = (self.0, self.1);
        for row in 0..rows {
            for column in (0..width).step_by(S::LANES) {
                // SAFETY: the promise made to `new`.
                unsafe {
                    let upper = from.add(2 * row * from_row + 2 * column);
                    let lower = upper.add(from_row);
                    let down =
                        |at: usize| reduction.step(simd, simd.load_ptr(upper.add(at)), simd.load_ptr(lower.add(at)));
                    let (even, odd) = simd.deinterleave(down(0), down(S::LANES));
                    let y = reduction.finish(simd, reduction.step(simd, even, odd), SCALE);
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

struct Blocks<R>(R, PooledPairs);

impl<R> Blocks<R> {
    /// # Safety
    /// As [`blocked`].
    unsafe fn new(reduction: R, rows: PooledPairs) -> Self {
        Blocks(reduction, rows)
    }
}

impl<R: Pooling> Kernel for Blocks<R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (reduction, PooledPairs { from, from_row, to, to_row, size: [rows, width] }) = (self.0, self.1);
        for row in 0..rows {
            for column in 0..width {
                for lane in (0..BLOCK).step_by(S::LANES) {
                    // SAFETY: the promise made to `new`.
                    unsafe {
                        let upper = from.add(2 * row * from_row + 2 * column * BLOCK + lane);
                        let lower = upper.add(from_row);
                        let down = |at: usize| {
                            reduction.step(simd, simd.load_ptr(upper.add(at)), simd.load_ptr(lower.add(at)))
                        };
                        let y = reduction.finish(simd, reduction.step(simd, down(0), down(BLOCK)), SCALE);
                        simd.store_ptr(y, to.add(row * to_row + column * BLOCK + lane));
                    }
                }
            }
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn nan_is_the_result_where_there_is_one() {
        // Two rows of two columns: the NaN in each of the four places, in the last of three windows or in the last of 16 channels.
        for &isa in crate::kernels::testing::isas() {
            for pool in [Pool2x2::Max, Pool2x2::Mean] {
                for place in 0..4 {
                    let (row, column) = (place / 2, place % 2);
                    let mut map = [1.0f32; 2 * 64];
                    map[row * 64 + 4 + column] = f32::NAN;
                    let mut output = [0.0; 3];
                    let rows = PooledPairs {
                        from: map.as_ptr(),
                        from_row: 64,
                        to: output.as_mut_ptr(),
                        to_row: 3,
                        size: [1, 3],
                    };
                    // SAFETY: two rows of 64 floats, of which a vector of windows reads 32, and three outputs.
                    unsafe { planar(isa, pool, rows) };
                    assert!(output[..2] == [1.0; 2] && output[2].is_nan(), "{isa} {pool:?} {place}: {output:?}");

                    let mut map = [1.0f32; 4 * BLOCK];
                    map[(2 * row + column) * BLOCK + BLOCK - 1] = f32::NAN;
                    let mut output = [0.0; BLOCK];
                    let (from, to) = (map.as_ptr(), output.as_mut_ptr());
                    let rows = PooledPairs { from, from_row: 2 * BLOCK, to, to_row: BLOCK, size: [1, 1] };
                    // SAFETY: two rows of two pixels, and one output.
                    unsafe { blocked(isa, pool, rows) };
                    assert!(output[..BLOCK - 1] == [1.0; BLOCK - 1], "{isa} {pool:?} {place}: {output:?}");
                    assert!(output[BLOCK - 1].is_nan(), "{isa} {pool:?} {place}: {output:?}");
                }
            }
        }
    }
}

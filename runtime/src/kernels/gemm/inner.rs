//! Products of few rows, as inner products: both matrices are read along the reduction, where they lie, and nothing is packed.

// Arrays of registers are indexed by loops that unroll: an iterator over one would be no clearer, two arrays are mostly involved.
#![allow(clippy::needless_range_loop)]

use super::Matrix;
use crate::parallel::{self, Disjoint};
use crate::simd::{BLOCK, Isa, Kernel, Simd, dispatch};

/// Elements of the reduction at a time: 64 rows of 8 KiB stay in the L2 cache while the right matrix passes.
const SLICE: usize = 2048;
/// Products that one task should have at least: some 4 microseconds.
const GRAIN: usize = 256 * 1024;

/// Whether inner products pay. They cost about 35 cycles per 16 results for the sums across lanes; packing the right matrix about 0.3
/// cycles per element: k * 0.3 / m per result.
pub(super) fn pays(m: usize, k: usize) -> bool {
    m <= 64 && m * 8 <= k
}

/// Writes `c` `[m, n]`: rows of `a` times columns of `b`, each in one piece in memory, plus `bias`.
pub(super) fn product(isa: Isa, [m, n, k]: [usize; 3], a: Matrix, b: Matrix, bias: Option<&[f32]>, c: &mut [f32]) {
    // Columns come 16 at a time, so that tiles are the same for any number of tasks.
    let blocks = n.div_ceil(BLOCK);
    let tasks = (4 * parallel::threads()).min((m * n * k).div_ceil(GRAIN)).clamp(1, blocks);
    let c = Disjoint::new(c);
    parallel::for_each(tasks, |task| {
        let cols = blocks * task / tasks * BLOCK..(blocks * (task + 1) / tasks * BLOCK).min(n);
        dispatch(isa, Columns { m, n, k, a, b, bias, cols, c: &c });
    });
}

struct Columns<'a> {
    m: usize,
    n: usize,
    k: usize,
    a: Matrix<'a>,
    b: Matrix<'a>,
    bias: Option<&'a [f32]>,
    cols: core::ops::Range<usize>,
    c: &'a Disjoint<'a, f32>,
}

impl Kernel for Columns<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // As many accumulators as lanes, so that one vector takes their sums.
        // SAFETY: these columns of the result are this task's.
        unsafe {
            match (S::LANES, self.m) {
                (16, 1) => self.tiles::<S, 1, 16>(simd),
                (16, 2) => self.tiles::<S, 2, 8>(simd),
                (16, _) => self.tiles::<S, 4, 4>(simd),
                (8, 1) => self.tiles::<S, 1, 8>(simd),
                (8, _) => self.tiles::<S, 2, 4>(simd),
                (_, 1) => self.tiles::<S, 1, 4>(simd),
                _ => self.tiles::<S, 2, 2>(simd),
            }
        }
    }
}

impl Columns<'_> {
    /// Tiles of `M` rows x `N` columns, `M * N == LANES`.
    ///
    /// # Safety
    /// Nobody else uses these columns of the result.
    #[inline(always)]
    unsafe fn tiles<S: Simd, const M: usize, const N: usize>(self, simd: S) {
        let Columns { m, n, k, a, b, bias, cols, c } = self;
        for start in (0..k).step_by(SLICE) {
            let depth = SLICE.min(k - start);
            let whole = depth / S::LANES * S::LANES;
            for col in cols.clone().step_by(N) {
                let right: [*const f32; N] =
                    core::array::from_fn(|j| b.data[(col + j).min(n - 1) * b.col + start..].as_ptr());
                for row in (0..m).step_by(M) {
                    let left: [*const f32; M] =
                        core::array::from_fn(|i| a.data[(row + i).min(m - 1) * a.row + start..].as_ptr());
                    let mut acc = [[simd.zero(); N]; M];
                    for e in (0..whole).step_by(S::LANES) {
                        let mut x = [simd.zero(); M];
                        for i in 0..M {
                            // SAFETY: `depth` elements of each row from `start` on.
                            x[i] = unsafe { simd.load_ptr(left[i].add(e)) };
                        }
                        for j in 0..N {
                            // SAFETY: as above, of each column.
                            let w = unsafe { simd.load_ptr(right[j].add(e)) };
                            for i in 0..M {
                                acc[i][j] = simd.mul_add(x[i], w, acc[i][j]);
                            }
                        }
                    }
                    if whole < depth {
                        let mut x = [simd.zero(); M];
                        for i in 0..M {
                            // SAFETY: as above.
                            x[i] = unsafe { simd.load_ptr_partial(left[i].add(whole), depth - whole) };
                        }
                        for j in 0..N {
                            // SAFETY: as above.
                            let w = unsafe { simd.load_ptr_partial(right[j].add(whole), depth - whole) };
                            for i in 0..M {
                                acc[i][j] = simd.mul_add(x[i], w, acc[i][j]);
                            }
                        }
                    }
                    let mut sums = [0.0; BLOCK];
                    simd.store(sum_each(simd, acc), &mut sums);
                    for (i, sums) in sums.chunks_exact(N).enumerate().take(M.min(m - row)) {
                        let count = N.min(cols.end - col);
                        let at = (row + i) * n + col;
                        // SAFETY: this task's columns.
                        let to = unsafe { c.slice(at..at + count) };
                        for (j, (to, sum)) in to.iter_mut().zip(sums).enumerate() {
                            let before = if start > 0 { *to } else { bias.map_or(0.0, |bias| bias[col + j]) };
                            *to = before + sum;
                        }
                    }
                }
            }
        }
    }
}

/// The sum of the lanes of each of `LANES` vectors, as one vector.
#[inline(always)]
fn sum_each<S: Simd, const M: usize, const N: usize>(simd: S, acc: [[S::V; N]; M]) -> S::V {
    let mut v = [simd.zero(); BLOCK];
    for i in 0..M {
        for j in 0..N {
            v[i * N + j] = acc[i][j];
        }
    }
    // Interleaving vectors i and i + half, and adding the two halves of it, leaves half as many vectors with both in turn; in the end the
    // lanes stand in order.
    if S::LANES > 8 {
        halve::<S, 8>(simd, &mut v);
    }
    if S::LANES > 4 {
        halve::<S, 4>(simd, &mut v);
    }
    halve::<S, 2>(simd, &mut v);
    halve::<S, 1>(simd, &mut v);
    v[0]
}

#[inline(always)]
fn halve<S: Simd, const HALF: usize>(simd: S, v: &mut [S::V; BLOCK]) {
    for i in 0..HALF {
        let (low, high) = simd.interleave(v[i], v[i + HALF]);
        v[i] = simd.add(low, high);
    }
}

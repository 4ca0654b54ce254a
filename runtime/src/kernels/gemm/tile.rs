//! The register tile of a matrix product: `M` rows x `N` vectors of columns.

// Arrays of registers are indexed by loops that unroll: an iterator over one would be no clearer, two arrays are mostly involved.
#![allow(clippy::needless_range_loop)]

use crate::kernels::tiles::Tiled;
use crate::simd::Simd;

/// Tiles of rows times one panel of columns.
pub(super) struct Product<'a> {
    /// Elements of the reduction.
    pub depth: usize,
    /// `[tile][element][row in tile]`
    pub left: &'a [f32],
    /// The panel's first element, and from one row to the next.
    pub right: *const f32,
    pub right_row: usize,
    /// Rows and columns of the result: the last tile may have fewer rows, the panel fewer columns.
    pub rows: usize,
    pub cols: usize,
    /// One per column, to begin with.
    pub bias: Option<&'a [f32]>,
    /// Whether to begin with what is there.
    pub add: bool,
    /// The result's first element, and from one row to the next.
    pub c: *mut f32,
    pub c_row: usize,
}

/// Its promise: the right matrix holds `depth` rows of whole panels; nobody else uses these rows and columns of the result.
impl Tiled for &Product<'_> {
    const SHAPES_32: &'static [(usize, usize)] = &[(24, 1), (12, 2), (8, 3), (6, 4), (4, 6), (3, 8), (2, 10), (1, 12)];
    const SHAPES_16: &'static [(usize, usize)] = &[(12, 1), (6, 2), (4, 3), (3, 4), (2, 5), (1, 8)];
    const LOADS: usize = 1;

    #[inline(always)]
    unsafe fn run<S: Simd, const M: usize, const N: usize>(self, simd: S) {
        // Columns of each vector.
        let cols: [usize; N] = core::array::from_fn(|j| self.cols.saturating_sub(j * S::LANES).min(S::LANES));
        for tile in 0..self.rows.div_ceil(M) {
            let rows = M.min(self.rows - tile * M);
            let mut left = self.left[tile * M * self.depth..][..M * self.depth].as_ptr();
            let mut right = self.right;
            // SAFETY: the tile's first element.
            let c = unsafe { self.c.add(tile * M * self.c_row) };
            let mut acc = [[simd.zero(); N]; M];
            if self.add {
                for i in 0..M {
                    for j in 0..N {
                        if i < rows {
                            // SAFETY: the rows and columns of the result that there are.
                            acc[i][j] = unsafe {
                                simd.load_ptr_partial(c.wrapping_add(i * self.c_row + j * S::LANES), cols[j])
                            };
                        }
                    }
                }
            } else if let Some(bias) = self.bias {
                for j in 0..N {
                    // SAFETY: a number per column.
                    let bias = unsafe { simd.load_ptr_partial(bias.as_ptr().wrapping_add(j * S::LANES), cols[j]) };
                    for i in 0..M {
                        acc[i][j] = bias;
                    }
                }
            }
            for _ in 0..self.depth {
                // SAFETY: `depth` rows of a whole panel, and as many columns of a whole tile; pointers go at most one past.
                unsafe {
                    let mut b = [simd.zero(); N];
                    for j in 0..N {
                        b[j] = simd.load_ptr(right.add(j * S::LANES));
                    }
                    for i in 0..M {
                        let a = simd.splat_ptr(left.add(i));
                        for j in 0..N {
                            acc[i][j] = simd.mul_add(a, b[j], acc[i][j]);
                        }
                    }
                    left = left.add(M);
                    right = right.wrapping_add(self.right_row);
                }
            }
            for i in 0..M {
                for j in 0..N {
                    if i < rows {
                        // SAFETY: the rows and columns of the result that there are.
                        unsafe {
                            simd.store_ptr_partial(acc[i][j], c.wrapping_add(i * self.c_row + j * S::LANES), cols[j]);
                        }
                    }
                }
            }
        }
    }
}

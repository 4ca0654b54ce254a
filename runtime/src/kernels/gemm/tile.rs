//! The register tile of a matrix product: `M` rows x `N` vectors of columns.

// Arrays of registers are indexed by loops that unroll: an iterator over one would be no clearer, two arrays are mostly involved.
#![allow(clippy::needless_range_loop)]

use crate::kernels::shapes::contains;
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// Tiles for 32 vector registers: `M * N` accumulators, `N` vectors of the right matrix and an element or two of the left. At least 8
/// accumulators, since an FMA takes 4 cycles and two start in each.
const SHAPES_32: [(usize, usize); 8] = [(24, 1), (12, 2), (8, 3), (6, 4), (4, 6), (3, 8), (2, 10), (1, 12)];
/// Tiles for 16 vector registers.
const SHAPES_16: [(usize, usize); 6] = [(12, 1), (6, 2), (4, 3), (3, 4), (2, 5), (1, 8)];

/// The tiles for so many registers.
const fn shapes(registers: usize) -> &'static [(usize, usize)] {
    if registers >= 32 { &SHAPES_32 } else { &SHAPES_16 }
}

/// The tile that does `rows` x `vectors` in the fewest cycles.
pub(super) fn best_shape(registers: usize, rows: usize, vectors: usize) -> (usize, usize) {
    let cycles = |&(m, n): &(usize, usize)| {
        // Two FMAs or two loads start in a cycle.
        rows.div_ceil(m) * vectors.div_ceil(n) * (m * n).max(m + n)
    };
    shapes(registers).iter().copied().min_by_key(cycles).unwrap_or((1, 8))
}

/// Lanes and registers of an instruction set.
pub(super) fn traits(isa: Isa) -> (usize, usize) {
    struct Traits;
    impl Kernel for Traits {
        type Output = (usize, usize);
        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> (usize, usize) {
            (S::LANES, S::REGISTERS)
        }
    }
    dispatch(isa, Traits)
}

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

/// Runs tiles of `shape`, one of those that [`best_shape`] returns.
///
/// # Safety
/// The right matrix holds `depth` rows of whole panels; nobody else uses these rows and columns of the result.
#[inline(always)]
pub(super) unsafe fn product<S: Simd>(_: S, shape: (usize, usize), job: &Product) {
    /// Only made here, under the caller's promises.
    struct Tile<'a, const M: usize, const N: usize>(&'a Product<'a>);
    impl<const M: usize, const N: usize> Kernel for Tile<'_, M, N> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            if const { !contains(shapes(S::REGISTERS), (M, N)) } {
                unreachable!("a tile that this instruction set has not");
            }
            // SAFETY: the caller's promises.
            unsafe { run::<S, M, N>(simd, self.0) }
        }
    }
    macro_rules! arms {
        ($($m:literal x $n:literal),*) => {
            match shape {
                // A function of its own for each shape, compiled for the instruction set.
                $(($m, $n) => dispatch(S::ISA, Tile::<$m, $n>(job)),)*
                _ => unreachable!("a tile that best_shape does not know"),
            }
        };
    }
    if S::REGISTERS >= 32 {
        arms!(24 x 1, 12 x 2, 8 x 3, 6 x 4, 4 x 6, 3 x 8, 2 x 10, 1 x 12)
    } else {
        arms!(12 x 1, 6 x 2, 4 x 3, 3 x 4, 2 x 5, 1 x 8)
    }
}

/// See [`product`].
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn run<S: Simd, const M: usize, const N: usize>(simd: S, job: &Product) {
    // Columns of each vector.
    let cols: [usize; N] = core::array::from_fn(|j| job.cols.saturating_sub(j * S::LANES).min(S::LANES));
    for tile in 0..job.rows.div_ceil(M) {
        let rows = M.min(job.rows - tile * M);
        let mut left = job.left[tile * M * job.depth..][..M * job.depth].as_ptr();
        let mut right = job.right;
        // SAFETY: the tile's first element.
        let c = unsafe { job.c.add(tile * M * job.c_row) };
        let mut acc = [[simd.zero(); N]; M];
        if job.add {
            for i in 0..M {
                for j in 0..N {
                    if i < rows {
                        // SAFETY: the rows and columns of the result that there are.
                        acc[i][j] =
                            unsafe { simd.load_ptr_partial(c.wrapping_add(i * job.c_row + j * S::LANES), cols[j]) };
                    }
                }
            }
        } else if let Some(bias) = job.bias {
            for j in 0..N {
                // SAFETY: a number per column.
                let bias = unsafe { simd.load_ptr_partial(bias.as_ptr().wrapping_add(j * S::LANES), cols[j]) };
                for i in 0..M {
                    acc[i][j] = bias;
                }
            }
        }
        for _ in 0..job.depth {
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
                right = right.wrapping_add(job.right_row);
            }
        }
        for i in 0..M {
            for j in 0..N {
                if i < rows {
                    // SAFETY: the rows and columns of the result that there are.
                    unsafe {
                        simd.store_ptr_partial(acc[i][j], c.wrapping_add(i * job.c_row + j * S::LANES), cols[j]);
                    }
                }
            }
        }
    }
}

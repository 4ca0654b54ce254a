//! The gradient of the weight as a sum of outer products: vectors of output channels times single input elements.
//!
//! For every pixel, the upstream gradient of `N` vectors of output channels (transposed beforehand, so that they are neighbours) times
//! the input elements that `M` elements of the kernel meet there.

// Arrays of registers are indexed by loops that unroll: an iterator over one would be no clearer, two arrays are mostly involved.
#![allow(clippy::needless_range_loop)]

use crate::kernels::shapes::contains;
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// Tiles for 32 and for 16 vector registers: `M` elements of the kernel x `N` vectors of output channels.
const SHAPES_32: [(usize, usize); 4] = [(24, 1), (12, 2), (8, 3), (6, 4)];
const SHAPES_16: [(usize, usize); 3] = [(12, 1), (6, 2), (4, 3)];

/// The tiles for so many registers.
const fn shapes(registers: usize) -> &'static [(usize, usize)] {
    if registers >= 32 { &SHAPES_32 } else { &SHAPES_16 }
}

/// The tile that does `depth` elements x `vectors` of output channels in the fewest cycles, and half of these cycles per pixel.
pub(super) fn best_shape(registers: usize, depth: usize, vectors: usize) -> ((usize, usize), usize) {
    let cycles = |&(m, n): &(usize, usize)| {
        // Two FMAs or two loads start in a cycle.
        depth.div_ceil(m) * vectors.div_ceil(n) * (m * n).max(m + n)
    };
    let best = shapes(registers).iter().min_by_key(|shape| cycles(shape)).unwrap_or(&(12, 1));
    (*best, cycles(best))
}

/// Runs of pixels, one per row: where both operands lie.
#[derive(Clone, Copy)]
pub(super) struct Runs {
    /// Samples, and rows of each.
    pub samples: usize,
    pub rows: usize,
    /// Pixels of a row.
    pub pixels: usize,
    /// In the planes, from one sample to the next and from one row to the next. Pixels are neighbours.
    pub sample: usize,
    pub row: usize,
}

/// Tiles of kernel elements for one panel of output channels.
pub(super) struct Outer<'a> {
    pub runs: Runs,
    /// The planes of the group, and where in them each element of the kernel reads for the first pixel.
    pub planes: *const f32,
    pub offsets: &'a [u32],
    /// The upstream gradient, `[sample][row][pixel][N vectors]`, from one sample to the next `sample` floats.
    pub upstream: *const f32,
    pub sample: usize,
    /// The sums, `[element of the kernel, filled up to whole tiles][N vectors]`, beginning with the first of `offsets`.
    pub sums: &'a mut [f32],
    /// Whether to add to the sums instead of writing them.
    pub add: bool,
}

/// Runs tiles of `shape`, one of those that [`best_shape`] returns.
///
/// # Safety
/// The planes hold every pixel of the runs at every offset, the upstream gradient every pixel of the runs.
pub(super) unsafe fn outer(isa: Isa, registers: usize, shape: (usize, usize), job: Outer) {
    /// Only made here, under the caller's promises.
    struct Tile<'a, const M: usize, const N: usize>(Outer<'a>);
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
                $(($m, $n) => dispatch(isa, Tile::<$m, $n>(job)),)*
                _ => unreachable!("a tile that best_shape does not know"),
            }
        };
    }
    if registers >= 32 { arms!(24 x 1, 12 x 2, 8 x 3, 6 x 4) } else { arms!(12 x 1, 6 x 2, 4 x 3) }
}

/// See [`outer`].
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn run<S: Simd, const M: usize, const N: usize>(simd: S, job: Outer) {
    let Outer { runs, planes, offsets, upstream, sample, sums, add } = job;
    let width = N * S::LANES;
    for (offsets, sums) in offsets.chunks(M).zip(sums.chunks_exact_mut(M * width)) {
        // Elements that the last tile lacks repeat the last one; nobody reads their sums.
        let at: [usize; M] = core::array::from_fn(|i| offsets[i.min(offsets.len() - 1)] as usize);
        let sums = sums.as_mut_ptr();
        let mut acc = [[simd.zero(); N]; M];
        if add {
            for i in 0..M {
                for j in 0..N {
                    // SAFETY: the tile's M x N vectors of sums.
                    acc[i][j] = unsafe { simd.load_ptr(sums.add((i * N + j) * S::LANES)) };
                }
            }
        }
        for s in 0..runs.samples {
            // SAFETY: the sample's first pixel.
            let mut gradient = unsafe { upstream.add(s * sample) };
            for row in 0..runs.rows {
                // SAFETY: the row's first pixel.
                let mut pixel = unsafe { planes.add(s * runs.sample + row * runs.row) };
                for _ in 0..runs.pixels {
                    // SAFETY: the caller's promise for every pixel of the runs at every offset; pointers go at most one past.
                    unsafe {
                        let mut g = [simd.zero(); N];
                        for j in 0..N {
                            g[j] = simd.load_ptr(gradient.add(j * S::LANES));
                        }
                        for i in 0..M {
                            let x = simd.splat_ptr(pixel.add(at[i]));
                            for j in 0..N {
                                acc[i][j] = simd.mul_add(x, g[j], acc[i][j]);
                            }
                        }
                        pixel = pixel.add(1);
                        gradient = gradient.add(width);
                    }
                }
            }
        }
        for i in 0..M {
            for j in 0..N {
                // SAFETY: as above.
                unsafe { simd.store_ptr(acc[i][j], sums.add((i * N + j) * S::LANES)) };
            }
        }
    }
}

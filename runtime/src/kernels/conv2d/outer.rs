//! The gradient of the weight as a sum of outer products: vectors of output channels times single input elements.
//!
//! For every pixel, the upstream gradient of `N` vectors of output channels (transposed beforehand, so that they are neighbours) times
//! the input elements that `M` elements of the kernel meet there.

// Arrays of registers are indexed by loops that unroll: an iterator over one would be no clearer, two arrays are mostly involved.
#![allow(clippy::needless_range_loop)]

use crate::kernels::tiles::Tiled;
use crate::simd::Simd;

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

/// Its promise: the planes hold every pixel of the runs at every offset, the upstream gradient every pixel of the runs.
impl Tiled for Outer<'_> {
    const SHAPES_32: &'static [(usize, usize)] = &[(24, 1), (12, 2), (8, 3), (6, 4)];
    const SHAPES_16: &'static [(usize, usize)] = &[(12, 1), (6, 2), (4, 3)];
    const LOADS: usize = 1;

    #[inline(always)]
    unsafe fn run<S: Simd, const M: usize, const N: usize>(self, simd: S) {
        let Outer { runs, planes, offsets, upstream, sample, sums, add } = self;
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
}

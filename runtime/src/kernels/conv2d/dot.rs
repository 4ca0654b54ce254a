//! The gradient of the weight as inner products along the pixels: for few output channels per group, down to one.
//!
//! The upstream gradient is laid out in rows as long as those of the prepared planes, with zeros between them, so that both are one run
//! of vectors: `M` output channels times what `N` elements of the kernel meet.

// Arrays of registers are indexed by loops that unroll: an iterator over one would be no clearer, two arrays are mostly involved.
#![allow(clippy::needless_range_loop)]

use crate::kernels::tiles::Tiled;
use crate::simd::Simd;

/// Output channels of a group times elements of the kernel.
pub(super) struct Dot<'a> {
    /// Samples, and vectors of each.
    pub samples: usize,
    pub vectors: usize,
    /// The planes of the group, from one sample to the next, and where in them each element of the kernel reads for the first pixel.
    pub planes: *const f32,
    pub plane_sample: usize,
    pub offsets: &'a [u32],
    /// The upstream gradient, `[sample][channel][vectors]`, and from one sample to the next.
    pub upstream: *const f32,
    pub sample: usize,
    /// Output channels: the first and one past the last.
    pub channels: (usize, usize),
    /// The group's gradient, `[channel][element of the kernel]`, beginning with the first of `offsets`.
    pub gradient: *mut f32,
    /// From one channel to the next.
    pub stride: usize,
    /// Whether to add to the gradient instead of writing it.
    pub add: bool,
}

/// Its promise: the planes hold every vector at every offset, the upstream gradient every vector; nobody else uses these channels of the gradient.
impl Tiled for &Dot<'_> {
    const SHAPES_32: &'static [(usize, usize)] = &[(8, 3), (6, 4), (5, 5), (4, 6), (3, 8), (2, 10), (1, 12)];
    const SHAPES_16: &'static [(usize, usize)] = &[(6, 2), (4, 3), (3, 4), (2, 5), (1, 8)];
    const LOADS: usize = 2;

    #[inline(always)]
    unsafe fn run<S: Simd, const M: usize, const N: usize>(self, simd: S) {
        let depth = self.offsets.len();
        let channel_len = self.vectors * S::LANES;
        for channel in (self.channels.0..self.channels.1).step_by(M) {
            let rows: [usize; M] = core::array::from_fn(|i| (channel + i).min(self.channels.1 - 1));
            for element in (0..depth).step_by(N) {
                let at: [usize; N] = core::array::from_fn(|j| self.offsets[(element + j).min(depth - 1)] as usize);
                let mut acc = [[simd.zero(); N]; M];
                for s in 0..self.samples {
                    // SAFETY: the sample's first vector at every offset, and of every channel.
                    let (rows, at) = unsafe {
                        let (planes, upstream) =
                            (self.planes.add(s * self.plane_sample), self.upstream.add(s * self.sample));
                        (rows.map(|row| upstream.add(row * channel_len)), at.map(|at| planes.add(at)))
                    };
                    for v in 0..self.vectors {
                        // SAFETY: the caller's promise for every vector.
                        unsafe {
                            let mut g = [simd.zero(); M];
                            for i in 0..M {
                                g[i] = simd.load_ptr(rows[i].add(v * S::LANES));
                            }
                            for j in 0..N {
                                let x = simd.load_ptr(at[j].add(v * S::LANES));
                                for i in 0..M {
                                    acc[i][j] = simd.mul_add(g[i], x, acc[i][j]);
                                }
                            }
                        }
                    }
                }
                for i in 0..M {
                    for j in 0..N {
                        let sum = simd.reduce_sum(acc[i][j]);
                        if channel + i < self.channels.1 && element + j < depth {
                            // SAFETY: these channels of the gradient are this call's.
                            unsafe {
                                let to = self.gradient.add((channel + i) * self.stride + element + j);
                                *to = if self.add { *to + sum } else { sum };
                            }
                        }
                    }
                }
            }
        }
    }
}

//! The gradient of the weight as inner products along the pixels: for few output channels per group, down to one.
//!
//! The upstream gradient is laid out in rows as long as those of the prepared planes, with zeros between them, so that both are one run
//! of vectors: `M` output channels times what `N` elements of the kernel meet.

// Arrays of registers are indexed by loops that unroll: an iterator over one would be no clearer, two arrays are mostly involved.
#![allow(clippy::needless_range_loop)]

use crate::kernels::shapes::contains;
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// Tiles for 32 and for 16 vector registers: `M` output channels x `N` elements of the kernel.
const SHAPES_32: [(usize, usize); 7] = [(8, 3), (6, 4), (5, 5), (4, 6), (3, 8), (2, 10), (1, 12)];
const SHAPES_16: [(usize, usize); 5] = [(6, 2), (4, 3), (3, 4), (2, 5), (1, 8)];

/// The tiles for so many registers.
const fn shapes(registers: usize) -> &'static [(usize, usize)] {
    if registers >= 32 { &SHAPES_32 } else { &SHAPES_16 }
}

/// The tile that does `channels` x `depth` elements in the fewest cycles, and half of these cycles per vector of pixels.
pub(super) fn best_shape(registers: usize, channels: usize, depth: usize) -> ((usize, usize), usize) {
    let cycles = |&(m, n): &(usize, usize)| {
        // Two FMAs or two loads start in a cycle; an unaligned vector of pixels is two loads, as it mostly spans two cache lines.
        channels.div_ceil(m) * depth.div_ceil(n) * (m * n).max(m + 2 * n)
    };
    let best = shapes(registers).iter().min_by_key(|shape| cycles(shape)).unwrap_or(&(1, 8));
    (*best, cycles(best))
}

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

/// Runs tiles of `shape`, one of those that [`best_shape`] returns.
///
/// # Safety
/// The planes hold every vector at every offset, the upstream gradient every vector; nobody else uses these channels of the gradient.
pub(super) unsafe fn dot(isa: Isa, registers: usize, shape: (usize, usize), job: &Dot) {
    /// Only made here, under the caller's promises.
    struct Tile<'a, const M: usize, const N: usize>(&'a Dot<'a>);
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
    if registers >= 32 {
        arms!(8 x 3, 6 x 4, 5 x 5, 4 x 6, 3 x 8, 2 x 10, 1 x 12)
    } else {
        arms!(6 x 2, 4 x 3, 3 x 4, 2 x 5, 1 x 8)
    }
}

/// See [`dot`].
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn run<S: Simd, const M: usize, const N: usize>(simd: S, job: &Dot) {
    let depth = job.offsets.len();
    let channel_len = job.vectors * S::LANES;
    for channel in (job.channels.0..job.channels.1).step_by(M) {
        let rows: [usize; M] = core::array::from_fn(|i| (channel + i).min(job.channels.1 - 1));
        for element in (0..depth).step_by(N) {
            let at: [usize; N] = core::array::from_fn(|j| job.offsets[(element + j).min(depth - 1)] as usize);
            let mut acc = [[simd.zero(); N]; M];
            for s in 0..job.samples {
                // SAFETY: the sample's first vector at every offset, and of every channel.
                let (rows, at) = unsafe {
                    let (planes, upstream) = (job.planes.add(s * job.plane_sample), job.upstream.add(s * job.sample));
                    (rows.map(|row| upstream.add(row * channel_len)), at.map(|at| planes.add(at)))
                };
                for v in 0..job.vectors {
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
                    if channel + i < job.channels.1 && element + j < depth {
                        // SAFETY: these channels of the gradient are this call's.
                        unsafe {
                            let to = job.gradient.add((channel + i) * job.stride + element + j);
                            *to = if job.add { *to + sum } else { sum };
                        }
                    }
                }
            }
        }
    }
}

//! Pooling of blocked values: every output pixel is the maximum or the mean of the pixels of a window, lane by lane.
//!
//! Windows are cut to what lies in the input: the halo is never read, since what it holds is meant for convolutions. Where windows lie
//! a stride apart and all of their columns in the input, four pixels are computed at a time; the others one by one, with the columns of
//! a window dealt out to four partial results. Which way a pixel takes depends on its column alone.

use super::on_blocked::OnBlocked;
use crate::blocked::BLOCK;
use crate::blocked::bands::Bands;
use crate::blocked::unroll::unroll;
use crate::kernels::adaptive_pool2d::AdaptivePool2d;
use crate::kernels::avg_pool2d::AvgPool2d;
use crate::kernels::pool2d::Pool2d;
use crate::parallel::Disjoint;
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// What is made of a window.
pub(super) trait Pooling: Copy + Sync {
    /// What a window of nothing gives.
    const EMPTY: f32;

    /// Adds a pixel, or another partial result.
    fn step<S: Simd>(self, simd: S, sum: S::V, x: S::V) -> S::V;

    /// The output, `scale` being the inverse of the divisor.
    fn finish<S: Simd>(self, simd: S, sum: S::V, scale: f32) -> S::V;
}

/// The maximum; NaN where there is one.
#[derive(Clone, Copy)]
pub(super) struct Max;

impl Pooling for Max {
    const EMPTY: f32 = f32::NEG_INFINITY;

    #[inline(always)]
    fn step<S: Simd>(self, simd: S, sum: S::V, x: S::V) -> S::V {
        // In this order whether `x` is NaN does not wait for the sum.
        simd.max_nan(x, sum)
    }

    #[inline(always)]
    fn finish<S: Simd>(self, _: S, sum: S::V, _: f32) -> S::V {
        sum
    }
}

/// The sum over the divisor.
#[derive(Clone, Copy)]
pub(super) struct Mean;

impl Pooling for Mean {
    const EMPTY: f32 = 0.0;

    #[inline(always)]
    fn step<S: Simd>(self, simd: S, sum: S::V, x: S::V) -> S::V {
        simd.add(sum, x)
    }

    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, sum: S::V, scale: f32) -> S::V {
        simd.mul(sum, simd.splat(scale))
    }
}

/// The windows of a layer.
#[derive(Clone, Copy)]
pub(super) enum Geometry {
    Max(Pool2d),
    Avg(AvgPool2d),
    Adaptive(AdaptivePool2d),
}

impl Geometry {
    /// The sizes of input and output.
    pub fn sizes(&self) -> [[usize; 3]; 2] {
        match self {
            Geometry::Max(pool) | Geometry::Avg(AvgPool2d { pool, .. }) => [pool.input, pool.output],
            Geometry::Adaptive(pool) => [pool.input, pool.output],
        }
    }

    /// The first input row (axis 0) or column (axis 1) of an output's window, and how many it has in the input.
    fn window(&self, axis: usize, position: usize) -> [usize; 2] {
        match self {
            Geometry::Max(pool) | Geometry::Avg(AvgPool2d { pool, .. }) => {
                let taps = pool.taps(axis, position);
                let first = position * pool.stride[axis] + taps.start * pool.dilation[axis];
                // Where no tap lies in the input, the first may be anywhere.
                if taps.is_empty() { [0, 0] } else { [first - pool.padding[axis], taps.len()] }
            }
            Geometry::Adaptive(pool) => {
                let window = pool.window(axis, position);
                [window.start, window.len()]
            }
        }
    }

    /// From a tap to the next, down and across.
    fn dilation(&self) -> [usize; 2] {
        match self {
            Geometry::Max(pool) => pool.dilation,
            _ => [1, 1],
        }
    }

    /// The columns of the output whose windows are all alike, and how far apart these are.
    fn alike(&self) -> ([usize; 2], usize) {
        match self {
            Geometry::Max(pool) | Geometry::Avg(AvgPool2d { pool, .. }) => {
                let (width, stride, padding) = (pool.output[2], pool.stride[1], pool.padding[1]);
                let first = padding.div_ceil(stride).min(width);
                let extent = (pool.kernel[1] - 1) * pool.dilation[1] + 1;
                let end = match (pool.input[2] + padding).checked_sub(extent) {
                    Some(last) => (last / stride + 1).min(width),
                    None => 0,
                };
                ([first, end.max(first)], stride)
            }
            Geometry::Adaptive(pool) => {
                let (length, count) = (pool.input[2], pool.output[2]);
                ([0, if length.is_multiple_of(count) { count } else { 0 }], length / count)
            }
        }
    }

    /// The divisor's factor for a row or column of windows.
    fn divisor(&self, axis: usize, position: usize) -> f32 {
        match self {
            Geometry::Max(_) => 1.0,
            Geometry::Avg(pool) => pool.divisor(axis, position),
            Geometry::Adaptive(pool) => pool.window(axis, position).len() as f32,
        }
    }
}

/// Pools all samples.
///
/// # Panics
/// When the sizes do not agree.
pub(super) fn run<T, R: Pooling>(
    isa: Isa,
    op: &OnBlocked<T>,
    geometry: Geometry,
    reduction: R,
    input: &[f32],
    output: &mut [f32],
) {
    let batch = op.check(geometry.sizes(), input.len(), output.len());
    let (from, to) = (&op.input, &op.output);
    let moved = (from.height * from.width / to.height.max(1) + to.width) * BLOCK;
    let output = Disjoint::new(output);
    Bands::new(batch, to.blocks(), to.height, moved).for_each(|sample, block, rows| {
        let band = PooledRows {
            geometry,
            reduction,
            input: input[sample * from.sample_len() + from.offset(block, 0, 0)..].as_ptr(),
            input_row: from.row_len(),
            // SAFETY: within the sample.
            output: unsafe { output.as_ptr().add(sample * to.sample_len() + to.offset(block, 0, 0)) },
            output_row: to.row_len(),
            rows,
            width: to.width,
            lanes: (to.channels - block * BLOCK).min(BLOCK),
        };
        dispatch(isa, band);
    });
}

/// Rows of one block. Only [`run`] makes one, with pointers to pixel (0, 0) of blocks of these sizes, and no two with the same outputs.
struct PooledRows<R> {
    geometry: Geometry,
    reduction: R,
    input: *const f32,
    input_row: usize,
    output: *mut f32,
    output_row: usize,
    rows: [usize; 2],
    width: usize,
    /// Lanes that hold channels.
    lanes: usize,
}

/// Pixels that are computed together.
const PIXELS: usize = 4;

impl<R: Pooling> Kernel for PooledRows<R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let ([alike, end], stride) = self.geometry.alike();
        for y in self.rows[0]..self.rows[1] {
            let down = self.geometry.window(0, y);
            let divisor = self.geometry.divisor(0, y);
            let mut x = 0;
            while x < self.width {
                let across = self.geometry.window(1, x);
                let scale = 1.0 / (divisor * self.geometry.divisor(1, x));
                let together = x >= alike && x + PIXELS <= end;
                for lane in (0..BLOCK).step_by(S::LANES) {
                    // SAFETY: windows and pixels lie in the block.
                    unsafe {
                        if together {
                            self.pixels::<S, PIXELS>(simd, [y, x], down, across, stride, scale, lane);
                        } else {
                            self.pixel::<S, PIXELS>(simd, [y, x], down, across, scale, lane);
                        }
                    }
                }
                x += if together { PIXELS } else { 1 };
            }
        }
    }
}

impl<R: Pooling> PooledRows<R> {
    /// What a window of nothing gives: zeros in the lanes past the last channel, where all inputs are zero too.
    #[inline(always)]
    fn empty<S: Simd>(&self, simd: S, lane: usize) -> S::V {
        simd.select(simd.first(self.lanes.saturating_sub(lane)), simd.splat(R::EMPTY), simd.zero())
    }

    /// `P` pixels from (y, x) on; `across` is the first one's window.
    ///
    /// # Safety
    /// The windows and pixels lie in the block.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    unsafe fn pixels<S: Simd, const P: usize>(
        &self,
        simd: S,
        [y, x]: [usize; 2],
        down: [usize; 2],
        across: [usize; 2],
        stride: usize,
        scale: f32,
        lane: usize,
    ) {
        let dilation = self.geometry.dilation();
        let mut sums = [self.empty(simd, lane); P];
        // SAFETY: the caller's promise.
        unsafe {
            let mut row = self.input.wrapping_add(down[0] * self.input_row + across[0] * BLOCK + lane);
            for _ in 0..down[1] {
                let mut tap = row;
                for _ in 0..across[1] {
                    unroll!(I < P <= 4, {
                        let x = simd.load_ptr(tap.wrapping_add(I * stride * BLOCK));
                        sums[I] = self.reduction.step(simd, sums[I], x);
                    });
                    tap = tap.wrapping_add(dilation[1] * BLOCK);
                }
                row = row.wrapping_add(dilation[0] * self.input_row);
            }
            let to = self.output.wrapping_add(y * self.output_row + x * BLOCK + lane);
            unroll!(I < P <= 4, { simd.store_ptr(self.reduction.finish(simd, sums[I], scale), to.wrapping_add(I * BLOCK)) });
        }
    }

    /// One pixel, in `P` partial results.
    ///
    /// # Safety
    /// As [`PooledRows::pixels`].
    #[inline(always)]
    unsafe fn pixel<S: Simd, const P: usize>(
        &self,
        simd: S,
        [y, x]: [usize; 2],
        down: [usize; 2],
        across: [usize; 2],
        scale: f32,
        lane: usize,
    ) {
        let dilation = self.geometry.dilation();
        let reduction = self.reduction;
        let mut sums = [self.empty(simd, lane); P];
        // SAFETY: the caller's promise.
        unsafe {
            let mut row = self.input.wrapping_add(down[0] * self.input_row + across[0] * BLOCK + lane);
            let step = dilation[1] * BLOCK;
            for _ in 0..down[1] {
                let mut tap = row;
                for _ in 0..across[1] / P {
                    unroll!(I < P <= 4, {
                        sums[I] = reduction.step(simd, sums[I], simd.load_ptr(tap.wrapping_add(I * step)));
                    });
                    tap = tap.wrapping_add(P * step);
                }
                let rest = across[1] % P;
                unroll!(I < P <= 4, {
                    if I < rest {
                        sums[I] = reduction.step(simd, sums[I], simd.load_ptr(tap.wrapping_add(I * step)));
                    }
                });
                row = row.wrapping_add(dilation[0] * self.input_row);
            }
            let mut sum = sums[P - 1];
            unroll!(I < P <= 4, {
                if I + 1 < P {
                    sum = reduction.step(simd, sum, sums[I]);
                }
            });
            let to = self.output.wrapping_add(y * self.output_row + x * BLOCK + lane);
            simd.store_ptr(reduction.finish(simd, sum, scale), to);
        }
    }
}

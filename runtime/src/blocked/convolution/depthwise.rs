//! Depthwise convolution: every channel by itself, vectors along the channels.
//!
//! A tile is a few pixels of a row, one vector of channels each. For 3 and 5 columns and strides 1 and 2 the loop over a kernel's
//! columns is unrolled, so that an input vector is loaded once for all the taps that meet it; other kernels load it for each. Weights
//! are packed as `[bias][block][kh][kw][16]`.

use crate::blocked::BLOCK;
use crate::blocked::BlockedConv2d;
use crate::blocked::bands::Bands;
use crate::blocked::epilogue::Epilogue;
use crate::blocked::folding::Weights;
use crate::blocked::rows::RowsMut;
use crate::blocked::unroll::unroll;
use crate::kernels::Context;
use crate::parallel::Disjoint;
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// Floats that [`pack`] writes: biases and weights, filled up to whole blocks of channels.
pub const fn packed_len(op: &BlockedConv2d) -> usize {
    op.output.blocks() * BLOCK * (1 + op.kernel[0] * op.kernel[1])
}

/// Packs the weights (with what [`Weights`] folds in) for [`run`].
///
/// # Panics
/// When `op` is not depthwise ([`BlockedConv2d::is_depthwise`]), or a slice has not the length that it says.
pub fn pack(op: &BlockedConv2d, weights: &Weights, packed: &mut [f32]) {
    assert!(op.is_depthwise(), "not a depthwise convolution: {op:?}");
    weights.check(op.weight_len(), op.output.channels);
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    let taps = op.kernel[0] * op.kernel[1];
    let (bias, packed) = packed.split_at_mut(op.output.blocks() * BLOCK);
    weights.write_bias(op.output.channels, bias);
    for (block, packed) in packed.chunks_exact_mut(taps * BLOCK).enumerate() {
        let factors = weights.factors(block, op.output.channels);
        for (tap, packed) in packed.chunks_exact_mut(BLOCK).enumerate() {
            for (lane, value) in packed.iter_mut().enumerate() {
                let channel = block * BLOCK + lane;
                *value = if channel < op.output.channels {
                    (f64::from(weights.weight[channel * taps + tap]) * factors[lane]) as f32
                } else {
                    0.0
                };
            }
        }
    }
}

/// What computing a row of a block is worth, in floats moved ([`Bands`]): of 3x3 pixels, as much as reading and writing the row once.
const fn row(op: &BlockedConv2d) -> usize {
    2 * op.output.width * BLOCK * op.kernel[0] * op.kernel[1] / 9
}

/// Computes `output` for a batch of samples.
///
/// # Panics
/// When `op` is not depthwise, a slice is no whole number of samples, the numbers differ, `packed` has not [`packed_len`] floats, or the
/// input's halo is smaller than the padding.
pub fn run(
    context: &mut Context,
    op: &BlockedConv2d,
    input: &[f32],
    packed: &[f32],
    residual: Option<&[f32]>,
    output: &mut [f32],
) {
    let batch = op.check(input, residual, output);
    assert!(op.is_depthwise(), "not a depthwise convolution: {op:?}");
    op.check_halo();
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    let isa = context.isa;
    let epilogue = Epilogue::new(op.activation);
    let planes = Planes { op, input, packed, residual, output: Disjoint::new(output), epilogue };
    Bands::new(batch, op.output.blocks(), op.output.height, row(op)).for_each(|sample, block, rows| {
        // SAFETY: the sizes have been checked, and every call has rows of its own.
        unsafe { planes.run(isa, sample, block, rows) };
    });
}

/// A run's data.
struct Planes<'a> {
    op: &'a BlockedConv2d,
    input: &'a [f32],
    packed: &'a [f32],
    residual: Option<&'a [f32]>,
    output: Disjoint<'a, f32>,
    epilogue: Epilogue,
}

impl Planes<'_> {
    /// Computes rows of one block of a sample.
    ///
    /// # Safety
    /// Every tap lies in the input, and nobody else uses these output pixels.
    unsafe fn run(&self, isa: Isa, sample: usize, block: usize, rows: [usize; 2]) {
        let op = self.op;
        let (from, to) = (&op.input, &op.output);
        let corner = from.offset(block, 0, 0) - op.padding[0] * from.row_len() - op.padding[1] * BLOCK;
        let corner = sample * from.sample_len() + corner + rows[0] * op.stride[0] * from.row_len();
        let (residual, residual_row) = match (&op.residual, self.residual) {
            (Some(value), Some(data)) => {
                (data[sample * value.sample_len() + value.offset(block, rows[0], 0)..].as_ptr(), value.row_len())
            }
            _ => (core::ptr::null(), 0),
        };
        let output = sample * to.sample_len() + to.offset(block, rows[0], 0);
        assert!(output < self.output.len());
        let taps = op.kernel[0] * op.kernel[1];
        let band = DepthwiseRows {
            input: self.input[corner..].as_ptr(),
            input_row: from.row_len(),
            kernel: op.kernel,
            dilation: op.dilation,
            stride: op.stride,
            weights: self.packed[(to.blocks() + block * taps) * BLOCK..].as_ptr(),
            bias: self.packed[block * BLOCK..].as_ptr(),
            // SAFETY: within the output, as asserted.
            output: unsafe { self.output.as_ptr().add(output) },
            output_row: to.row_len(),
            residual,
            residual_row,
            clamp: self.epilogue.clamp,
            rows: rows[1] - rows[0],
            width: to.width,
        };
        // SAFETY: the caller's promise.
        unsafe {
            band.run(isa);
            let rows = RowsMut::of(to, self.output, [sample, block], rows, [0, to.width]);
            self.epilogue.finish(isa, rows, to.block_channels(block));
        }
    }
}

/// Rows of one block.
#[derive(Clone, Copy, Debug)]
struct DepthwiseRows {
    /// The first tap of the first pixel.
    input: *const f32,
    input_row: usize,
    kernel: [usize; 2],
    dilation: [usize; 2],
    stride: [usize; 2],
    /// `[kh][kw][16]`
    weights: *const f32,
    bias: *const f32,
    output: *mut f32,
    output_row: usize,
    /// Null for none.
    residual: *const f32,
    residual_row: usize,
    clamp: Option<[f32; 2]>,
    rows: usize,
    width: usize,
}

impl DepthwiseRows {
    /// # Safety
    /// As [`Planes::run`].
    unsafe fn run(&self, isa: Isa) {
        // Columns of the kernel and stride across, 0 for what the loop takes from the band.
        let (columns, stride) = match (self.kernel[1], self.stride[1], self.dilation[1]) {
            (3, 1, 1) => (3, 1),
            (3, 2, 1) => (3, 2),
            (5, 1, 1) => (5, 1),
            (5, 2, 1) => (5, 2),
            _ => (0, 0),
        };
        let pixels = tile_width(isa, self.width);
        macro_rules! tiles {
            ($(($k:literal, $s:literal))*) => {
                tiles!(@ $(($k, $s, 8) ($k, $s, 7) ($k, $s, 6) ($k, $s, 4) ($k, $s, 2) ($k, $s, 1))*)
            };
            (@ $(($k:literal, $s:literal, $p:literal))*) => {
                match (columns, stride, pixels) {
                    $(($k, $s, $p) => dispatch(
                        isa,
                        // SAFETY: the caller's promise.
                        unsafe { DepthwiseTiles::<$k, $s, $p>::new(self) },
                    ),)*
                    _ => unreachable!("no tile of {pixels} pixels"),
                }
            };
        }
        tiles! { (3, 1) (3, 2) (5, 1) (5, 2) (0, 0) }
    }
}

/// Widths of tiles: a vector for each pixel and about as many for the inputs.
const fn tile_widths(isa: Isa) -> &'static [usize] {
    match isa {
        Isa::Avx512 | Isa::Neon => &[8, 7, 4, 2, 1],
        Isa::Avx2 => &[6, 4, 2, 1],
        Isa::Scalar => &[4, 2, 1],
    }
}

const fn has_width(isa: Isa, pixels: usize) -> bool {
    let widths = tile_widths(isa);
    let mut i = 0;
    while i < widths.len() {
        if widths[i] == pixels {
            return true;
        }
        i += 1;
    }
    false
}

/// Pixels of a tile, of those that are compiled. The last tile of a row overlaps the one before where they do not fill it.
fn tile_width(isa: Isa, width: usize) -> usize {
    // What is computed, and about one pixel's time for the tile itself.
    let cost = |pixels: usize| width.div_ceil(pixels) * (pixels + 1);
    tile_widths(isa).iter().copied().filter(|&pixels| pixels <= width).min_by_key(|&pixels| cost(pixels)).unwrap_or(1)
}

/// `P` pixels, `K` columns of the kernel at a stride of `X`.
struct DepthwiseTiles<'a, const K: usize, const X: usize, const P: usize>(&'a DepthwiseRows);

impl<'a, const K: usize, const X: usize, const P: usize> DepthwiseTiles<'a, K, X, P> {
    /// # Safety
    /// As [`Planes::run`].
    unsafe fn new(band: &'a DepthwiseRows) -> Self {
        DepthwiseTiles(band)
    }
}

impl<const K: usize, const X: usize, const P: usize> Kernel for DepthwiseTiles<'_, K, X, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if const { !has_width(S::ISA, P) } {
            unreachable!("a tile of {P} pixels, which this instruction set has not");
        }
        let band = self.0;
        for row in 0..band.rows {
            let mut column = 0;
            loop {
                for lane in (0..BLOCK).step_by(S::LANES) {
                    // SAFETY: `column + P <= width`, and the promise made to `new`.
                    unsafe { tile::<S, K, X, P>(simd, band, row, column, lane) };
                }
                if column + P == band.width {
                    break;
                }
                column = (column + P).min(band.width - P);
            }
        }
    }
}

/// P pixels from `column` on, the vector that starts at `lane`.
///
/// # Safety
/// They lie in the band.
#[inline(always)]
unsafe fn tile<S: Simd, const K: usize, const X: usize, const P: usize>(
    simd: S,
    band: &DepthwiseRows,
    row: usize,
    column: usize,
    lane: usize,
) {
    let stride = if X == 0 { band.stride[1] } else { X } * BLOCK;
    let step = if K == 0 { band.dilation[1] } else { 1 } * BLOCK;
    // SAFETY: all taps, weights and pixels belong to the band.
    unsafe {
        let mut sums = [simd.load_ptr(band.bias.wrapping_add(lane)); P];
        let mut from = band.input.wrapping_add(row * band.stride[0] * band.input_row + column * stride + lane);
        let mut weights = band.weights.wrapping_add(lane);
        for _ in 0..band.kernel[0] {
            if K == 0 {
                for tap in 0..band.kernel[1] {
                    let weight = simd.load_ptr(weights.wrapping_add(tap * BLOCK));
                    unroll!(I < P <= 8, {
                        sums[I] =
                            simd.mul_add(simd.load_ptr(from.wrapping_add(I * stride + tap * step)), weight, sums[I]);
                    });
                }
                weights = weights.wrapping_add(band.kernel[1] * BLOCK);
            } else {
                unroll!(T < K <= 5, {
                    let weight = simd.load_ptr(weights.wrapping_add(T * BLOCK));
                    unroll!(I < P <= 8, {
                        sums[I] =
                            simd.mul_add(simd.load_ptr(from.wrapping_add(I * stride + T * step)), weight, sums[I]);
                    });
                });
                weights = weights.wrapping_add(K * BLOCK);
            }
            from = from.wrapping_add(band.dilation[0] * band.input_row);
        }
        if !band.residual.is_null() {
            let residual = band.residual.wrapping_add(row * band.residual_row + column * BLOCK + lane);
            unroll!(I < P <= 8, { sums[I] = simd.add(sums[I], simd.load_ptr(residual.wrapping_add(I * BLOCK))) });
        }
        if let Some([low, high]) = band.clamp {
            let (low, high) = (simd.splat(low), simd.splat(high));
            unroll!(I < P <= 8, { sums[I] = simd.min(high, simd.max(low, sums[I])) });
        }
        let to = band.output.wrapping_add(row * band.output_row + column * BLOCK + lane);
        unroll!(I < P <= 8, { simd.store_ptr(sums[I], to.wrapping_add(I * BLOCK)) });
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::Blocked;
    use crate::blocked::testing::{Algorithm, check_convolution, conv};
    use crate::kernels::activation::Activation;

    const DEPTHWISE: Algorithm = Algorithm { packed_len, pack, run, error: 1.0 };

    fn depthwise(channels: usize, size: [usize; 2], kernel: [usize; 2], stride: [usize; 2]) -> BlockedConv2d {
        BlockedConv2d { groups: channels, ..conv([channels; 2], size, kernel, stride) }
    }

    #[test]
    fn every_width() {
        for width in 1..=26 {
            for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (3, 3), (1, 1)] {
                check_convolution(&DEPTHWISE, &depthwise(17, [5, width], [kernel, kernel], [stride, stride]), 1);
            }
        }
    }

    #[test]
    fn channels_batches_and_bands() {
        for channels in [1, 15, 16, 33, 48] {
            check_convolution(&DEPTHWISE, &depthwise(channels, [6, 7], [3, 3], [1, 1]), 3);
        }
        check_convolution(&DEPTHWISE, &depthwise(16, [80, 90], [3, 3], [1, 1]), 1);
        check_convolution(&DEPTHWISE, &depthwise(32, [81, 70], [5, 5], [2, 2]), 2);
    }

    #[test]
    fn dilations_and_uneven_kernels() {
        for (kernel, stride, dilation) in [([3, 3], [1, 1], [2, 2]), ([5, 3], [2, 1], [1, 2]), ([2, 4], [1, 2], [3, 1])]
        {
            let mut op = depthwise(20, [14, 17], kernel, stride);
            op.dilation = dilation;
            op.padding = [2, 3];
            op.input.halo = [2, 3, 2, 3];
            let out = |i: usize| ([14, 17][i] + 2 * op.padding[i] - (kernel[i] - 1) * dilation[i] - 1) / stride[i] + 1;
            op.output = Blocked::new(20, out(0), out(1));
            check_convolution(&DEPTHWISE, &op, 2);
        }
    }

    #[test]
    fn fused_residuals_activations_and_slices() {
        for activation in [None, Some(Activation::Relu6), Some(Activation::Hardswish), Some(Activation::Sigmoid)] {
            for residual in [false, true] {
                let mut op = depthwise(20, [6, 9], [3, 3], [1, 1]);
                op.activation = activation;
                op.input = op.input.within(1, 4);
                op.output = op.output.with_halo([1, 1, 1, 1]).within(2, 5);
                op.residual = residual.then(|| op.output.with_halo([2, 0, 1, 0]).within(0, 3));
                check_convolution(&DEPTHWISE, &op, 2);
            }
        }
    }
}

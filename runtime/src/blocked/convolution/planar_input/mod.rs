//! First layers: convolution from planar (NCHW) inputs of few channels into blocked outputs.
//!
//! The user's input is read as it is: the register tile (`tile`) broadcasts one float after another along the rows of each
//! plane. Where there is padding, a task first copies the rows it needs between zeros, some 64 KiB at a time, which is little beside
//! the multiplications. Weights are packed as `[bias][output block][ic][kh][kw][16]`.

mod bands;
mod descriptor;

use crate::blocked::convolution::tile::{self, Strip, Taps, widths};
use crate::blocked::epilogue::Epilogue;
use crate::blocked::folding::Weights;
use crate::blocked::{BLOCK, Blocked};
use crate::kernels::Context;
use crate::simd::Isa;
pub(super) use bands::{Method, bands};
pub use descriptor::PlanarInputConv2d;

/// Floats that [`pack`] writes: biases and weights, filled up to whole blocks of output channels.
pub const fn packed_len(op: &PlanarInputConv2d) -> usize {
    op.output.blocks() * BLOCK * (1 + op.taps())
}

/// Packs the weights (with what [`Weights`] folds in) for [`run`].
///
/// # Panics
/// When a slice has not the length that `op` says.
pub fn pack(op: &PlanarInputConv2d, weights: &Weights, packed: &mut [f32]) {
    weights.check(op.weight_len(), op.output.channels);
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    let taps = op.taps();
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

/// Computes `output` for a batch of samples `[ic, h, w]`.
///
/// # Panics
/// When a slice is no whole number of samples, the numbers differ, or `packed` has not [`packed_len`] floats.
pub fn run(context: &mut Context, op: &PlanarInputConv2d, input: &[f32], packed: &[f32], output: &mut [f32]) {
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    let direct = Direct { op, packed, isa: context.isa, clamp: Epilogue::new(op.activation).clamp };
    bands(context, op, input, output, &direct);
}

/// Tap by tap.
struct Direct<'a> {
    op: &'a PlanarInputConv2d,
    packed: &'a [f32],
    isa: Isa,
    clamp: Option<[f32; 2]>,
}

impl Method for Direct<'_> {
    const EDGE: usize = 1;
    const MORE: usize = 0;

    fn scratch(&self) -> usize {
        0
    }

    unsafe fn convolve(
        &self,
        to: &Blocked,
        start: *mut f32,
        rows: [usize; 2],
        planes: &[f32],
        strides: [usize; 2],
        _: &mut [f32],
    ) {
        let (op, isa) = (self.op, self.isa);
        let (kernel, blocks) = (op.kernel, to.blocks());
        let distance = tile::distance(op.stride[1], op.dilation[1], [BLOCK; 2]);
        for (column, width, across) in widths(isa, distance, 0, to.width) {
            let strip = Strip {
                taps: Taps {
                    depth: op.input[0] * kernel[1],
                    first: 0,
                    lanes: kernel[1],
                    lane_stride: op.dilation[1],
                    block_stride: strides[0],
                    kernel: [kernel[0], 1],
                    kernel_stride: [op.dilation[0] * strides[1], 0],
                },
                input: planes[column * op.stride[1]..].as_ptr(),
                input_stride: [op.stride[0] * strides[1], op.stride[1]],
                weights: self.packed[blocks * BLOCK..].as_ptr(),
                weight_block: op.taps() * BLOCK,
                bias: self.packed.as_ptr(),
                blocks,
                // SAFETY: a pixel of the sample.
                output: unsafe { start.add(to.offset(0, rows[0], column)) },
                output_stride: [to.row_len(), BLOCK],
                output_block: to.plane_len(),
                residual: core::ptr::null(),
                residual_stride: [0, BLOCK],
                residual_block: 0,
                clamp: self.clamp,
                tiles: [rows[1] - rows[0], across],
                // Few enough to stay in the cache.
                next_weights: core::ptr::null(),
            };
            // SAFETY: the caller's promise.
            unsafe { tile::run(isa, &strip, 1, width) };
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::Pool2x2;
    use crate::blocked::testing::{PlanarInputAlgorithm, check_planar_input, first_layer};
    use crate::kernels::activation::Activation;

    const DIRECT: PlanarInputAlgorithm = PlanarInputAlgorithm { packed_len, pack, run, error: 1.0 };

    #[test]
    fn every_width() {
        for width in 7..=45 {
            check_planar_input(&DIRECT, &first_layer([3, 9, width], 17, 3, 1, 1), 1);
            check_planar_input(&DIRECT, &first_layer([1, 8, width], 6, 5, 1, 0), 2);
            check_planar_input(&DIRECT, &first_layer([2, 8, width], 33, 7, 2, 3), 1);
        }
    }

    #[test]
    fn strides_dilations_and_uneven_padding() {
        for stride in [1, 2, 3, 4, 5] {
            check_planar_input(&DIRECT, &first_layer([3, 20, 23], 32, 3, stride, 1), 1);
            check_planar_input(&DIRECT, &first_layer([3, 20, 23], 16, 11, stride, 2), 1);
        }
        let mut op = first_layer([2, 12, 14], 20, 3, 1, 0);
        op.dilation = [2, 3];
        op.padding = [2, 3];
        op.output = Blocked::new(20, 12, 14);
        check_planar_input(&DIRECT, &op, 2);
        // padding="same" with an even kernel; and outputs that see nothing but padding.
        let mut op = first_layer([2, 12, 14], 20, 4, 1, 1);
        op.output = Blocked::new(20, 12, 14);
        check_planar_input(&DIRECT, &op, 1);
        check_planar_input(&DIRECT, &first_layer([1, 2, 1], 5, 2, 1, 4), 1);
    }

    #[test]
    fn activations_halos_bands_and_batches() {
        for activation in [None, Some(Activation::Relu), Some(Activation::Tanh), Some(Activation::Sigmoid)] {
            let mut op = first_layer([3, 70, 64], 40, 3, 2, 1);
            op.activation = activation;
            op.output = op.output.with_halo([1, 2, 0, 1]).within(1, 5);
            check_planar_input(&DIRECT, &op, 3);
        }
        check_planar_input(&DIRECT, &first_layer([4, 100, 130], 32, 3, 1, 1), 1);
    }

    #[test]
    fn pools() {
        for pool in [Pool2x2::Max, Pool2x2::Mean] {
            for activation in [None, Some(Activation::Relu), Some(Activation::Tanh)] {
                // Odd sizes, of which the last row and column are left out; with padding and without.
                for width in (7..=34).chain([71]) {
                    let op = first_layer([1 + width % 3, 9 + width % 2, width], 1 + width, 5, 1, 2 * (width % 2));
                    check_planar_input(&DIRECT, &op.pooled(pool, activation), 1 + width % 2);
                }
                // Bands, a halo, and a place within other blocks.
                let mut op = first_layer([3, 70, 90], 40, 3, 2, 1).pooled(pool, activation);
                op.output = op.output.with_halo([1, 2, 0, 1]).within(1, 5);
                check_planar_input(&DIRECT, &op, 2);
            }
        }
    }
}

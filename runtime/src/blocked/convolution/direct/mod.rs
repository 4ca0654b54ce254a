//! Direct convolution between blocked values: every kernel size, stride and dilation, 1x1 and grouped ones included.
//!
//! The loops around the register tile (`tile`) are, from outside in: groups of output channels (32, or 16 for the last or
//! where the convolution's own groups ask for it), samples, rows, columns. A tile passes once over all taps of its pixels, so sums
//! are never written and read again, and the order of summation does not depend on how the work is cut.
//!
//! Weights are packed as `[bias][output block][input block][kh][kw][input channel][output channel]`: a tile reads them as one
//! stream, with a software prefetch ahead. Where no value has a halo across, a 1x1 convolution sees each block as one long row.
//!
//! Groups: an output group of 16 channels reads the run of input channels that its channels' groups cover, with zero weights where a
//! channel does not belong. With 16 or more output channels to a group nothing is wasted; 4 to a group (ResNeXt) does four times the
//! multiplications, still at full vectors. What is not finite stays within its group (`separate`).

mod grid;
mod separate;

use crate::blocked::BLOCK;
use crate::blocked::BlockedConv2d;
use crate::blocked::convolution::tile::{self, Strip, Taps, segments, widths};
use crate::blocked::epilogue::Epilogue;
use crate::blocked::folding::Weights;
use crate::blocked::rows::RowsMut;
use crate::kernels::Context;
use crate::parallel::{self, Disjoint};
use crate::simd::Isa;
use grid::Grid;

/// A group of output channels that are computed together, and the input channels they read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OutputGroup {
    /// The first output block.
    block: usize,
    /// Output blocks: 1 or 2.
    blocks: usize,
    /// The first input channel.
    first: usize,
    /// Input channels.
    depth: usize,
    /// Offset of the weights within the packed floats.
    weights: usize,
}

/// The output group that starts at block `block`; its weights start at `weights`.
const fn span(op: &BlockedConv2d, block: usize, weights: usize) -> OutputGroup {
    let (inputs, outputs) = (op.group_inputs(), op.group_outputs());
    let left = op.output.blocks() - block;
    if op.groups == 1 || outputs.is_multiple_of(2 * BLOCK) {
        let blocks = if left < 2 { left } else { 2 };
        return OutputGroup { block, blocks, first: block * BLOCK / outputs * inputs, depth: inputs, weights };
    }
    let last = if left == 1 { op.output.channels } else { (block + 1) * BLOCK } - 1;
    let (from, to) = (block * BLOCK / outputs, last / outputs + 1);
    OutputGroup { block, blocks: 1, first: from * inputs, depth: (to - from) * inputs, weights }
}

impl OutputGroup {
    /// Floats of one output block's weights.
    const fn block_len(&self, op: &BlockedConv2d) -> usize {
        self.depth * op.kernel[0] * op.kernel[1] * BLOCK
    }

    /// Floats of all its weights.
    const fn len(&self, op: &BlockedConv2d) -> usize {
        self.blocks * self.block_len(op)
    }

    const fn next(&self, op: &BlockedConv2d) -> Option<OutputGroup> {
        let block = self.block + self.blocks;
        if block < op.output.blocks() { Some(span(op, block, self.weights + self.len(op))) } else { None }
    }
}

/// All output groups in order.
fn spans(op: &BlockedConv2d) -> impl Iterator<Item = OutputGroup> {
    let first = (op.output.channels > 0).then(|| span(op, 0, op.output.blocks() * BLOCK));
    core::iter::successors(first, |span| span.next(op))
}

/// Floats that [`pack`] writes: biases and weights, filled up to whole blocks of output channels.
pub const fn packed_len(op: &BlockedConv2d) -> usize {
    let mut last = span(op, 0, op.output.blocks() * BLOCK);
    while let Some(next) = last.next(op) {
        last = next;
    }
    last.weights + last.len(op)
}

/// Packs the weights (with what [`Weights`] folds in) for [`run`].
///
/// # Panics
/// When a slice has not the length that `op` says.
pub fn pack(op: &BlockedConv2d, weights: &Weights, packed: &mut [f32]) {
    weights.check(op.weight_len(), op.output.channels);
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    weights.write_bias(op.output.channels, &mut packed[..op.output.blocks() * BLOCK]);
    let [kh, kw] = op.kernel;
    let (inputs, outputs) = (op.group_inputs(), op.group_outputs());
    for span in spans(op) {
        for (index, packed) in
            packed[span.weights..span.weights + span.len(op)].chunks_exact_mut(span.block_len(op)).enumerate()
        {
            let block = span.block + index;
            let factors = weights.factors(block, op.output.channels);
            let mut rows = packed.chunks_exact_mut(BLOCK);
            let mut from = span.first;
            let end = span.first + span.depth;
            while from < end {
                let to = end.min((from / BLOCK + 1) * BLOCK);
                for tap in 0..kh * kw {
                    for channel in from..to {
                        let Some(row) = rows.next() else { unreachable!("packed_len counts every row") };
                        for (lane, value) in row.iter_mut().enumerate() {
                            let output = block * BLOCK + lane;
                            let belongs = output < op.output.channels && output / outputs == channel / inputs;
                            *value = if belongs {
                                let weight = weights.weight[(output * inputs + channel % inputs) * kh * kw + tap];
                                (f64::from(weight) * factors[lane]) as f32
                            } else {
                                0.0
                            };
                        }
                    }
                }
                from = to;
            }
        }
    }
}

/// How the tiles see the pixels of a sample.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// As they are.
    Rows,
    /// One row of all pixels: rows follow each other without a gap in every value.
    Flat,
    /// A single column, as a row.
    Transposed,
}

/// The pixels of a sample as the tiles see them: strides in floats, and the sizes after flattening.
struct Pixels {
    shape: Shape,
    size: [usize; 2],
    input: [usize; 2],
    output: [usize; 2],
    residual: [usize; 2],
}

impl Pixels {
    fn of(op: &BlockedConv2d) -> Self {
        let residual = op.residual.map_or(0, |value| value.row_len());
        let mut pixels = Pixels {
            shape: Shape::Rows,
            size: [op.output.height, op.output.width],
            input: [op.stride[0] * op.input.row_len(), op.stride[1] * BLOCK],
            output: [op.output.row_len(), BLOCK],
            residual: [residual, BLOCK],
        };
        let dense = op.input.is_dense() && op.output.is_dense() && op.residual.is_none_or(|value| value.is_dense());
        if dense && op.input.width == op.output.width && op.stride == [1, 1] && op.kernel[1] == 1 {
            pixels.shape = Shape::Flat;
            pixels.size = [1, pixels.size[0] * pixels.size[1]];
        } else if pixels.size[1] == 1 {
            pixels.shape = Shape::Transposed;
            pixels.size.swap(0, 1);
            pixels.input.swap(0, 1);
            pixels.output.swap(0, 1);
            pixels.residual.swap(0, 1);
        }
        pixels
    }
}

/// Computes `output` for a batch of samples.
///
/// # Panics
/// When a slice is no whole number of samples, the numbers differ, `packed` has not [`packed_len`] floats, or the input's halo is
/// smaller than the padding.
pub fn run(
    context: &mut Context,
    op: &BlockedConv2d,
    input: &[f32],
    packed: &[f32],
    residual: Option<&[f32]>,
    output: &mut [f32],
) {
    let batch = op.check(input, residual, output);
    op.check_halo();
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    let isa = context.isa;
    let pixels = Pixels::of(op);
    let epilogue = Epilogue::new(op.activation);
    let grid = Grid::new(op, &pixels, batch, parallel::threads());
    let output = Disjoint::new(output);
    parallel::for_each(grid.tasks(), |task| {
        let part = grid.part(task);
        for span in spans(op).skip(part.spans[0]).take(part.spans[1] - part.spans[0]) {
            for sample in part.samples[0]..part.samples[1] {
                let planes = OutputPlanes {
                    op,
                    pixels: &pixels,
                    span,
                    sample,
                    input,
                    packed,
                    residual,
                    output: &output,
                    epilogue: &epilogue,
                };
                // SAFETY: `check` and `check_halo` hold, and the parts of different tasks do not overlap.
                unsafe { planes.run(isa, part.rows, part.columns) };
            }
        }
    });
}

/// One output group of one sample.
struct OutputPlanes<'a> {
    op: &'a BlockedConv2d,
    pixels: &'a Pixels,
    span: OutputGroup,
    sample: usize,
    input: &'a [f32],
    packed: &'a [f32],
    residual: Option<&'a [f32]>,
    output: &'a Disjoint<'a, f32>,
    epilogue: &'a Epilogue,
}

impl OutputPlanes<'_> {
    /// Computes the pixels of `rows` x `columns`.
    ///
    /// # Safety
    /// The slices are as long as the descriptor says, every tap lies in the input, and nobody else uses these output pixels.
    unsafe fn run(&self, isa: Isa, rows: [usize; 2], columns: [usize; 2]) {
        let OutputPlanes { op, pixels, span, .. } = self;
        let distance = tile::distance(pixels.input[1], 1, [pixels.output[1], pixels.residual[1]]);
        for (column, width, across) in widths(isa, distance, columns[0], columns[1]) {
            for (row, height, down) in segments(rows[0], rows[1], tile::tile_rows(isa, distance, width)) {
                let at = |stride: [usize; 2]| row * stride[0] + column * stride[1];
                let (from, to) = (&op.input, &op.output);
                // The first tap of output pixel (0, 0): it may lie in the halo.
                let start = from.origin() - op.padding[0] * from.row_len() - op.padding[1] * BLOCK;
                let start = start + span.first / BLOCK * from.plane_len() + self.sample * from.sample_len();
                let (residual, residual_block) = match (&op.residual, self.residual) {
                    (Some(value), Some(data)) => {
                        let offset =
                            self.sample * value.sample_len() + value.offset(span.block, 0, 0) + at(pixels.residual);
                        (data[offset..].as_ptr(), value.plane_len())
                    }
                    _ => (core::ptr::null(), 0),
                };
                let output = self.sample * to.sample_len() + to.offset(span.block, 0, 0) + at(pixels.output);
                assert!(output < self.output.len());
                let strip = Strip {
                    taps: Taps {
                        depth: span.depth,
                        first: span.first % BLOCK,
                        lanes: BLOCK,
                        lane_stride: 1,
                        block_stride: from.plane_len(),
                        kernel: op.kernel,
                        kernel_stride: [op.dilation[0] * from.row_len(), op.dilation[1] * BLOCK],
                    },
                    input: self.input[start + at(pixels.input)..].as_ptr(),
                    input_stride: pixels.input,
                    weights: self.packed[span.weights..].as_ptr(),
                    weight_block: span.block_len(op),
                    bias: self.packed[span.block * BLOCK..].as_ptr(),
                    blocks: span.blocks,
                    // SAFETY: within the output, as asserted.
                    output: unsafe { self.output.as_ptr().add(output) },
                    output_stride: pixels.output,
                    output_block: to.plane_len(),
                    residual,
                    residual_stride: pixels.residual,
                    residual_block,
                    clamp: self.epilogue.clamp,
                    tiles: [down, across],
                    next_weights: self.packed.as_ptr().wrapping_add(span.weights + span.blocks * span.block_len(op)),
                };
                // SAFETY: the caller's promise; segments cover the part and nothing else.
                unsafe { tile::run(isa, &strip, height, width) };
            }
        }
        if self.epilogue.is_finished() && !self.mixes_groups() {
            return;
        }
        let [rows, columns] = match pixels.shape {
            Shape::Rows => [rows, columns],
            Shape::Transposed => [columns, rows],
            // The one row is longer than the value's, whose rows follow each other.
            Shape::Flat => [[0, 1], columns],
        };
        if self.mixes_groups() {
            // SAFETY: the caller's promise.
            unsafe { self.separate(isa, rows, columns) };
        }
        for block in span.block..span.block + span.blocks {
            // SAFETY: these pixels are the caller's.
            let rows = unsafe { RowsMut::of(&op.output, *self.output, [self.sample, block], rows, columns) };
            self.epilogue.finish(isa, rows, op.output.block_channels(block));
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::Blocked;
    use crate::blocked::testing::{Algorithm, check_convolution, conv};
    use crate::kernels::activation::Activation;

    const DIRECT: Algorithm = Algorithm { packed_len, pack, run, error: 1.0 };

    #[test]
    fn every_tile() {
        // Widths 1 to 30 and heights 1 to 5 meet every tile of every instruction set, with 1, 2 and 3 output blocks.
        for width in 1..=30 {
            for height in 1..=5 {
                let channels = [3, [16, 32, 33][(width + height) % 3]];
                check_convolution(&DIRECT, &conv(channels, [height, width], [3, 3], [1, 1]), 1);
            }
        }
    }

    /// One value that is not finite, and groups of which several fall into a block: the others' outputs keep their bits, whatever the
    /// tiles saw the pixels as: rows, one row of all, or a column.
    #[test]
    fn what_is_not_finite_stays_in_its_group() {
        use crate::kernels::testing::data;
        for (size, kernel, channels, groups) in [
            ([5, 6], [3, 3], [24, 24], 8),
            ([5, 6], [1, 1], [40, 20], 5),
            ([7, 1], [3, 1], [24, 36], 4),
            ([4, 5], [3, 2], [9, 45], 9),
        ] {
            let mut op = conv(channels, size, kernel, [1, 1]);
            (op.groups, op.activation, op.residual) = (groups, Some(Activation::Relu6), Some(op.output));
            let input = data(1, channels[0] * size[0] * size[1]);
            let residual = vec![1.0; op.output.sample_len()];
            let weight = data(2, op.weight_len());
            let mut packed = vec![0.0; packed_len(&op)];
            pack(&op, &Weights::new(&weight, None), &mut packed);
            for &isa in crate::kernels::testing::isas() {
                let run = |input: &[f32]| {
                    let input = crate::blocked::testing::blocked(&op.input, input, 0.0);
                    let mut output = vec![f32::NAN; op.output.sample_len()];
                    let mut context = crate::simd::with_isa(isa, Context::new);
                    super::run(&mut context, &op, &input, &packed, Some(&residual), &mut output);
                    output
                };
                let usual = run(&input);
                for special in [f32::NAN, f32::INFINITY] {
                    for channel in 0..channels[0] {
                        let mut input = input.clone();
                        input[channel * size[0] * size[1] + size[0] * size[1] / 2] = special;
                        let output = run(&input);
                        let mut changed = 0;
                        for oc in 0..channels[1] {
                            for (y, x) in (0..op.output.height).flat_map(|y| (0..op.output.width).map(move |x| (y, x)))
                            {
                                let at = op.output.offset(oc / BLOCK, y, x) + oc % BLOCK;
                                let same = output[at].to_bits() == usual[at].to_bits();
                                let own = oc / op.group_outputs() == channel / op.group_inputs();
                                changed += usize::from(!same);
                                assert!(same || own, "{isa}: {special} in channel {channel} reaches {oc}, {y}, {x}");
                            }
                        }
                        assert!(changed > 0, "{isa}: {special} in channel {channel} changes nothing");
                    }
                }
            }
        }
    }

    #[test]
    fn channels_and_batches() {
        for input in [1, 15, 16, 17, 40] {
            for output in [1, 16, 17, 31, 32, 40, 64, 65] {
                check_convolution(&DIRECT, &conv([input, output], [4, 5], [3, 3], [1, 1]), 1 + input % 3);
            }
        }
    }

    #[test]
    fn kernels_strides_and_dilations() {
        for kernel in [[1, 1], [1, 3], [3, 1], [2, 2], [5, 5], [7, 3]] {
            for stride in [[1, 1], [2, 2], [1, 3], [3, 2]] {
                check_convolution(&DIRECT, &conv([18, 20], [13, 15], kernel, stride), 2);
            }
        }
        let mut op = conv([18, 20], [13, 15], [3, 3], [1, 2]);
        op.dilation = [2, 3];
        op.padding = [2, 3];
        op.input.halo = [2, 4, 3, 5];
        op.output = Blocked::new(20, 13, 8);
        check_convolution(&DIRECT, &op, 1);
        // No padding, and padding="same" with an even kernel, which pads unevenly.
        op.padding = [0, 0];
        op.output = Blocked::new(20, 9, 5);
        check_convolution(&DIRECT, &op, 1);
        let mut op = conv([5, 7], [6, 6], [4, 2], [1, 1]);
        op.padding = [1, 0];
        op.input.halo = [1, 0, 2, 1];
        op.output = Blocked::new(7, 6, 6);
        check_convolution(&DIRECT, &op, 1);
    }

    #[test]
    fn pointwise_with_and_without_halos() {
        for size in [[1, 1], [7, 7], [5, 13], [1, 29], [29, 1]] {
            let dense = conv([20, 40], size, [1, 1], [1, 1]);
            check_convolution(&DIRECT, &dense, 2);
            let mut op = dense;
            op.input.halo = [1, 2, 3, 1];
            check_convolution(&DIRECT, &op, 2);
            let mut op = dense;
            op.output.halo = [0, 1, 0, 0];
            check_convolution(&DIRECT, &op, 2);
            let mut op = dense;
            op.residual = Some(op.output.with_halo([0, 0, 0, 1]));
            check_convolution(&DIRECT, &op, 2);
            // Halos above and below leave rows dense.
            let mut op = dense;
            (op.input.halo, op.output.halo) = ([1, 0, 2, 0], [3, 0, 0, 0]);
            check_convolution(&DIRECT, &op, 2);
        }
    }

    #[test]
    fn fused_residuals_activations_and_slices() {
        for activation in [None, Some(Activation::Relu), Some(Activation::Relu6), Some(Activation::Silu)] {
            for residual in [false, true] {
                let mut op = conv([20, 48], [6, 9], [3, 3], [1, 1]);
                op.activation = activation;
                op.input = op.input.within(1, 4);
                op.output = op.output.with_halo([1, 1, 1, 1]).within(2, 5);
                op.residual = residual.then(|| op.output.with_halo([2, 0, 1, 0]).within(0, 3));
                check_convolution(&DIRECT, &op, 2);
            }
        }
    }

    #[test]
    fn activations_that_follow_the_tiles() {
        // Of zero, some are not zero: the lanes past the last channel must be so all the same.
        let all = [
            Activation::LeakyRelu { negative_slope: 0.1 },
            Activation::Elu { alpha: 0.5 },
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Silu,
            Activation::Hardswish,
            Activation::Hardsigmoid,
        ];
        for activation in all {
            for (size, kernel) in [([6, 7], [3, 3]), ([6, 7], [1, 1]), ([9, 1], [3, 1]), ([30, 40], [1, 1])] {
                let mut op = conv([5, 37], size, kernel, [1, 1]);
                op.activation = Some(activation);
                check_convolution(&DIRECT, &op, 2);
            }
        }
    }

    #[test]
    fn groups() {
        for (groups, inputs, outputs) in [
            (2, 16, 16),
            (2, 32, 32),
            (3, 16, 64),
            (2, 8, 40),
            (4, 4, 4),
            (32, 4, 4),
            (3, 5, 7),
            (40, 1, 1),
            (20, 1, 3),
            (10, 4, 1),
            (2, 24, 48),
            (5, 7, 32),
        ] {
            let mut op = conv([groups * inputs, groups * outputs], [5, 6], [3, 3], [1, 1]);
            op.groups = groups;
            check_convolution(&DIRECT, &op, 2);
        }
    }

    #[test]
    fn large_enough_for_every_cut() {
        // Heavy weights and light ones, several tasks, bands.
        check_convolution(&DIRECT, &conv([130, 128], [6, 6], [3, 3], [1, 1]), 3);
        check_convolution(&DIRECT, &conv([48, 40], [50, 60], [3, 3], [1, 1]), 1);
        check_convolution(&DIRECT, &conv([130, 40], [60, 62], [1, 1], [1, 1]), 1);
    }

    #[test]
    fn nan_stays_nan() {
        let mut op = conv([16, 16], [1, 20], [1, 1], [1, 1]);
        op.activation = Some(Activation::Relu6);
        let mut packed = vec![0.0; packed_len(&op)];
        pack(&op, &Weights::new(&[0.5; 256], None), &mut packed);
        for &isa in Isa::detected() {
            let mut context = crate::simd::with_isa(isa, Context::new);
            let mut output = vec![0.0; op.output.sample_len()];
            let mut input = vec![1.0; op.input.sample_len()];
            input[0] = f32::NAN;
            run(&mut context, &op, &input, &packed, None, &mut output);
            assert!(output[..16].iter().all(|x| x.is_nan()) && output[16..].iter().all(|&x| x == 6.0), "{isa}");
        }
    }

    #[test]
    #[should_panic(expected = "halo is smaller")]
    fn a_halo_that_is_too_small_is_refused() {
        let mut op = conv([16, 16], [4, 4], [3, 3], [1, 1]);
        op.input.halo = [1, 1, 1, 0];
        let (input, packed) = (vec![0.0; op.input.sample_len()], vec![0.0; packed_len(&op)]);
        run(&mut Context::new(), &op, &input, &packed, None, &mut vec![0.0; op.output.sample_len()]);
    }
}

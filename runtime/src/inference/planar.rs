//! First layers: convolution from planar (NCHW) inputs of few channels into blocked outputs.
//!
//! The user's input is read as it is: the register tile (`tile`) broadcasts one float after another along the rows of each
//! plane. Where there is padding, a task first copies the rows it needs between zeros, some 64 KiB at a time, which is little beside
//! the multiplications. Weights are packed as `[bias][output block][ic][kh][kw][16]`.

use super::blocked::{BLOCK, Blocked};
use super::epilogue::Epilogue;
use super::tile::{self, Strip, Taps, widths};
use super::weights::Weights;
use crate::kernels::Context;
use crate::kernels::activation::Activation;
use crate::parallel::{self, Disjoint};
use crate::simd::Isa;

/// A convolution from an NCHW input into a blocked output, with its activation: PyTorch's `conv2d` with zero padding and one group.
#[derive(Clone, Copy, Debug)]
pub struct PlanarConv2d {
    /// Channels, rows and columns of the input.
    pub input: [usize; 3],
    /// The output `[oc, oh, ow]`; its halo is not written. Padding below and to the right is whatever its size reads.
    pub output: Blocked,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Strides down and across.
    pub stride: [usize; 2],
    /// Padding above and to the left.
    pub padding: [usize; 2],
    /// Distances between taps, down and across.
    pub dilation: [usize; 2],
    /// The activation, applied last.
    pub activation: Option<Activation>,
}

impl PlanarConv2d {
    /// Multiply-adds that make one output.
    const fn taps(&self) -> usize {
        self.input[0] * self.kernel[0] * self.kernel[1]
    }

    /// Floats of PyTorch's weight `[oc, ic, kh, kw]`.
    pub const fn weight_len(&self) -> usize {
        self.output.channels * self.taps()
    }

    /// Floats of one sample of the input.
    pub const fn input_len(&self) -> usize {
        self.input[0] * self.input[1] * self.input[2]
    }

    /// Multiplications of one sample.
    pub const fn macs(&self) -> u64 {
        self.weight_len() as u64 * (self.output.height * self.output.width) as u64
    }

    /// Rows (axis 0) or columns (axis 1) of the input that `outputs` of them read.
    const fn reach(&self, axis: usize, outputs: usize) -> usize {
        (outputs - 1) * self.stride[axis] + (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    /// Whether every tap lies in the input.
    const fn is_unpadded(&self) -> bool {
        self.padding[0] == 0
            && self.padding[1] == 0
            && self.reach(0, self.output.height) <= self.input[1]
            && self.reach(1, self.output.width) <= self.input[2]
    }
}

/// Floats that [`pack`] writes: biases and weights, filled up to whole blocks of output channels.
pub const fn packed_len(op: &PlanarConv2d) -> usize {
    op.output.blocks() * BLOCK * (1 + op.taps())
}

/// Packs the weights (with what [`Weights`] folds in) for [`run`].
///
/// # Panics
/// When a slice has not the length that `op` says.
pub fn pack(op: &PlanarConv2d, weights: &Weights, packed: &mut [f32]) {
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

/// Floats of padded rows that a task copies at a time: 64 KiB.
const COPY: usize = 16 * 1024;

/// Multiplications worth a task of their own: some 5 µs at full speed.
const TASK: u64 = 400_000;

/// Computes `output` for a batch of samples `[ic, h, w]`.
///
/// # Panics
/// When a slice is no whole number of samples, the numbers differ, or `packed` has not [`packed_len`] floats.
pub fn run(context: &mut Context, op: &PlanarConv2d, input: &[f32], packed: &[f32], output: &mut [f32]) {
    let batch = op.output.batch(output.len());
    assert_eq!(input.len(), batch * op.input_len(), "input and output hold different numbers of samples");
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    let isa = context.isa;
    let height = op.output.height;
    let columns = op.reach(1, op.output.width);
    let copied = |rows: usize| op.input[0] * op.reach(0, rows) * columns;

    // Bands of rows: enough of them for the threads, and a copy each that stays in the cache.
    let threads = parallel::threads();
    let mut bands = 1;
    if threads > 1 {
        let most = usize::try_from(op.macs() * batch as u64 / TASK).unwrap_or(usize::MAX).max(1);
        bands = (threads * 4).min(most).div_ceil(batch).min(height);
    }
    let mut rows = height.div_ceil(bands);
    if !op.is_unpadded() {
        while rows > 1 && copied(rows) > COPY {
            rows = rows.div_ceil(2);
        }
    }
    let bands = height.div_ceil(rows);
    let each = if op.is_unpadded() { 0 } else { copied(rows).next_multiple_of(BLOCK) };
    let run = Run { op, packed, output: Disjoint::new(output), epilogue: Epilogue::new(op.activation) };
    let tasks = batch * bands;
    let scratch = context.scratch(each * tasks.min(threads));
    parallel::for_each_scratch(scratch, each, tasks, |scratch, task| {
        let (sample, band) = (task / bands, task % bands);
        let rows = [band * rows, ((band + 1) * rows).min(height)];
        let input = &input[sample * op.input_len()..][..op.input_len()];
        if op.is_unpadded() {
            let [_, h, w] = op.input;
            // SAFETY: no tap lies outside of the input, and every task has rows of its own.
            unsafe { run.band(isa, sample, rows, &input[rows[0] * op.stride[0] * w..], [h * w, w]) };
        } else {
            let reach = op.reach(0, rows[1] - rows[0]);
            copy_rows(op, input, rows[0] * op.stride[0], reach, columns, scratch);
            // SAFETY: all that the rows' taps reach has been copied, and every task has rows of its own.
            unsafe { run.band(isa, sample, rows, scratch, [reach * columns, columns]) };
        }
    });
}

/// Copies `rows` rows of every plane, the first at `first` of the padded input, `columns` wide, with zeros around.
fn copy_rows(op: &PlanarConv2d, input: &[f32], first: usize, rows: usize, columns: usize, copy: &mut [f32]) {
    let [channels, h, w] = op.input;
    let left = op.padding[1].min(columns);
    let middle = w.min(columns - left);
    for channel in 0..channels {
        for row in 0..rows {
            let to = &mut copy[(channel * rows + row) * columns..][..columns];
            let from = (first + row).wrapping_sub(op.padding[0]);
            if from < h {
                let from = &input[(channel * h + from) * w..][..middle];
                to[..left].fill(0.0);
                to[left..left + middle].copy_from_slice(from);
                to[left + middle..].fill(0.0);
            } else {
                to.fill(0.0);
            }
        }
    }
}

/// A run's data.
struct Run<'a> {
    op: &'a PlanarConv2d,
    packed: &'a [f32],
    output: Disjoint<'a, f32>,
    epilogue: Epilogue,
}

impl Run<'_> {
    /// Computes rows of a sample from planes in which the first row's first tap comes first; `strides` are the distances of planes
    /// and of rows.
    ///
    /// # Safety
    /// Every tap lies in the planes, and nobody else uses these output pixels.
    unsafe fn band(&self, isa: Isa, sample: usize, rows: [usize; 2], planes: &[f32], strides: [usize; 2]) {
        let op = self.op;
        let to = &op.output;
        let (kernel, blocks) = (op.kernel, to.blocks());
        let distance = tile::distance(op.stride[1], op.dilation[1], [BLOCK; 2]);
        for (column, width, across) in widths(isa, distance, 0, to.width) {
            let output = sample * to.sample_len() + to.offset(0, rows[0], column);
            assert!(output < self.output.len());
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
                // SAFETY: within the output, as asserted.
                output: unsafe { self.output.as_ptr().add(output) },
                output_stride: [to.row_len(), BLOCK],
                output_block: to.plane_len(),
                residual: core::ptr::null(),
                residual_stride: [0, BLOCK],
                residual_block: 0,
                clamp: self.epilogue.clamp,
                tiles: [rows[1] - rows[0], across],
                // Few enough to stay in the cache.
                next_weights: core::ptr::null(),
            };
            // SAFETY: the caller's promise.
            unsafe { tile::run(isa, &strip, 1, width) };
        }
        if !self.epilogue.is_finished() {
            for block in 0..blocks {
                // SAFETY: a sample of the output, of which these rows are ours.
                unsafe {
                    let start = self.output.as_ptr().add(sample * to.sample_len());
                    self.epilogue.finish(isa, to, start, block, rows, [0, to.width]);
                }
            }
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::inference::BlockedConv2d;
    use crate::inference::testing::{Norm, blocked, reference};
    use crate::kernels::testing::{Tolerance, check, data};

    #[track_caller]
    fn check_planar(op: &PlanarConv2d, batch: usize) {
        let [channels, h, w] = op.input;
        let input = data(1, batch * op.input_len());
        let weight = data(2, op.weight_len());
        let (bias, norm) = (data(3, op.output.channels), Norm::new(op.output.channels));
        let weights = Weights { weight: &weight, bias: Some(&bias), norm: Some(norm.borrow()) };
        let same = BlockedConv2d {
            input: Blocked::new(channels, h, w),
            output: op.output,
            kernel: op.kernel,
            stride: op.stride,
            padding: op.padding,
            dilation: op.dilation,
            groups: 1,
            residual: None,
            activation: op.activation,
        };
        let expected = blocked(&op.output, &reference(&same, &input, &weights, None), f32::NAN);
        let mut packed = vec![f32::NAN; packed_len(op)];
        pack(op, &weights, &mut packed);
        assert!(packed.iter().all(|x| x.is_finite()));
        let tolerance = Tolerance::absolute(2.0 * Tolerance::sum(op.taps() + 4).absolute).with_special();
        check(&format!("{op:?} x {batch}"), tolerance, [expected], |context, [output]| {
            run(context, op, &input, &packed, output);
        });
    }

    fn planar(input: [usize; 3], outputs: usize, kernel: usize, stride: usize, padding: usize) -> PlanarConv2d {
        let out = |size: usize| (size + 2 * padding - kernel) / stride + 1;
        PlanarConv2d {
            input,
            output: Blocked::new(outputs, out(input[1]), out(input[2])),
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1, 1],
            activation: None,
        }
    }

    #[test]
    fn every_width() {
        for width in 7..=45 {
            check_planar(&planar([3, 9, width], 17, 3, 1, 1), 1);
            check_planar(&planar([1, 8, width], 6, 5, 1, 0), 2);
            check_planar(&planar([2, 8, width], 33, 7, 2, 3), 1);
        }
    }

    #[test]
    fn strides_dilations_and_uneven_padding() {
        for stride in [1, 2, 3, 4, 5] {
            check_planar(&planar([3, 20, 23], 32, 3, stride, 1), 1);
            check_planar(&planar([3, 20, 23], 16, 11, stride, 2), 1);
        }
        let mut op = planar([2, 12, 14], 20, 3, 1, 0);
        op.dilation = [2, 3];
        op.padding = [2, 3];
        op.output = Blocked::new(20, 12, 14);
        check_planar(&op, 2);
        // padding="same" with an even kernel; and outputs that see nothing but padding.
        let mut op = planar([2, 12, 14], 20, 4, 1, 1);
        op.output = Blocked::new(20, 12, 14);
        check_planar(&op, 1);
        check_planar(&planar([1, 2, 1], 5, 2, 1, 4), 1);
    }

    #[test]
    fn activations_halos_bands_and_batches() {
        for activation in [None, Some(Activation::Relu), Some(Activation::Tanh), Some(Activation::Sigmoid)] {
            let mut op = planar([3, 70, 64], 40, 3, 2, 1);
            op.activation = activation;
            op.output = op.output.with_halo([1, 2, 0, 1]).within(1, 5);
            check_planar(&op, 3);
        }
        check_planar(&planar([4, 100, 130], 32, 3, 1, 1), 1);
    }
}

//! First layers: convolution from planar (NCHW) inputs of few channels into blocked outputs.
//!
//! The user's input is read as it is: the register tile (`tile`) broadcasts one float after another along the rows of each
//! plane. Where there is padding, a task first copies the rows it needs between zeros, some 64 KiB at a time, which is little beside
//! the multiplications. Weights are packed as `[bias][output block][ic][kh][kw][16]`.

use super::blocked::{BLOCK, Blocked};
use super::epilogue::Epilogue;
use super::pooled::{self, Pool2x2};
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
    /// The output `[oc, oh, ow]`, after the pool; its halo is not written. Padding below and to the right is whatever its size reads.
    pub output: Blocked,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Strides down and across.
    pub stride: [usize; 2],
    /// Padding above and to the left.
    pub padding: [usize; 2],
    /// Distances between taps, down and across.
    pub dilation: [usize; 2],
    /// The activation of the convolution's pixels.
    pub activation: Option<Activation>,
    /// What is made of each 2x2 of them, last.
    pub pool: Option<Pool2x2>,
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
        self.weight_len() as u64 * (self.convolved(0) * self.convolved(1)) as u64
    }

    /// Rows (axis 0) or columns (axis 1) that are convolved.
    pub(super) const fn convolved(&self, axis: usize) -> usize {
        let size = if axis == 0 { self.output.height } else { self.output.width };
        size * pooled::factor(self.pool)
    }

    /// Rows (axis 0) or columns (axis 1) of the input that `outputs` of them read.
    const fn reach(&self, axis: usize, outputs: usize) -> usize {
        (outputs - 1) * self.stride[axis] + (self.kernel[axis] - 1) * self.dilation[axis] + 1
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

/// Floats of pixels to be pooled that a task makes at a time: 64 KiB.
const POOLED: usize = 16 * 1024;

/// Multiplications worth a task of their own: some 5 µs at full speed.
const TASK: u64 = 400_000;

/// Computes `output` for a batch of samples `[ic, h, w]`.
///
/// # Panics
/// When a slice is no whole number of samples, the numbers differ, or `packed` has not [`packed_len`] floats.
pub fn run(context: &mut Context, op: &PlanarConv2d, input: &[f32], packed: &[f32], output: &mut [f32]) {
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    let direct = Direct { op, packed, isa: context.isa, clamp: Epilogue::new(op.activation).clamp };
    bands(context, op, input, output, &direct);
}

/// How the rows of a band are convolved.
pub(super) trait Method: Sync {
    /// Rows and columns are convolved in multiples of this: what lies beyond the output is not written, but its taps are read.
    const EDGE: usize;
    /// Rows and columns that are read beyond these taps.
    const MORE: usize;

    /// Floats of working memory for one band.
    fn scratch(&self) -> usize;

    /// Convolves rows of a sample of `to`, which starts at `start`, from `planes`, in which the first row's first tap comes first;
    /// `strides` are the distances of planes and of rows. All but the activation that [`Epilogue::finish`] applies.
    ///
    /// # Safety
    /// Every tap lies in the planes, the rows are those of a whole sample, and nobody else uses them meanwhile.
    unsafe fn convolve(
        &self,
        to: &Blocked,
        start: *mut f32,
        rows: [usize; 2],
        planes: &[f32],
        strides: [usize; 2],
        scratch: &mut [f32],
    );
}

/// Computes `output` band by band: copies what the band's taps read between zeros where there is padding, convolves, applies the
/// activation and pools.
///
/// # Panics
/// When a slice is no whole number of samples, or the numbers differ.
pub(super) fn bands<M: Method>(
    context: &mut Context,
    op: &PlanarConv2d,
    input: &[f32],
    output: &mut [f32],
    method: &M,
) {
    let batch = op.output.batch(output.len());
    assert_eq!(input.len(), batch * op.input_len(), "input and output hold different numbers of samples");
    let isa = context.isa;
    let height = op.output.height;
    let epilogue = Epilogue::new(op.activation);
    // Rows and pixels that are convolved for one of the output.
    let factor = pooled::factor(op.pool);
    let reach = |axis: usize, convolved: usize| op.reach(axis, convolved.next_multiple_of(M::EDGE)) + M::MORE;
    let columns = reach(1, op.convolved(1));
    let inside = reach(0, op.convolved(0)) <= op.input[1] && columns <= op.input[2];
    let unpadded = op.padding == [0, 0] && inside;
    let reach = |rows: usize| reach(0, rows * factor);
    let copied = |rows: usize| if unpadded { 0 } else { op.input[0] * reach(rows) * columns };
    let convolved = |rows: usize| {
        let value = Blocked::new(op.output.channels, rows * factor, op.convolved(1));
        if op.pool.is_some() { value.sample_len() } else { 0 }
    };

    // Bands of rows: enough of them for the threads, and a copy each that stays in the cache.
    let threads = parallel::threads();
    let mut bands = 1;
    if threads > 1 {
        let most = usize::try_from(op.macs() * batch as u64 / TASK).unwrap_or(usize::MAX);
        bands = parallel::tasks(most).div_ceil(batch).min(height);
    }
    let mut rows = height.div_ceil(bands);
    while rows > 1 && (copied(rows) > COPY || convolved(rows) > POOLED) {
        rows = rows.div_ceil(2);
    }
    // The same rows are convolved together however many bands there are: results do not depend on it.
    rows = rows.next_multiple_of(M::EDGE.div_ceil(factor));
    let bands = height.div_ceil(rows);
    let copy_len = copied(rows).next_multiple_of(BLOCK);
    let each = copy_len + convolved(rows) + method.scratch().next_multiple_of(BLOCK);
    let output = Disjoint::new(output);
    let tasks = batch * bands;
    let scratch = context.scratch(each * tasks.min(threads));
    parallel::for_each_scratch(scratch, each, tasks, |scratch, task| {
        let (copy, scratch) = scratch.split_at_mut(copy_len);
        let (sample, band) = (task / bands, task % bands);
        let (pixels, scratch) = scratch.split_at_mut(convolved(rows));
        let rows = [band * rows, ((band + 1) * rows).min(height)];
        let input = &input[sample * op.input_len()..][..op.input_len()];
        let first = rows[0] * factor * op.stride[0];
        let (planes, strides) = if unpadded {
            let [_, h, w] = op.input;
            (&input[first * w..], [h * w, w])
        } else {
            let reach = reach(rows[1] - rows[0]);
            copy_rows(op.input, op.padding, input, first, [reach, columns], copy);
            (&*copy, [reach * columns, columns])
        };
        let convolve = |to: &Blocked, start: *mut f32, rows: [usize; 2], scratch: &mut [f32]| {
            // SAFETY: all that the rows' taps reach lies in the input or has been copied, and nobody else uses these rows.
            unsafe {
                method.convolve(to, start, rows, planes, strides, scratch);
                for block in 0..to.blocks() {
                    epilogue.finish(isa, to, start, block, rows, [0, to.width]);
                }
            }
        };
        // SAFETY: a sample of the output.
        let sample = unsafe { output.as_ptr().add(sample * op.output.sample_len()) };
        let Some(pool) = op.pool else {
            return convolve(&op.output, sample, rows, scratch);
        };
        let height = (rows[1] - rows[0]) * factor;
        let value = Blocked::new(op.output.channels, height, op.convolved(1));
        convolve(&value, pixels.as_mut_ptr(), [0, height], scratch);
        for block in 0..value.blocks() {
            // SAFETY: pixels that have been convolved, and rows of the output that are this task's.
            unsafe {
                let rows = pooled::Rows {
                    from: pixels.as_ptr().add(value.offset(block, 0, 0)),
                    from_row: value.row_len(),
                    to: sample.add(op.output.offset(block, rows[0], 0)),
                    to_row: op.output.row_len(),
                    size: [rows[1] - rows[0], op.output.width],
                };
                pooled::blocked(isa, pool, rows);
            }
        }
    });
}

/// Copies `rows` rows of every plane of `[channels, h, w]`, the first at `first` of the padded input, `columns` wide, with zeros around;
/// `padding` is that above and to the left.
pub(super) fn copy_rows(
    [channels, h, w]: [usize; 3],
    padding: [usize; 2],
    input: &[f32],
    first: usize,
    [rows, columns]: [usize; 2],
    copy: &mut [f32],
) {
    let left = padding[1].min(columns);
    let middle = w.min(columns - left);
    for channel in 0..channels {
        for row in 0..rows {
            let to = &mut copy[(channel * rows + row) * columns..][..columns];
            let from = (first + row).wrapping_sub(padding[0]);
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

/// Tap by tap.
struct Direct<'a> {
    op: &'a PlanarConv2d,
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
    use crate::inference::testing::{PlanarAlgorithm, check_planar, planar};

    const DIRECT: PlanarAlgorithm = PlanarAlgorithm { packed_len, pack, run, error: 1.0 };

    #[test]
    fn every_width() {
        for width in 7..=45 {
            check_planar(&DIRECT, &planar([3, 9, width], 17, 3, 1, 1), 1);
            check_planar(&DIRECT, &planar([1, 8, width], 6, 5, 1, 0), 2);
            check_planar(&DIRECT, &planar([2, 8, width], 33, 7, 2, 3), 1);
        }
    }

    #[test]
    fn strides_dilations_and_uneven_padding() {
        for stride in [1, 2, 3, 4, 5] {
            check_planar(&DIRECT, &planar([3, 20, 23], 32, 3, stride, 1), 1);
            check_planar(&DIRECT, &planar([3, 20, 23], 16, 11, stride, 2), 1);
        }
        let mut op = planar([2, 12, 14], 20, 3, 1, 0);
        op.dilation = [2, 3];
        op.padding = [2, 3];
        op.output = Blocked::new(20, 12, 14);
        check_planar(&DIRECT, &op, 2);
        // padding="same" with an even kernel; and outputs that see nothing but padding.
        let mut op = planar([2, 12, 14], 20, 4, 1, 1);
        op.output = Blocked::new(20, 12, 14);
        check_planar(&DIRECT, &op, 1);
        check_planar(&DIRECT, &planar([1, 2, 1], 5, 2, 1, 4), 1);
    }

    #[test]
    fn activations_halos_bands_and_batches() {
        for activation in [None, Some(Activation::Relu), Some(Activation::Tanh), Some(Activation::Sigmoid)] {
            let mut op = planar([3, 70, 64], 40, 3, 2, 1);
            op.activation = activation;
            op.output = op.output.with_halo([1, 2, 0, 1]).within(1, 5);
            check_planar(&DIRECT, &op, 3);
        }
        check_planar(&DIRECT, &planar([4, 100, 130], 32, 3, 1, 1), 1);
    }

    #[test]
    fn pools() {
        for pool in [Pool2x2::Max, Pool2x2::Mean] {
            for activation in [None, Some(Activation::Relu), Some(Activation::Tanh)] {
                // Odd sizes, of which the last row and column are left out; with padding and without.
                for width in (7..=34).chain([71]) {
                    let op = planar([1 + width % 3, 9 + width % 2, width], 1 + width, 5, 1, 2 * (width % 2));
                    check_planar(&DIRECT, &op.pooled(pool, activation), 1 + width % 2);
                }
                // Bands, a halo, and a place within other blocks.
                let mut op = planar([3, 70, 90], 40, 3, 2, 1).pooled(pool, activation);
                op.output = op.output.with_halo([1, 2, 0, 1]).within(1, 5);
                check_planar(&DIRECT, &op, 2);
            }
        }
    }
}

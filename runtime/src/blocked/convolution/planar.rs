//! Convolutions of few channels to few channels, between planar (NCHW) values: the first layers of tiny networks.
//!
//! Vectors lie along the columns. A block of 16 channels would be mostly empty: LeNet-5's first layer has 6. A tile is two vectors, of
//! one row or of two rows where that is wider than the map, for 2, 4 or 6 output channels, and four of two rows where there are 32
//! registers; one step multiplies them with the weights of one tap, each broadcast. Rows are first copied between zeros, with room for the last vector of each. Weights are packed as
//! `[bias][group of output channels][ic][kh][kw][2, 4 or 6]`.

use super::padded::copy_rows;
use crate::blocked::epilogue::Epilogue;
use crate::blocked::folding::Weights;
use crate::blocked::maps::pool2x2::{self, Pool2x2};
use crate::blocked::rows::RowsMut;
use crate::blocked::unroll::unroll;
use crate::kernels::Context;
use crate::kernels::activation::Activation;
use crate::parallel::{self, Disjoint};
use crate::simd::{BLOCK, Isa, Kernel, Simd, dispatch};

/// A convolution between NCHW values, with its activation: PyTorch's `conv2d` with zero padding, one group and stride 1 across.
#[derive(Clone, Copy, Debug)]
pub struct PlanarConv2d {
    /// Channels, rows and columns of the input.
    pub input: [usize; 3],
    /// Channels, rows and columns of the output, after the pool. Padding below and to the right is whatever its size reads.
    pub output: [usize; 3],
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Strides down and across; the latter is 1.
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

    /// Output channels, filled up to an even number.
    const fn channels(&self) -> usize {
        self.output[0].next_multiple_of(2)
    }

    /// Floats of PyTorch's weight `[oc, ic, kh, kw]`.
    pub const fn weight_len(&self) -> usize {
        self.output[0] * self.taps()
    }

    /// Columns that are convolved.
    const fn width(&self) -> usize {
        self.output[2] * pool2x2::factor(self.pool)
    }

    /// Input rows that `rows` convolved rows read.
    const fn reach(&self, rows: usize) -> usize {
        (rows - 1) * self.stride[0] + (self.kernel[0] - 1) * self.dilation[0] + 1
    }

    /// Columns of a copied row: all that the outputs read.
    const fn columns(&self) -> usize {
        self.width() + (self.kernel[1] - 1) * self.dilation[1]
    }

    /// Groups of output channels, of about the same size: first channel and number.
    fn groups(&self) -> impl Iterator<Item = [usize; 2]> + use<> {
        let pairs = self.channels() / 2;
        let groups = pairs.div_ceil(MOST / 2);
        let at = move |group: usize| 2 * (pairs * group / groups);
        (0..groups).map(move |group| [at(group), at(group + 1) - at(group)])
    }
}

/// Output channels of a tile at most: with two vectors each, 12 sums, which hide the four cycles of a multiply-add and leave registers
/// for weights and inputs in 16; with four, 24 sums, 4 inputs and a weight in 32.
const MOST: usize = 6;

/// Floats that [`pack`] writes: biases and weights, filled up to an even number of output channels.
pub const fn packed_len(op: &PlanarConv2d) -> usize {
    op.channels() * (1 + op.taps())
}

/// Packs the weights (with what [`Weights`] folds in) for [`run`].
///
/// # Panics
/// When a slice has not the length that `op` says.
pub fn pack(op: &PlanarConv2d, weights: &Weights, packed: &mut [f32]) {
    let outputs = op.output[0];
    weights.check(op.weight_len(), outputs);
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    let taps = op.taps();
    let (bias, packed) = packed.split_at_mut(op.channels());
    weights.write_bias(outputs, bias);
    for [first, count] in op.groups() {
        let packed = &mut packed[first * taps..(first + count) * taps];
        for (tap, packed) in packed.chunks_exact_mut(count).enumerate() {
            for (channel, value) in (first..).zip(packed) {
                *value = if channel < outputs {
                    let factors = weights.factors(channel / BLOCK, outputs);
                    (f64::from(weights.weight[channel * taps + tap]) * factors[channel % BLOCK]) as f32
                } else {
                    0.0
                };
            }
        }
    }
}

/// Floats of rows that a task copies at a time: 32 KiB, which stay in the first cache.
const COPY: usize = 8 * 1024;

/// Multiplications worth a task of their own: some 5 µs at full speed.
const TASK: usize = 400_000;

/// Computes `output` for a batch of samples `[ic, h, w]`.
///
/// # Panics
/// When a slice is no whole number of samples, the numbers differ, `packed` has not [`packed_len`] floats, or the stride across is not 1.
pub fn run(context: &mut Context, op: &PlanarConv2d, input: &[f32], packed: &[f32], output: &mut [f32]) {
    let [sample, result] = [op.input, op.output].map(|sizes| sizes.iter().product::<usize>());
    assert!(result > 0 && output.len().is_multiple_of(result), "an output of no whole number of samples: {op:?}");
    let batch = output.len() / result;
    assert_eq!(input.len(), batch * sample, "input and output hold different numbers of samples");
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    assert_eq!(op.stride[1], 1, "a convolution between planar values moves by one column: {op:?}");
    let isa = context.isa;
    let height = op.output[1];
    let threads = parallel::threads();
    // Rows and pixels that are convolved for one of the output.
    let factor = pool2x2::factor(op.pool);
    let macs = batch * result * factor * factor * op.taps();
    let wanted = parallel::tasks(macs / TASK);
    let mut rows = height.div_ceil(wanted.div_ceil(batch.max(1)).min(height));
    let copied = |rows: usize| op.input[0] * op.reach(rows * factor) * op.columns();
    // What is to be pooled, `[oc][row][column]`.
    let convolved = |rows: usize| if op.pool.is_some() { op.output[0] * rows * factor * op.width() } else { 0 };
    while rows > 1 && copied(rows).max(convolved(rows)) > COPY {
        rows = rows.div_ceil(2);
    }
    let bands = height.div_ceil(rows);
    // The vectors of the last tile reach past the last row.
    let copy_len = (copied(rows) + 2 * BLOCK).next_multiple_of(BLOCK);
    let each = copy_len + (convolved(rows) + 2 * BLOCK).next_multiple_of(BLOCK);
    let epilogue = Epilogue::new(op.activation);
    let output = Disjoint::new(output);
    let tasks = batch * bands;
    let scratch = context.scratch(each * tasks.min(threads));
    parallel::for_each_scratch(scratch, each, tasks, |scratch, task| {
        let (copy, convolved) = scratch.split_at_mut(copy_len);
        let (index, band) = (task / bands, task % bands);
        let rows = [band * rows, ((band + 1) * rows).min(height)];
        let reach = [op.reach((rows[1] - rows[0]) * factor), op.columns()];
        let first = rows[0] * factor * op.stride[0];
        copy_rows(op.input, op.padding, &input[index * sample..][..sample], first, reach, copy);
        let [channels, height, width] = op.output;
        let start = index * result + rows[0] * width;
        let rows = rows[1] - rows[0];
        let (buffer, first, channel_len) = match op.pool {
            Some(_) => (Disjoint::new(convolved), 0, rows * factor * op.width()),
            None => (output, start, height * width),
        };
        let clamp = epilogue.clamp;
        // SAFETY: every task has rows of its own, which follow each other within a channel; so has it of the output, pooled or not.
        unsafe {
            let to = buffer.as_ptr().add(first);
            PlanarRows { op, copy, packed, output: to, channel_len, rows: rows * factor, clamp }.run(isa);
            let convolved = RowsMut::plain(buffer, first, [channels, channel_len], [1, 0], rows * factor * op.width());
            epilogue.finish_plain(isa, convolved);
            if let Some(pool) = op.pool {
                let result = output.as_ptr().add(start);
                for channel in 0..channels {
                    let rows = pool2x2::PooledPairs {
                        from: to.add(channel * channel_len),
                        from_row: op.width(),
                        to: result.add(channel * height * width),
                        to_row: width,
                        size: [rows, width],
                    };
                    pool2x2::planar(isa, pool, rows);
                }
            }
        }
    });
}

/// Rows of one sample.
struct PlanarRows<'a> {
    op: &'a PlanarConv2d,
    /// `[ic][reach of the rows][columns]`, and room for two blocks.
    copy: &'a [f32],
    packed: &'a [f32],
    /// The first row of the first channel.
    output: *mut f32,
    /// Floats from a channel to the next.
    channel_len: usize,
    rows: usize,
    clamp: Option<[f32; 2]>,
}

impl PlanarRows<'_> {
    fn run(&self, isa: Isa) {
        for [first, count] in self.op.groups() {
            match count {
                2 => dispatch(isa, OutputChannels::<2> { band: self, first }),
                4 => dispatch(isa, OutputChannels::<4> { band: self, first }),
                _ => dispatch(isa, OutputChannels::<MOST> { band: self, first }),
            }
        }
    }
}

/// A group of C output channels.
struct OutputChannels<'a, const C: usize> {
    band: &'a PlanarRows<'a>,
    first: usize,
}

impl<const C: usize> Kernel for OutputChannels<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (rows, width) = (self.band.rows, self.band.op.width());
        // SAFETY: the tiles cover the band's rows and columns, those past the last column being neither read as more than garbage nor
        // written; of two rows, both are the band's.
        unsafe {
            if width <= S::LANES {
                let mut row = 0;
                while row + 2 <= rows {
                    self.tile::<S, 2, 1>(simd, row, 0);
                    row += 2;
                }
                if row < rows {
                    self.tile::<S, 1, 1>(simd, row, 0);
                }
            } else {
                let mut row = 0;
                if const { S::REGISTERS >= 32 } {
                    while row + 2 <= rows {
                        for column in (0..width).step_by(2 * S::LANES) {
                            self.tile::<S, 2, 2>(simd, row, column);
                        }
                        row += 2;
                    }
                }
                for row in row..rows {
                    for column in (0..width).step_by(2 * S::LANES) {
                        self.tile::<S, 1, 2>(simd, row, column);
                    }
                }
            }
        }
    }
}

impl<const C: usize> OutputChannels<'_, C> {
    /// R rows of V vectors.
    ///
    /// # Safety
    /// The rows, and at least the first column, are the band's.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const V: usize>(&self, simd: S, row: usize, column: usize) {
        const { assert!(R <= 2 && V <= 2 && C <= MOST) };
        let PlanarRows { op, copy, packed, output, channel_len, rows, clamp } = *self.band;
        let (columns, reach) = (op.columns(), op.reach(rows));
        let (channels, width) = (op.output[0], op.width());
        let bias = &packed[self.first..][..C];
        let mut weights = packed[op.channels() + self.first * op.taps()..][..C * op.taps()].as_ptr();
        assert!(copy.len() >= op.input[0] * reach * columns + 2 * BLOCK);
        // SAFETY: a tap of the last row and column of the tile lies at most two vectors past the copied rows, for which there is room;
        // as many weights as taps follow each other; outputs are written up to the band's last column and the layer's last channel.
        unsafe {
            let mut sums = [[[simd.zero(); V]; R]; C];
            unroll!(K < C <= 6, {
                let bias = simd.splat(bias[K]);
                unroll!(I < R <= 2, {
                    unroll!(J < V <= 2, { sums[K][I][J] = bias });
                });
            });
            let mut plane = copy.as_ptr().add(row * op.stride[0] * columns + column);
            for _ in 0..op.input[0] {
                let mut line = plane;
                for _ in 0..op.kernel[0] {
                    let mut tap = line;
                    for _ in 0..op.kernel[1] {
                        let mut x = [[simd.zero(); V]; R];
                        unroll!(I < R <= 2, {
                            unroll!(J < V <= 2, {
                                x[I][J] = simd.load_ptr(tap.add(I * op.stride[0] * columns + J * S::LANES));
                            });
                        });
                        unroll!(K < C <= 6, {
                            let weight = simd.splat_ptr(weights.add(K));
                            unroll!(I < R <= 2, {
                                unroll!(J < V <= 2, { sums[K][I][J] = simd.mul_add(x[I][J], weight, sums[K][I][J]) });
                            });
                        });
                        weights = weights.add(C);
                        tap = tap.wrapping_add(op.dilation[1]);
                    }
                    line = line.wrapping_add(op.dilation[0] * columns);
                }
                plane = plane.wrapping_add(reach * columns);
            }
            if let Some([low, high]) = clamp {
                let (low, high) = (simd.splat(low), simd.splat(high));
                // The second operand is what a NaN leaves: it stays NaN.
                unroll!(K < C <= 6, {
                    unroll!(I < R <= 2, {
                        unroll!(J < V <= 2, { sums[K][I][J] = simd.min(high, simd.max(low, sums[K][I][J])) });
                    });
                });
            }
            unroll!(K < C <= 6, {
                if self.first + K < channels {
                    unroll!(I < R <= 2, {
                        unroll!(J < V <= 2, {
                            let at = column + J * S::LANES;
                            let to = output.wrapping_add((self.first + K) * channel_len + (row + I) * width + at);
                            let count = width.saturating_sub(at);
                            if count >= S::LANES {
                                simd.store_ptr(sums[K][I][J], to);
                            } else {
                                simd.store_ptr_partial(sums[K][I][J], to, count);
                            }
                        });
                    });
                }
            });
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::BatchNorm;
    use crate::blocked::testing::{pool_reference, reference};
    use crate::blocked::{Blocked, BlockedConv2d};
    use crate::kernels::testing::{Tolerance, check, data, data_in};

    #[track_caller]
    fn check_planar(op: &PlanarConv2d, batch: usize) {
        let ([channels, h, w], [outputs, oh, ow]) = (op.input, op.output);
        let factor = pool2x2::factor(op.pool);
        let input = data(1, batch * channels * h * w);
        let weight = data(2, op.weight_len());
        let (bias, shift, mean) = (data(3, outputs), data(4, outputs), data(5, outputs));
        let (scale, variance) = (data_in(6, outputs, 0.5, 1.5), data_in(7, outputs, 0.5, 1.5));
        let norm = BatchNorm { weight: Some(&scale), bias: Some(&shift), mean: &mean, variance: &variance, eps: 1e-5 };
        let weights = Weights { weight: &weight, bias: Some(&bias), norm: Some(norm) };
        let same = BlockedConv2d {
            input: Blocked::new(channels, h, w),
            output: Blocked::new(outputs, factor * oh, factor * ow),
            kernel: op.kernel,
            stride: op.stride,
            padding: op.padding,
            dilation: op.dilation,
            groups: 1,
            residual: None,
            activation: op.activation,
        };
        let expected = pool_reference(op.pool, ow, reference(&same, &input, &weights, None));
        let mut packed = vec![f32::NAN; packed_len(op)];
        pack(op, &weights, &mut packed);
        assert!(packed.iter().all(|x| x.is_finite()));
        let tolerance = Tolerance::absolute(2.0 * Tolerance::sum(op.taps() + 4).absolute).with_special();
        check(&format!("{op:?} x {batch}"), tolerance, [expected], |context, [output]| {
            run(context, op, &input, &packed, output);
        });
    }

    fn planar(input: [usize; 3], outputs: usize, kernel: usize, stride: usize, padding: usize) -> PlanarConv2d {
        let out = |size: usize, stride: usize| (size + 2 * padding - kernel) / stride + 1;
        PlanarConv2d {
            input,
            output: [outputs, out(input[1], stride), out(input[2], 1)],
            kernel: [kernel; 2],
            stride: [stride, 1],
            padding: [padding; 2],
            dilation: [1, 1],
            activation: None,
            pool: None,
        }
    }

    #[test]
    fn every_width_and_number_of_channels() {
        for width in 3..=70 {
            check_planar(&planar([1 + width % 3, 7, width], 1 + width % 15, 3, 1, 1), 1);
            check_planar(&planar([1, 8, width], 6, 3, 1, 0), 2);
        }
    }

    #[test]
    fn strides_dilations_and_uneven_padding() {
        for stride in [1, 2, 3] {
            check_planar(&planar([3, 20, 23], 4, 5, stride, 2), 2);
        }
        let mut op = planar([2, 12, 14], 7, 3, 1, 0);
        op.dilation = [2, 3];
        op.padding = [2, 3];
        op.output = [7, 12, 14];
        check_planar(&op, 2);
        // padding="same" with an even kernel; and outputs that see nothing but padding.
        let mut op = planar([2, 12, 14], 5, 4, 1, 1);
        op.output = [5, 12, 14];
        check_planar(&op, 1);
        check_planar(&planar([1, 2, 1], 5, 2, 1, 4), 1);
    }

    #[test]
    fn activations_bands_and_batches() {
        for activation in [None, Some(Activation::Relu), Some(Activation::Tanh), Some(Activation::Sigmoid)] {
            let mut op = planar([3, 70, 64], 7, 3, 1, 1);
            op.activation = activation;
            check_planar(&op, 3);
        }
        check_planar(&planar([4, 100, 130], 6, 5, 1, 2), 1);
    }

    #[test]
    fn pools() {
        for pool in [Pool2x2::Max, Pool2x2::Mean] {
            for activation in [None, Some(Activation::Relu), Some(Activation::Tanh)] {
                // Odd sizes, of which the last row and column are left out.
                for width in (6..=45).chain([70, 71, 100]) {
                    let mut op = planar([2, 9 + width % 2, width], 1 + width % 7, 3, 1, 1);
                    op.pool = Some(pool);
                    op.activation = activation;
                    (op.output[1], op.output[2]) = (op.output[1] / 2, op.output[2] / 2);
                    check_planar(&op, 1 + width % 3);
                }
                // Bands.
                let mut op = planar([3, 150, 130], 7, 5, 1, 2);
                (op.pool, op.activation, op.output) = (Some(pool), activation, [7, 75, 65]);
                check_planar(&op, 1);
                let mut op = planar([3, 40, 20], 4, 3, 2, 0);
                (op.pool, op.activation, op.output) = (Some(pool), activation, [4, 9, 9]);
                check_planar(&op, 2);
            }
        }
    }
}

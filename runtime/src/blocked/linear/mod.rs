//! Linear layers on rows: `output = activation(input * weight^T + bias)`.
//!
//! Weights are packed as `[bias][block of 16 outputs][in][16]`: vectors lie along the outputs, and each block is one stream. A row that
//! is a flattened map may lie in blocks of 16 channels: its floats stay where they are, and the weights are packed in their order.
//!
//! One row is bound by reading the weights (`stream`): some blocks at a time, the input's floats broadcast one after another. Several
//! rows (`rows`) share the weights in a register tile of rows by blocks. Their inputs are transposed first, so that a step reads the
//! floats of a tile's rows beside each other.
//!
//! The inputs are cut into slices: those of several rows stay in the cache while every weight passes by once, and those of one row can
//! be taken in any order. The first slice's sum starts from the bias, and the slices' sums are added in order, however many rows there
//! are: a sample's result does not depend on which others are computed with it.

mod rows;
mod stream;

use crate::blocked::BLOCK;
use crate::blocked::epilogue::Epilogue;
use crate::blocked::folding::Weights;
use crate::blocked::rows::RowsMut;
use crate::kernels::Context;
use crate::kernels::activation::Activation;
use crate::parallel::Disjoint;
use crate::simd::{Isa, Simd};

/// A linear layer with its activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PackedLinear {
    /// Floats of an input row.
    pub in_features: usize,
    /// Floats of an output row.
    pub out_features: usize,
    /// Channels, height and width of the map that an input row is, where it lies blocked ([`Blocked`](super::Blocked)), without a halo and
    /// with whole blocks of channels. `None` for floats as PyTorch has them.
    pub map: Option<[usize; 3]>,
    /// The activation, applied last.
    pub activation: Option<Activation>,
}

impl PackedLinear {
    /// Blocks of outputs.
    const fn blocks(&self) -> usize {
        self.out_features.div_ceil(BLOCK)
    }

    /// Floats of a block's weights.
    const fn block_len(&self) -> usize {
        self.in_features * BLOCK
    }

    /// Which of PyTorch's inputs float number `i` of a row is.
    const fn feature(&self, i: usize) -> usize {
        match self.map {
            // `[channels / 16, height, width, 16]`
            Some([_, height, width]) => {
                let (pixel, lane) = (i / BLOCK, i % BLOCK);
                let (block, at) = (pixel / (height * width), pixel % (height * width));
                (block * BLOCK + lane) * height * width + at
            }
            None => i,
        }
    }

    /// Floats of PyTorch's weight `[out, in]`.
    pub const fn weight_len(&self) -> usize {
        self.out_features * self.in_features
    }
}

/// Floats that [`pack`] writes: biases and weights, filled up to whole blocks of outputs.
pub const fn packed_len(op: &PackedLinear) -> usize {
    op.blocks() * (BLOCK + op.block_len())
}

/// Packs the weights `[out, in]` (with what [`Weights`] folds in) for [`run`].
///
/// # Panics
/// When a slice has not the length that `op` says, or a map is not the row or has channels outside of whole blocks.
pub fn pack(op: &PackedLinear, weights: &Weights, packed: &mut [f32]) {
    assert!(op.in_features > 0 && op.out_features > 0, "a linear layer of nothing: {op:?}");
    if let Some([channels, height, width]) = op.map {
        assert!(
            channels.is_multiple_of(BLOCK) && channels * height * width == op.in_features,
            "not a row's map: {op:?}"
        );
    }
    weights.check(op.weight_len(), op.out_features);
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    let (bias, packed) = packed.split_at_mut(op.blocks() * BLOCK);
    weights.write_bias(op.out_features, bias);
    for (block, packed) in packed.chunks_exact_mut(op.block_len()).enumerate() {
        let factors = weights.factors(block, op.out_features);
        for (i, packed) in packed.chunks_exact_mut(BLOCK).enumerate() {
            let feature = op.feature(i);
            for (lane, value) in packed.iter_mut().enumerate() {
                let output = block * BLOCK + lane;
                *value = if output < op.out_features {
                    (f64::from(weights.weight[output * op.in_features + feature]) * factors[lane]) as f32
                } else {
                    0.0
                };
            }
        }
    }
}

/// Computes `output` `[rows, out]` from `input` `[rows, in]`.
///
/// # Panics
/// When a slice is no whole number of rows, the numbers differ, or `packed` has not [`packed_len`] floats.
pub fn run(context: &mut Context, op: &PackedLinear, input: &[f32], packed: &[f32], output: &mut [f32]) {
    let rows = output.len().checked_div(op.out_features).unwrap_or(0);
    assert!(op.in_features > 0 && op.out_features > 0, "a linear layer of nothing: {op:?}");
    assert_eq!(output.len(), rows * op.out_features, "the output of a linear layer must hold whole rows");
    assert_eq!(input.len(), rows * op.in_features, "input and output of a linear layer hold different numbers of rows");
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    let isa = context.isa;
    let epilogue = Epilogue::new(op.activation);
    let layer = Layer { op, isa, packed, output: Disjoint::new(output), epilogue };
    if rows == 1 {
        layer.stream(context, input);
    } else if rows > 1 {
        layer.multiply(context, rows, input);
    }
}

/// Weights that are worth a task of their own, in floats: 80 KiB, some 5 µs from the third cache.
const TASK: usize = 20 * 1024;

/// Inputs of a slice at most: the weights of eight blocks are 256 KiB, the inputs of 112 rows 224 KiB.
const SLICE: usize = 512;

/// How many slices the inputs are cut into.
fn slices(in_features: usize) -> usize {
    in_features.div_ceil(SLICE)
}

/// A run.
struct Layer<'a> {
    op: &'a PackedLinear,
    isa: Isa,
    packed: &'a [f32],
    output: Disjoint<'a, f32>,
    epilogue: Epilogue,
}

impl Layer<'_> {
    /// Where a block's weights of an input lie; past the end for what there is not.
    fn weights(&self, block: usize, input: usize) -> *const f32 {
        let start = (self.op.blocks() + input) * BLOCK + block * self.op.block_len();
        self.packed.as_ptr().wrapping_add(start)
    }

    /// Applies what activation remains to the outputs of some rows and blocks.
    ///
    /// # Safety
    /// Nobody else uses them meanwhile.
    unsafe fn finish(&self, rows: [usize; 2], blocks: [usize; 2]) {
        if self.epilogue.is_finished() {
            return;
        }
        let out = self.op.out_features;
        let columns = blocks.map(|block| (block * BLOCK).min(out));
        let start = rows[0] * out + columns[0];
        // SAFETY: the caller's promise.
        let rows =
            unsafe { RowsMut::plain(self.output, start, [rows[1] - rows[0], out], [1, 0], columns[1] - columns[0]) };
        self.epilogue.finish_plain(self.isa, rows);
    }
}

/// The sums' limits, where the activation is a clamp. The second operand is what a NaN leaves: it stays NaN.
#[inline(always)]
fn clamped<S: Simd>(simd: S, clamp: Option<[f32; 2]>, sum: S::V) -> S::V {
    match clamp {
        Some([low, high]) => simd.min(simd.splat(high), simd.max(simd.splat(low), sum)),
        None => sum,
    }
}

impl Layer<'_> {
    /// Writes what is an output of the vector that starts at lane `lane` of a `[row, block]`.
    ///
    /// # Safety
    /// The row exists, and nobody else uses these outputs meanwhile.
    #[inline(always)]
    unsafe fn store<S: Simd>(&self, simd: S, [row, block]: [usize; 2], lane: usize, sums: S::V) {
        let column = block * BLOCK + lane;
        let out = self.op.out_features;
        // SAFETY: the row's floats from `column` on.
        unsafe {
            let to = self.output.as_ptr().wrapping_add(row * out + column);
            if column + S::LANES <= out {
                simd.store_ptr(sums, to);
            } else if column < out {
                simd.store_ptr_partial(sums, to, out - column);
            }
        }
    }

    /// Reads what has been written so far of a vector, zeros past the last output.
    ///
    /// # Safety
    /// As [`Layer::store`].
    #[inline(always)]
    unsafe fn load<S: Simd>(&self, simd: S, [row, block]: [usize; 2], lane: usize) -> S::V {
        let column = block * BLOCK + lane;
        let out = self.op.out_features;
        // SAFETY: the row's floats from `column` on.
        unsafe {
            let from = self.output.as_ptr().wrapping_add(row * out + column);
            if column + S::LANES <= out {
                simd.load_ptr(from)
            } else {
                simd.load_ptr_partial(from, out.saturating_sub(column))
            }
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::Blocked;
    use crate::blocked::testing::{Norm, blocked};
    use crate::kernels::Linear;
    use crate::kernels::testing::{Tolerance, check, data};
    use crate::reference;

    #[track_caller]
    fn check_linear(inputs: usize, outputs: usize, rows: usize, activation: Option<Activation>) {
        let op = PackedLinear { in_features: inputs, out_features: outputs, map: None, activation };
        let (weight, bias, norm) = (data(1, op.weight_len()), data(2, outputs), Norm::new(outputs));
        let input = data(3, rows * inputs);
        let plain = Linear { in_features: inputs, out_features: outputs, rows: 1 };
        let mut packed = vec![f32::NAN; packed_len(&op)];
        let tolerance = Tolerance::absolute(3.0 * Tolerance::sum(inputs + 4).absolute);
        for norm in [None, Some(norm.borrow())] {
            let mut expected = vec![f32::NAN; rows * outputs];
            reference::linear::forward(&plain, &input, &weight, Some(&bias), &mut expected);
            if let Some(norm) = &norm {
                for row in expected.chunks_mut(outputs) {
                    for (i, y) in row.iter_mut().enumerate() {
                        let [factor, addend] = norm.factor_and_addend(i);
                        *y = (f64::from(*y) * factor + addend) as f32;
                    }
                }
            }
            if let Some(activation) = activation {
                let sums = expected.clone();
                reference::activation::forward(activation, &sums, &mut expected);
            }
            pack(&op, &Weights { weight: &weight, bias: Some(&bias), norm }, &mut packed);
            check(&format!("{op:?} x {rows}"), tolerance, [expected], |context, [output]| {
                run(context, &op, &input, &packed, output);
            });
        }
    }

    #[test]
    fn every_number_of_rows() {
        for rows in 0..=45 {
            check_linear(19, 33, rows, None);
        }
    }

    #[test]
    fn every_number_of_outputs() {
        for outputs in (1..=40).chain([63, 64, 65, 127, 128, 129, 143, 144]) {
            for rows in [1, 2, 3, 15] {
                check_linear(7, outputs, rows, Some(Activation::Relu));
            }
        }
    }

    #[test]
    fn a_blocked_map_is_taken_as_it_lies() {
        for (sizes, rows) in [([16, 1, 1], 1), ([48, 3, 5], 1), ([32, 7, 6], 3), ([64, 5, 5], 29)] {
            let [channels, height, width] = sizes;
            let map = Blocked::new(channels, height, width);
            let plain = PackedLinear {
                in_features: channels * height * width,
                out_features: 37,
                map: None,
                activation: Some(Activation::Relu),
            };
            let op = PackedLinear { map: Some(sizes), ..plain };
            let (weight, input) = (data(1, op.weight_len()), data(2, rows * op.in_features));
            let lying = blocked(&map, &input, f32::NAN);
            let (mut packed, mut expected) = (vec![f32::NAN; packed_len(&op)], vec![f32::NAN; rows * 37]);
            pack(&plain, &Weights::new(&weight, None), &mut packed);
            run(&mut Context::new(), &plain, &input, &packed, &mut expected);
            pack(&op, &Weights::new(&weight, None), &mut packed);
            let tolerance = Tolerance::absolute(3.0 * Tolerance::sum(op.in_features + 4).absolute);
            check(&format!("{op:?} x {rows}"), tolerance, [expected], |context, [output]| {
                run(context, &op, &lying, &packed, output);
            });
        }
    }

    #[test]
    fn slices_bands_and_tasks() {
        for rows in [1, 3, 29, 130] {
            check_linear(4500, 50, rows, Some(Activation::Relu6));
            check_linear(600, 300, rows, None);
        }
        check_linear(1, 1, 1, None);
        check_linear(100, 10, 1000, None);
    }

    #[test]
    fn activations() {
        for activation in [Activation::Tanh, Activation::Sigmoid, Activation::Gelu, Activation::Relu] {
            for (outputs, rows) in [(3, 1), (16, 5), (37, 2), (300, 1), (37, 40)] {
                check_linear(20, outputs, rows, Some(activation));
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_others() {
        let op = PackedLinear { in_features: 2100, out_features: 37, map: None, activation: Some(Activation::Tanh) };
        let (weight, input) = (data(1, op.weight_len()), data(2, 5 * op.in_features));
        let mut packed = vec![0.0; packed_len(&op)];
        pack(&op, &Weights::new(&weight, None), &mut packed);
        for &isa in crate::kernels::testing::isas() {
            let mut context = crate::simd::with_isa(isa, Context::new);
            let mut together = vec![f32::NAN; 5 * 37];
            run(&mut context, &op, &input, &packed, &mut together);
            for (input, together) in input.chunks(op.in_features).zip(together.chunks(37)) {
                // Nor on the order in which its weights are read.
                for backwards in [false, true] {
                    context.backwards = backwards;
                    context.poison_scratch();
                    let mut alone = [f32::NAN; 37];
                    run(&mut context, &op, input, &packed, &mut alone);
                    crate::kernels::testing::assert_same_bits(&format!("{isa} {backwards}"), &alone, together);
                }
            }
        }
    }

    #[test]
    fn nan_stays_nan() {
        let op = PackedLinear { in_features: 3, out_features: 20, map: None, activation: Some(Activation::Relu) };
        let mut packed = vec![0.0; packed_len(&op)];
        pack(&op, &Weights::new(&data(1, 60), None), &mut packed);
        for &isa in crate::kernels::testing::isas() {
            let mut context = crate::simd::with_isa(isa, Context::new);
            let mut output = vec![0.0; 40];
            run(&mut context, &op, &[0.0, f32::NAN, 1.0, 1.0, 1.0, 1.0], &packed, &mut output);
            assert!(output[..20].iter().all(|x| x.is_nan()) && output[20..].iter().all(|x| x.is_finite()), "{isa}");
        }
    }
}

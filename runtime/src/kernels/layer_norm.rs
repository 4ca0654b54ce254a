//! Layer normalisation.

pub use castnet_descriptors::LayerNorm;

use super::Context;
use super::statistics::{Rows, Slopes, inverse_deviation, moments, normalise_by_element, products};
use super::window::{load, store};
use crate::parallel::{Disjoint, for_each_chunk, items_per_task};
use crate::simd::{BLOCK, Kernel, Simd, dispatch};

/// Checks the lengths of what there is by element and by place in a row, and returns the rows of the batch.
#[track_caller]
fn check(op: &LayerNorm, len: usize, other_len: usize, parameters: [Option<&[f32]>; 2]) -> usize {
    let (sample, rows) = (op.rows * op.length, len / op.length);
    assert!(len.is_multiple_of(sample) && other_len == len, "whole samples of {sample} elements");
    let fits = |values: &[f32]| values.len() == op.length;
    assert!(parameters.into_iter().flatten().all(fits), "one value for each of {} elements of a row", op.length);
    rows
}

/// Normalises each row by its own mean and biased variance: `(x - mean) / sqrt(var + eps) * weight + bias`.
///
/// - `input`, `output`: `[batch, rows, length]`; `weight`, `bias` (1 and 0 where they are not given): `[length]`.
/// - `saved`, `[batch, rows, 2]`: where it is given, takes the mean and `1 / sqrt(var + eps)` of each row, for the backward pass.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
pub fn forward(
    context: &mut Context,
    op: &LayerNorm,
    input: &[f32],
    weight: Option<&[f32]>,
    bias: Option<&[f32]>,
    output: &mut [f32],
    saved: Option<&mut [f32]>,
) {
    let rows = check(op, input.len(), output.len(), [weight, bias]);
    assert!(saved.as_ref().is_none_or(|saved| saved.len() == 2 * rows), "a mean and a scale for each of {rows} rows");
    let isa = context.isa;
    let saved = saved.map(Disjoint::new);
    let per_task = items_per_task(rows, 2 * op.length);
    for_each_chunk(output, per_task * op.length, |i, output| {
        let first = i * per_task;
        let count = output.len() / op.length;
        // SAFETY: the tasks' rows do not overlap.
        let saved = saved.map(|saved| unsafe { saved.slice(2 * first..2 * (first + count)) });
        dispatch(isa, Forward { op, input: &input[first * op.length..], weight, bias, output, saved });
    });
}

/// The gradient for the input: with `n = (x - mean) * scale`, `scale = 1 / sqrt(var + eps)` and `g = dy * weight`,
/// `dx = scale * (g - mean(g) - n * mean(g * n))`, the means over each row.
///
/// - `input`, `weight`: as for [`forward`], which wrote `saved`; `grad_output`: the gradient for its output.
/// - `grad_input`: takes the gradient for its input.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
pub fn backward_input(
    context: &mut Context,
    op: &LayerNorm,
    input: &[f32],
    weight: Option<&[f32]>,
    saved: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    let rows = check(op, input.len(), grad_input.len(), [weight, None]);
    check(op, input.len(), grad_output.len(), [None; 2]);
    assert_eq!(saved.len(), 2 * rows, "a mean and a scale for each of {rows} rows");
    let isa = context.isa;
    let per_task = items_per_task(rows, 3 * op.length);
    for_each_chunk(grad_input, per_task * op.length, |i, grad_input| {
        let first = i * per_task;
        let (input, grad_output) = (&input[first * op.length..], &grad_output[first * op.length..]);
        dispatch(isa, BackwardInput { op, input, weight, saved: &saved[2 * first..], grad_output, grad_input });
    });
}

/// The gradient for the weight: the sum of `dy * (x - mean) * scale` over the rows.
///
/// - `input`: as for [`forward`], which wrote `saved`; `grad_output`: the gradient for its output.
/// - `grad_weight`, `[length]`: takes the gradient.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
pub fn backward_weight(
    context: &mut Context,
    op: &LayerNorm,
    input: &[f32],
    saved: &[f32],
    grad_output: &[f32],
    grad_weight: &mut [f32],
) {
    let rows = check(op, input.len(), grad_output.len(), [Some(grad_weight), None]);
    assert_eq!(saved.len(), 2 * rows, "a mean and a scale for each of {rows} rows");
    sum_of_rows(context, op, Some((input, saved)), grad_output, grad_weight);
}

/// The gradient for the bias: the sum of `dy` over the rows.
///
/// - `grad_output`: the gradient for the output of [`forward`]; `grad_bias`, `[length]`: takes the gradient.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
pub fn backward_bias(context: &mut Context, op: &LayerNorm, grad_output: &[f32], grad_bias: &mut [f32]) {
    check(op, grad_output.len(), grad_output.len(), [Some(grad_bias), None]);
    sum_of_rows(context, op, None, grad_output, grad_bias);
}

/// The sum of the rows of `dy`; with the norm's input and what it saved, of `dy * n`.
///
/// Each task sums a run of rows, of which there are as many as the sizes say, and the runs' sums are added in order.
fn sum_of_rows(
    context: &mut Context,
    op: &LayerNorm,
    norm: Option<(&[f32], &[f32])>,
    grad_output: &[f32],
    result: &mut [f32],
) {
    let isa = context.isa;
    let per_task = items_per_task(grad_output.len() / op.length, 2 * op.length);
    let each = op.length.next_multiple_of(BLOCK);
    let partial = context.scratch(each * (grad_output.len() / op.length).div_ceil(per_task));
    for_each_chunk(partial, each, |i, sums| {
        let elements = i * per_task * op.length..grad_output.len().min((i + 1) * per_task * op.length);
        let norm = norm.map(|(input, saved)| (&input[elements.clone()], &saved[2 * i * per_task..]));
        dispatch(isa, SumOfRows { norm, rows: &grad_output[elements], sums: &mut sums[..op.length] });
    });
    result.fill(0.0);
    for sums in partial.chunks(each) {
        for (sum, partial) in result.iter_mut().zip(sums) {
            *sum += partial;
        }
    }
}

/// Consecutive rows.
struct Forward<'a> {
    op: &'a LayerNorm,
    input: &'a [f32],
    weight: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    output: &'a mut [f32],
    saved: Option<&'a mut [f32]>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let length = self.op.length;
        for (r, (x, y)) in self.input.chunks_exact(length).zip(self.output.chunks_exact_mut(length)).enumerate() {
            let moments = moments(simd, Rows::one(x));
            let mean = moments.mean as f32;
            let scale = inverse_deviation(simd, moments.variance(), self.op.eps) as f32;
            normalise_by_element(simd, x, mean, scale, self.weight, self.bias, y);
            if let Some(saved) = &mut self.saved {
                saved[2 * r..2 * r + 2].copy_from_slice(&[mean, scale]);
            }
        }
    }
}

/// Consecutive rows in the backward pass.
struct BackwardInput<'a> {
    op: &'a LayerNorm,
    input: &'a [f32],
    weight: Option<&'a [f32]>,
    saved: &'a [f32],
    grad_output: &'a [f32],
    grad_input: &'a mut [f32],
}

impl Kernel for BackwardInput<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let length = self.op.length;
        let rows = self.input.chunks_exact(length).zip(self.grad_output.chunks_exact(length));
        for ((x, dy), (saved, dx)) in rows.zip(self.saved.chunks_exact(2).zip(self.grad_input.chunks_exact_mut(length)))
        {
            let (mean, scale) = (saved[0], saved[1]);
            let (sum, product) = products(simd, Rows::one(dy), self.weight, Rows::one(x), mean);
            let count = length as f64;
            Slopes::new(mean, scale, 1.0, sum / count, product / count).apply(simd, dy, self.weight, x, dx);
        }
    }
}

/// The sum of rows, or of their products with the normalised rows.
struct SumOfRows<'a> {
    norm: Option<(&'a [f32], &'a [f32])>,
    rows: &'a [f32],
    sums: &'a mut [f32],
}

impl Kernel for SumOfRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        /// Rows whose sum is kept in a register, and added to the others' only then, so that errors grow with their square root.
        const ROWS: usize = 64;
        let length = self.sums.len();
        self.sums.fill(0.0);
        for (i, block) in self.rows.chunks(ROWS * length).enumerate() {
            let mut j = 0;
            while j < length {
                let count = (length - j).min(S::LANES);
                let mut sum = simd.zero();
                for (r, dy) in block.chunks_exact(length).enumerate() {
                    // SAFETY: j + count is at most the length of a row.
                    let dy = unsafe { load(simd, dy.as_ptr().add(j), count) };
                    sum = match self.norm {
                        None => simd.add(sum, dy),
                        Some((input, saved)) => {
                            let r = i * ROWS + r;
                            let x = &input[r * length..][..length];
                            // SAFETY: as above.
                            let x = unsafe { load(simd, x.as_ptr().add(j), count) };
                            let normalised =
                                simd.mul(simd.sub(x, simd.splat(saved[2 * r])), simd.splat(saved[2 * r + 1]));
                            simd.mul_add(dy, normalised, sum)
                        }
                    };
                }
                let sums = &mut self.sums[j..j + count];
                // SAFETY: the slice has `count` elements.
                unsafe { store(simd, simd.add(load(simd, sums.as_ptr(), count), sum), sums.as_mut_ptr(), count) };
                j += S::LANES;
            }
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{Tolerance, check, data, data_in, straddling};
    use crate::reference::layer_norm as reference;

    fn compare(rows: usize, length: usize, batch: usize, affine: bool, offset: f32) {
        let op = LayerNorm { rows, length, eps: 1e-3 };
        let len = batch * rows * length;
        let name = format!("{op:?}, batch {batch}, affine {affine}, offset {offset}");
        let input: Vec<f32> = data(1, len).into_iter().map(|x| x + offset).collect();
        let (weight, bias) = (data_in(2, length, 0.5, 1.5), data(3, length));
        let (weight, bias) = if affine { (Some(&weight[..]), Some(&bias[..])) } else { (None, None) };
        let nan = |len: usize| vec![f32::NAN; len];
        // Rounding of x - mean is half a ulp of the offset, times 1 / sqrt(var + eps), 30 at most (where the elements are all alike).
        let tolerance = Tolerance::absolute((8.0 + offset.abs()) * 30.0 * f32::EPSILON);
        let (mut output, mut saved) = (nan(len), nan(2 * batch * rows));
        reference::forward(&op, &input, weight, bias, &mut output, Some(&mut saved));
        check(&name, tolerance, [output.clone(), saved.clone()], |context, [output, saved]| {
            forward(context, &op, &input, weight, bias, output, Some(saved));
        });
        check(&format!("{name}, nothing saved"), tolerance, [output], |context, [output]| {
            forward(context, &op, &input, weight, bias, output, None);
        });
        let grad_output = data(4, len);
        let [mut grad_input, mut grad_weight, mut grad_bias] = [nan(len), nan(length), nan(length)];
        reference::backward_input(&op, &input, weight, &saved, &grad_output, &mut grad_input);
        reference::backward_weight(&op, &input, &saved, &grad_output, &mut grad_weight);
        reference::backward_bias(&op, &grad_output, &mut grad_bias);
        check(&format!("{name}, backward_input"), tolerance, [grad_input], |context, [grad_input]| {
            backward_input(context, &op, &input, weight, &saved, &grad_output, grad_input);
        });
        let sums = Tolerance::absolute(4.0 * Tolerance::sum(batch * rows).absolute + tolerance.absolute);
        check(&format!("{name}, backward_weight"), sums, [grad_weight], |context, [grad_weight]| {
            backward_weight(context, &op, &input, &saved, &grad_output, grad_weight);
        });
        check(&format!("{name}, backward_bias"), sums, [grad_bias], |context, [grad_bias]| {
            backward_bias(context, &op, &grad_output, grad_bias);
        });
    }

    #[test]
    fn rows_of_any_length() {
        for length in straddling(16).into_iter().chain(straddling(64)) {
            compare(2, length, 3, true, 0.0);
        }
        compare(3, 20, 2, false, 0.0);
        compare(1, 5000, 2, true, 0.0);
    }

    #[test]
    fn a_large_mean_does_not_hide_the_variance() {
        compare(2, 300, 3, true, 1000.0);
    }

    #[test]
    fn several_tasks() {
        compare(49, 96, 40, true, 0.0);
        compare(1000, 3, 30, true, 0.0);
    }
}

//! Group normalisation.

pub use castnet_descriptors::GroupNorm;

use super::Context;
use super::statistics::{Rows, Slopes, inverse_deviation, moments, normalise, products};
use crate::parallel::{Disjoint, for_each_chunk, for_each_chunk2, items_per_task};
use crate::simd::{Kernel, Simd, dispatch};

/// Checks the lengths of what there is by element and by channel, and returns the groups of the batch.
#[track_caller]
fn check(op: &GroupNorm, len: usize, other_len: usize, parameters: [Option<&[f32]>; 2]) -> usize {
    let sample = op.channels * op.inner;
    assert!(op.channels.is_multiple_of(op.groups), "{} groups of {} channels", op.groups, op.channels);
    assert!(len.is_multiple_of(sample) && other_len == len, "whole samples of {sample} elements");
    let fits = |values: &[f32]| values.len() == op.channels;
    assert!(parameters.into_iter().flatten().all(fits), "one value for each of {} channels", op.channels);
    len / op.group_len()
}

/// A channel's weight or bias; `missing` without an affine map.
#[inline(always)]
fn value(parameter: Option<&[f32]>, c: usize, missing: f32) -> f32 {
    parameter.map_or(missing, |values| values[c])
}

/// Normalises each group of channels of each sample by its own mean and biased variance, `(x - mean) / sqrt(var + eps)`, then
/// `* weight + bias` by channel.
///
/// - `input`, `output`: `[batch, channels, inner]`; `weight`, `bias` (1 and 0 where they are not given): `[channels]`.
/// - `saved`, `[batch, groups, 2]`: where it is given, takes the mean and `1 / sqrt(var + eps)` of each group, for the backward pass.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
pub fn forward(
    context: &mut Context,
    op: &GroupNorm,
    input: &[f32],
    weight: Option<&[f32]>,
    bias: Option<&[f32]>,
    output: &mut [f32],
    saved: Option<&mut [f32]>,
) {
    let groups = check(op, input.len(), output.len(), [weight, bias]);
    assert!(
        saved.as_ref().is_none_or(|saved| saved.len() == 2 * groups),
        "a mean and a scale for each of {groups} groups"
    );
    let isa = context.isa;
    let saved = saved.map(Disjoint::new);
    let per_task = items_per_task(groups, 2 * op.group_len());
    for_each_chunk(output, per_task * op.group_len(), |i, output| {
        let first = i * per_task;
        let count = output.len() / op.group_len();
        // SAFETY: the tasks' groups do not overlap.
        let saved = saved.map(|saved| unsafe { saved.slice(2 * first..2 * (first + count)) });
        dispatch(isa, Forward { op, input: &input[first * op.group_len()..], weight, bias, output, saved, first });
    });
}

/// The gradient for the input: with `n = (x - mean) * scale`, `scale = 1 / sqrt(var + eps)` and `g = dy * weight`,
/// `dx = scale * (g - mean(g) - n * mean(g * n))`, the means over each group.
///
/// - `input`, `weight`: as for [`forward`], which wrote `saved`; `grad_output`: the gradient for its output.
/// - `grad_input`: takes the gradient for its input.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
pub fn backward_input(
    context: &mut Context,
    op: &GroupNorm,
    input: &[f32],
    weight: Option<&[f32]>,
    saved: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    let groups = check(op, input.len(), grad_input.len(), [weight, None]);
    check(op, input.len(), grad_output.len(), [None; 2]);
    assert_eq!(saved.len(), 2 * groups, "a mean and a scale for each of {groups} groups");
    let isa = context.isa;
    let per_task = items_per_task(groups, 3 * op.group_len());
    for_each_chunk(grad_input, per_task * op.group_len(), |i, grad_input| {
        let first = i * per_task;
        let (input, grad_output) = (&input[first * op.group_len()..], &grad_output[first * op.group_len()..]);
        let saved = &saved[2 * first..];
        dispatch(isa, BackwardInput { op, input, weight, saved, grad_output, grad_input, first });
    });
}

/// The gradients for weight and bias: the sums of `dy * (x - mean) * scale` and of `dy` over each channel.
///
/// - `input`: as for [`forward`], which wrote `saved`; `grad_output`: the gradient for its output.
/// - `grad_weight`, `grad_bias`, `[channels]`: take the gradients.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
pub fn backward_parameters(
    context: &mut Context,
    op: &GroupNorm,
    input: &[f32],
    saved: &[f32],
    grad_output: &[f32],
    grad_weight: &mut [f32],
    grad_bias: &mut [f32],
) {
    let groups = check(op, input.len(), grad_output.len(), [Some(grad_weight), Some(grad_bias)]);
    assert_eq!(saved.len(), 2 * groups, "a mean and a scale for each of {groups} groups");
    let isa = context.isa;
    let per_task = items_per_task(op.channels, 2 * input.len() / op.channels);
    for_each_chunk2(grad_weight, per_task, grad_bias, per_task, |i, grad_weight, grad_bias| {
        let first = i * per_task;
        dispatch(isa, BackwardParameters { op, input, saved, grad_output, grad_weight, grad_bias, first });
    });
}

/// Consecutive groups, the first of which is the `first`-th of the batch.
struct Forward<'a> {
    op: &'a GroupNorm,
    input: &'a [f32],
    weight: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    output: &'a mut [f32],
    saved: Option<&'a mut [f32]>,
    first: usize,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let op = self.op;
        let group = op.group_len();
        for (g, (x, y)) in self.input.chunks_exact(group).zip(self.output.chunks_exact_mut(group)).enumerate() {
            let moments = moments(simd, Rows::one(x));
            let mean = moments.mean as f32;
            let scale = inverse_deviation(simd, moments.variance(), op.eps) as f32;
            let first = (self.first + g) % op.groups * (op.channels / op.groups);
            for (c, (x, y)) in (first..).zip(x.chunks_exact(op.inner).zip(y.chunks_exact_mut(op.inner))) {
                normalise(simd, x, mean, scale * value(self.weight, c, 1.0), value(self.bias, c, 0.0), y);
            }
            if let Some(saved) = &mut self.saved {
                saved[2 * g..2 * g + 2].copy_from_slice(&[mean, scale]);
            }
        }
    }
}

/// Consecutive groups in the backward pass.
struct BackwardInput<'a> {
    op: &'a GroupNorm,
    input: &'a [f32],
    weight: Option<&'a [f32]>,
    saved: &'a [f32],
    grad_output: &'a [f32],
    grad_input: &'a mut [f32],
    first: usize,
}

impl Kernel for BackwardInput<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let op = self.op;
        let (group, inner) = (op.group_len(), op.inner);
        for (g, dx) in self.grad_input.chunks_exact_mut(group).enumerate() {
            let elements = g * group..(g + 1) * group;
            let (x, dy) = (&self.input[elements.clone()], &self.grad_output[elements]);
            let (mean, scale) = (self.saved[2 * g], self.saved[2 * g + 1]);
            let first = (self.first + g) % op.groups * (op.channels / op.groups);
            let (mut sum, mut product) = (0.0, 0.0);
            for (c, (x, dy)) in (first..).zip(x.chunks_exact(inner).zip(dy.chunks_exact(inner))) {
                let (s, p) = products(simd, Rows::one(dy), None, Rows::one(x), mean);
                let weight = f64::from(value(self.weight, c, 1.0));
                (sum, product) = (sum + weight * s, product + weight * p);
            }
            let count = group as f64;
            let channels = x.chunks_exact(inner).zip(dy.chunks_exact(inner)).zip(dx.chunks_exact_mut(inner));
            for (c, ((x, dy), dx)) in (first..).zip(channels) {
                let weight = value(self.weight, c, 1.0);
                Slopes::new(mean, scale, weight, sum / count, product / count).apply(simd, dy, None, x, dx);
            }
        }
    }
}

/// The gradients of a range of channels, from `first` on.
struct BackwardParameters<'a> {
    op: &'a GroupNorm,
    input: &'a [f32],
    saved: &'a [f32],
    grad_output: &'a [f32],
    grad_weight: &'a mut [f32],
    grad_bias: &'a mut [f32],
    first: usize,
}

impl Kernel for BackwardParameters<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let op = self.op;
        let sample = op.channels * op.inner;
        for (i, (weight, bias)) in self.grad_weight.iter_mut().zip(self.grad_bias).enumerate() {
            let c = self.first + i;
            let group = c / (op.channels / op.groups);
            let (mut sum, mut dot) = (0.0, 0.0);
            for n in 0..self.input.len() / sample {
                let plane = n * sample + c * op.inner..n * sample + (c + 1) * op.inner;
                let (x, dy) = (&self.input[plane.clone()], &self.grad_output[plane]);
                let saved = &self.saved[2 * (n * op.groups + group)..][..2];
                let (s, p) = products(simd, Rows::one(dy), None, Rows::one(x), saved[0]);
                (sum, dot) = (sum + s, dot + p * f64::from(saved[1]));
            }
            *weight = dot as f32;
            *bias = sum as f32;
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{Tolerance, check, data, data_in, straddling};
    use crate::reference::group_norm as reference;

    fn compare(op: &GroupNorm, batch: usize, affine: bool, offset: f32) {
        let len = batch * op.channels * op.inner;
        let name = format!("{op:?}, batch {batch}, affine {affine}, offset {offset}");
        let input: Vec<f32> = data(1, len).into_iter().map(|x| x + offset).collect();
        let (weight, bias) = (data_in(2, op.channels, 0.5, 1.5), data(3, op.channels));
        let (weight, bias) = if affine { (Some(&weight[..]), Some(&bias[..])) } else { (None, None) };
        let nan = |len: usize| vec![f32::NAN; len];
        // As for layer norm.
        let tolerance = Tolerance::absolute((8.0 + offset.abs()) * 30.0 * f32::EPSILON);
        let (mut output, mut saved) = (nan(len), nan(2 * batch * op.groups));
        reference::forward(op, &input, weight, bias, &mut output, Some(&mut saved));
        check(&name, tolerance, [output.clone(), saved.clone()], |context, [output, saved]| {
            forward(context, op, &input, weight, bias, output, Some(saved));
        });
        check(&format!("{name}, nothing saved"), tolerance, [output], |context, [output]| {
            forward(context, op, &input, weight, bias, output, None);
        });
        let grad_output = data(4, len);
        let [mut grad_input, mut grad_weight, mut grad_bias] = [nan(len), nan(op.channels), nan(op.channels)];
        reference::backward_input(op, &input, weight, &saved, &grad_output, &mut grad_input);
        reference::backward_parameters(op, &input, &saved, &grad_output, &mut grad_weight, &mut grad_bias);
        check(&format!("{name}, backward_input"), tolerance, [grad_input], |context, [grad_input]| {
            backward_input(context, op, &input, weight, &saved, &grad_output, grad_input);
        });
        let sums = Tolerance::absolute(4.0 * Tolerance::sum(batch * op.inner).absolute + tolerance.absolute);
        check(&format!("{name}, parameters"), sums, [grad_weight, grad_bias], |context, [weight, bias]| {
            backward_parameters(context, op, &input, &saved, &grad_output, weight, bias);
        });
    }

    #[test]
    fn groups_of_any_size() {
        for inner in straddling(16) {
            for (groups, channels) in [(1, 4), (2, 6), (5, 5)] {
                compare(&GroupNorm { groups, channels, inner, eps: 1e-3 }, 3, true, 0.0);
            }
        }
        compare(&GroupNorm { groups: 2, channels: 4, inner: 6, eps: 1e-3 }, 2, false, 0.0);
        compare(&GroupNorm { groups: 2, channels: 4, inner: 60, eps: 1e-3 }, 2, true, 1000.0);
    }

    #[test]
    fn several_tasks() {
        compare(&GroupNorm { groups: 8, channels: 32, inner: 20 * 20, eps: 1e-3 }, 10, true, 0.0);
    }
}

//! Batch normalisation.

mod features;

pub use castnet_descriptors::BatchNorm;

use core::ops::Range;

use super::Context;
use super::statistics::{Rows, Slopes, inverse_deviation, moments, normalise, products};
use crate::parallel::{Disjoint, for_each, for_each_chunk, items_per_task};
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// Checks the lengths of what there is by element and by channel, and returns the batch size.
#[track_caller]
fn check<const N: usize>(op: &BatchNorm, elements: [usize; 2], channels: [Option<&[f32]>; N]) -> usize {
    let batch = elements[0] / op.sample_len();
    assert_eq!(elements, [batch * op.sample_len(); 2], "whole samples of {} elements", op.sample_len());
    assert!(
        channels.into_iter().flatten().all(|values| values.len() == op.channels),
        "one value for each of {} channels",
        op.channels
    );
    batch
}

/// The elements of channel `c`.
#[inline(always)]
fn rows<'a>(op: &BatchNorm, data: &'a [f32], c: usize) -> Rows<'a> {
    Rows::new(data, c * op.inner, op.sample_len(), op.inner)
}

/// Calls `f` for ranges of channels, on several threads, for work that passes over `passes` buffers of a batch.
fn for_each_channels(op: &BatchNorm, batch: usize, passes: usize, f: impl Fn(Range<usize>) + Sync) {
    // Vectors run along the channels where there is but one element of each.
    let grain = if op.inner == 1 { features::CHANNELS } else { 1 };
    let items = op.channels.div_ceil(grain);
    let per_task = grain * items_per_task(items, grain * batch * op.inner * passes);
    for_each(op.channels.div_ceil(per_task), |i| f(i * per_task..((i + 1) * per_task).min(op.channels)));
}

/// A channel's weight or bias; `missing` without an affine map.
#[inline(always)]
fn value(parameter: Option<&[f32]>, c: usize, missing: f32) -> f32 {
    parameter.map_or(missing, |values| values[c])
}

/// Normalises with the running statistics: `(x - running_mean) / sqrt(running_var + eps) * weight + bias`.
///
/// - `input`, `output`: `[batch, channels, inner]`.
/// - `weight`, `bias` (1 and 0 where they are not given), `running_mean`, `running_var`: `[channels]`.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
#[allow(clippy::too_many_arguments)]
pub fn forward(
    context: &mut Context,
    op: &BatchNorm,
    input: &[f32],
    weight: Option<&[f32]>,
    bias: Option<&[f32]>,
    running_mean: &[f32],
    running_var: &[f32],
    output: &mut [f32],
) {
    check(op, [input.len(), output.len()], [weight, bias, Some(running_mean), Some(running_var)]);
    let isa = context.isa;
    let scales = context.scratch(op.channels);
    dispatch(isa, Scales { op, weight, running_var, scales });
    let scales = &*scales;
    // Whole samples, or planes of them: whatever one piece is short of a task.
    let (piece, per_piece) = if op.inner == 1 { (op.sample_len(), op.channels) } else { (op.inner, 1) };
    let per_task = items_per_task(output.len() / piece, 2 * piece);
    for_each_chunk(output, per_task * piece, |i, output| {
        let input = &input[i * per_task * piece..][..output.len()];
        let first = i * per_task * per_piece % op.channels;
        dispatch(isa, Forward { op, input, mean: running_mean, scales, bias, output, first });
    });
}

/// Normalises with the mean and the biased variance of each channel over the batch, and moves the running statistics, where they are kept:
/// `running = (1 - momentum) * running + momentum * statistic`, with the unbiased variance.
///
/// - `input`, `output`: `[batch, channels, inner]`; `weight`, `bias` (1 and 0 where they are not given): `[channels]`.
/// - `running`: mean and variance, `[channels]` each. Of a single value per channel there is no unbiased variance, and the running one
///   becomes NaN, as in PyTorch's kernel; PyTorch's layer refuses such a batch.
/// - `saved`, `[2 * channels]`: takes the means, then `1 / sqrt(var + eps)`, for the backward pass.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
#[allow(clippy::too_many_arguments)]
pub fn forward_train(
    context: &mut Context,
    op: &BatchNorm,
    input: &[f32],
    weight: Option<&[f32]>,
    bias: Option<&[f32]>,
    running: Option<(&mut [f32], &mut [f32])>,
    output: &mut [f32],
    saved: &mut [f32],
) {
    let batch = check(op, [input.len(), output.len()], [weight, bias]);
    assert_eq!(saved.len(), 2 * op.channels, "a mean and a scale for each of {} channels", op.channels);
    if let Some((mean, var)) = &running {
        check(op, [0, 0], [Some(mean), Some(var)]);
    }
    let isa = context.isa;
    let (means, scales) = saved.split_at_mut(op.channels);
    let (output, means, scales) = (Disjoint::new(output), Disjoint::new(means), Disjoint::new(scales));
    let running = running.map(|(mean, var)| (Disjoint::new(mean), Disjoint::new(var)));
    for_each_channels(op, batch, 2, |channels| {
        // SAFETY: no channel is in two ranges.
        let statistics = unsafe {
            Statistics {
                means: means.slice(channels.clone()),
                scales: scales.slice(channels.clone()),
                running: running.map(|(mean, var)| (mean.slice(channels.clone()), var.slice(channels.clone()))),
            }
        };
        dispatch(isa, Train { op, input, weight, bias, output, channels, statistics });
    });
}

/// The gradient for the input of [`forward_train`]: with `n = (x - mean) * scale`, `scale = 1 / sqrt(var + eps)`,
/// `dx = weight * scale * (dy - mean(dy) - n * mean(dy * n))`, the means over each channel of the batch.
///
/// - `input`, `weight`: as for [`forward_train`], which wrote `saved`; `grad_output`: the gradient for its output.
/// - `grad_input`: takes the gradient for its input.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
pub fn backward_input(
    context: &mut Context,
    op: &BatchNorm,
    input: &[f32],
    weight: Option<&[f32]>,
    saved: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    backward_any(context.isa, op, input, weight, saved, grad_output, Some(grad_input), None);
}

/// The gradients for weight and bias of [`forward_train`]: the sums of `dy * (x - mean) * scale` and of `dy` over each channel.
///
/// - `input`: as for [`forward_train`], which wrote `saved`; `grad_output`: the gradient for its output.
/// - `grad_weight`, `grad_bias`, `[channels]`: take the gradients.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
pub fn backward_parameters(
    context: &mut Context,
    op: &BatchNorm,
    input: &[f32],
    saved: &[f32],
    grad_output: &[f32],
    grad_weight: &mut [f32],
    grad_bias: &mut [f32],
) {
    backward_any(context.isa, op, input, None, saved, grad_output, None, Some((grad_weight, grad_bias)));
}

/// [`backward_input`] and [`backward_parameters`] in one: both need the same sums over all of the batch.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
#[allow(clippy::too_many_arguments)]
pub fn backward(
    context: &mut Context,
    op: &BatchNorm,
    input: &[f32],
    weight: Option<&[f32]>,
    saved: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
    grad_weight: &mut [f32],
    grad_bias: &mut [f32],
) {
    let parameters = Some((grad_weight, grad_bias));
    backward_any(context.isa, op, input, weight, saved, grad_output, Some(grad_input), parameters);
}

#[allow(clippy::too_many_arguments)]
#[track_caller]
fn backward_any(
    isa: Isa,
    op: &BatchNorm,
    input: &[f32],
    weight: Option<&[f32]>,
    saved: &[f32],
    grad_output: &[f32],
    grad_input: Option<&mut [f32]>,
    parameters: Option<(&mut [f32], &mut [f32])>,
) {
    let batch = check(op, [input.len(), grad_output.len()], [weight]);
    assert!(grad_input.as_ref().is_none_or(|grad_input| grad_input.len() == input.len()), "a gradient for each input");
    assert_eq!(saved.len(), 2 * op.channels, "a mean and a scale for each of {} channels", op.channels);
    if let Some((weight, bias)) = &parameters {
        check(op, [0, 0], [Some(weight), Some(bias)]);
    }
    let grad_input = grad_input.map(Disjoint::new);
    let parameters = parameters.map(|(weight, bias)| (Disjoint::new(weight), Disjoint::new(bias)));
    for_each_channels(op, batch, 3, |channels| {
        // SAFETY: no channel is in two ranges.
        let parameters =
            parameters.map(|(weight, bias)| unsafe { (weight.slice(channels.clone()), bias.slice(channels.clone())) });
        dispatch(isa, Backward { op, input, weight, saved, grad_output, grad_input, parameters, channels });
    });
}

/// What the affine map of evaluation multiplies by: `weight / sqrt(running_var + eps)`.
struct Scales<'a> {
    op: &'a BatchNorm,
    weight: Option<&'a [f32]>,
    running_var: &'a [f32],
    scales: &'a mut [f32],
}

impl Kernel for Scales<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (c, scale) in self.scales.iter_mut().enumerate() {
            let inverse = inverse_deviation(simd, f64::from(self.running_var[c]), self.op.eps);
            *scale = (f64::from(value(self.weight, c, 1.0)) * inverse) as f32;
        }
    }
}

/// Consecutive planes in evaluation, the first of channel `first`; whole samples where a channel has but one element.
struct Forward<'a> {
    op: &'a BatchNorm,
    input: &'a [f32],
    mean: &'a [f32],
    scales: &'a [f32],
    bias: Option<&'a [f32]>,
    output: &'a mut [f32],
    first: usize,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Forward { op, input, mean, scales, bias, output, first } = self;
        if op.inner == 1 {
            return features::affine(simd, input, mean, scales, bias, output);
        }
        let mut c = first;
        for (input, output) in input.chunks_exact(op.inner).zip(output.chunks_exact_mut(op.inner)) {
            normalise(simd, input, mean[c], scales[c], value(bias, c, 0.0), output);
            c = if c + 1 == op.channels { 0 } else { c + 1 };
        }
    }
}

/// What is found out about a range of channels.
struct Statistics<'a> {
    means: &'a mut [f32],
    scales: &'a mut [f32],
    running: Option<(&'a mut [f32], &'a mut [f32])>,
}

impl Statistics<'_> {
    /// Keeps the statistics of `count` values for the `i`-th channel of the range.
    #[inline(always)]
    fn set<S: Simd>(&mut self, simd: S, op: &BatchNorm, i: usize, count: f64, mean: f64, squares: f64) {
        self.means[i] = mean as f32;
        self.scales[i] = inverse_deviation(simd, squares / count, op.eps) as f32;
        if let Some((running_mean, running_var)) = &mut self.running {
            let momentum = f64::from(op.momentum);
            running_mean[i] = ((1.0 - momentum) * f64::from(running_mean[i]) + momentum * mean) as f32;
            running_var[i] = ((1.0 - momentum) * f64::from(running_var[i]) + momentum * squares / (count - 1.0)) as f32;
        }
    }
}

/// A range of channels in training.
struct Train<'a> {
    op: &'a BatchNorm,
    input: &'a [f32],
    weight: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    /// Of which the planes of these channels are written.
    output: Disjoint<'a, f32>,
    channels: Range<usize>,
    statistics: Statistics<'a>,
}

impl Kernel for Train<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if self.op.inner == 1 {
            return features::train(simd, self);
        }
        let op = self.op;
        for (i, c) in self.channels.clone().enumerate() {
            let x = rows(op, self.input, c);
            let moments = moments(simd, x);
            self.statistics.set(simd, op, i, moments.count, moments.mean, moments.squares);
            let (mean, scale) = (self.statistics.means[i], self.statistics.scales[i] * value(self.weight, c, 1.0));
            // Backwards: what was read last is in the cache still.
            for n in (0..x.count).rev() {
                // SAFETY: no other task has this channel.
                let y = unsafe { self.output.slice(op.plane(n, c)) };
                normalise(simd, x.row(n), mean, scale, value(self.bias, c, 0.0), y);
            }
        }
    }
}

/// A range of channels in the backward pass.
struct Backward<'a> {
    op: &'a BatchNorm,
    input: &'a [f32],
    weight: Option<&'a [f32]>,
    saved: &'a [f32],
    grad_output: &'a [f32],
    /// Of which the planes of these channels are written.
    grad_input: Option<Disjoint<'a, f32>>,
    /// The gradients of weight and bias, of these channels.
    parameters: Option<(&'a mut [f32], &'a mut [f32])>,
    channels: Range<usize>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if self.op.inner == 1 {
            return features::backward(simd, self);
        }
        let op = self.op;
        for (i, c) in self.channels.clone().enumerate() {
            let (mean, scale) = (self.saved[c], self.saved[op.channels + c]);
            let (x, dy) = (rows(op, self.input, c), rows(op, self.grad_output, c));
            let (sum, product) = products(simd, dy, None, x, mean);
            if let Some((weight, bias)) = &mut self.parameters {
                weight[i] = (product * f64::from(scale)) as f32;
                bias[i] = sum as f32;
            }
            let Some(grad_input) = &self.grad_input else { continue };
            let count = (x.count * op.inner) as f64;
            let slopes = slopes(value(self.weight, c, 1.0), mean, scale, sum / count, product / count);
            for n in (0..x.count).rev() {
                // SAFETY: no other task has this channel.
                let dx = unsafe { grad_input.slice(op.plane(n, c)) };
                slopes.apply(simd, dy.row(n), None, x.row(n), dx);
            }
        }
    }
}

/// What gives the gradient for the input of a channel, from the means of `dy` and of `dy * (x - mean)`.
#[inline(always)]
fn slopes(weight: f32, mean: f32, scale: f32, mean_of_dy: f64, mean_of_products: f64) -> Slopes {
    let w = f64::from(weight);
    Slopes::new(mean, scale, weight, w * mean_of_dy, w * mean_of_products)
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{Tolerance, check, check_update, data, data_in, straddling};
    use crate::reference::batch_norm as reference;

    /// Compares everything with the reference, on data around `offset`.
    fn compare(channels: usize, inner: usize, batch: usize, affine: bool, offset: f32) {
        let op = BatchNorm { channels, inner, eps: 1e-3, momentum: 0.3 };
        let len = batch * channels * inner;
        let name = format!("{op:?}, batch {batch}, affine {affine}, offset {offset}");
        let input: Vec<f32> = data(1, len).into_iter().map(|x| x + offset).collect();
        let (weight, bias) = (data_in(2, channels, 0.5, 1.5), data(3, channels));
        let (weight, bias) = if affine { (Some(&weight[..]), Some(&bias[..])) } else { (None, None) };
        let (mean, var) = (data_in(4, channels, offset - 0.2, offset + 0.2), data_in(5, channels, 0.5, 1.5));
        let nan = |len: usize| vec![f32::NAN; len];
        // Rounding of x - mean is half a ulp of the offset; of the rest a few ulps of about 2.
        let tolerance = Tolerance::absolute((8.0 + offset.abs()) * f32::EPSILON);

        let mut output = nan(len);
        reference::forward(&op, &input, weight, bias, &mean, &var, &mut output);
        check(&format!("{name}, evaluation"), tolerance, [output.clone()], |context, [output]| {
            forward(context, &op, &input, weight, bias, &mean, &var, output);
        });

        let mut saved = nan(2 * channels);
        let (mut new_mean, mut new_var) = (mean.clone(), var.clone());
        let running = Some((&mut new_mean[..], &mut new_var[..]));
        reference::forward_train(&op, &input, weight, bias, running, &mut output, &mut saved);
        // One value alone is its mean; others deviate by at least a hundredth, so that 1 / sqrt(var + eps) is below 30.
        let tolerance = if batch * inner == 1 { tolerance } else { Tolerance::absolute(4.0 * tolerance.absolute) };
        check(
            &format!("{name}, no running"),
            tolerance.with_special(),
            [output.clone(), saved.clone()],
            |context, [y, saved]| {
                forward_train(context, &op, &input, weight, bias, None, y, saved);
            },
        );
        let initial = [nan(len), nan(2 * channels), mean.clone(), var.clone()];
        let expected = [output, saved.clone(), new_mean, new_var];
        check_update(
            &format!("{name}, training"),
            tolerance.with_special(),
            initial,
            expected,
            |context, [y, saved, mean, var]| {
                forward_train(context, &op, &input, weight, bias, Some((mean, var)), y, saved);
            },
        );

        let grad_output = data(6, len);
        let [mut grad_input, mut grad_weight, mut grad_bias] = [nan(len), nan(channels), nan(channels)];
        reference::backward_input(&op, &input, weight, &saved, &grad_output, &mut grad_input);
        reference::backward_parameters(&op, &input, &saved, &grad_output, &mut grad_weight, &mut grad_bias);
        // The gradient is multiplied by 1 / sqrt(var + eps), 30 at most; the sums are of as many terms as a channel has.
        let input_tolerance = Tolerance::absolute((8.0 + offset.abs()) * 30.0 * f32::EPSILON);
        check(&format!("{name}, backward_input"), input_tolerance, [grad_input.clone()], |context, [grad_input]| {
            backward_input(context, &op, &input, weight, &saved, &grad_output, grad_input);
        });
        let sums =
            Tolerance::absolute(Tolerance::sum(batch * inner).absolute * (30.0 + 30.0 * offset.abs()).min(200.0));
        check(
            &format!("{name}, parameters"),
            sums,
            [grad_weight.clone(), grad_bias.clone()],
            |context, [weight, bias]| {
                backward_parameters(context, &op, &input, &saved, &grad_output, weight, bias);
            },
        );
        let both = if sums.absolute > input_tolerance.absolute { sums } else { input_tolerance };
        check(&format!("{name}, backward"), both, [grad_input, grad_weight, grad_bias], |context, [x, w, b]| {
            backward(context, &op, &input, weight, &saved, &grad_output, x, w, b);
        });
    }

    #[test]
    fn planes() {
        for inner in straddling(16).into_iter().chain(straddling(64)) {
            compare(3, inner.max(2), 3, true, 0.0);
        }
        compare(5, 6, 4, false, 0.0);
        compare(1, 30, 1, true, 0.0);
        compare(2, 5000, 2, true, 0.0);
    }

    #[test]
    fn features() {
        for channels in straddling(16) {
            compare(channels, 1, 5, true, 0.0);
        }
        compare(7, 1, 2, false, 0.0);
        compare(70, 1, 150, true, 0.0);
    }

    #[test]
    fn a_large_mean_does_not_hide_the_variance() {
        compare(3, 49, 40, true, 1000.0);
        compare(20, 1, 300, true, -1000.0);
    }

    #[test]
    fn one_value_has_no_unbiased_variance() {
        compare(3, 1, 1, true, 0.5);
    }

    #[test]
    fn several_tasks() {
        compare(64, 25 * 25, 3, true, 0.0);
        compare(600, 1, 200, true, 0.0);
    }

    #[test]
    fn an_empty_batch_is_no_work() {
        let op = BatchNorm { channels: 2, inner: 3, eps: 1e-5, momentum: 0.1 };
        forward(&mut Context::new(), &op, &[], None, None, &[0.0; 2], &[1.0; 2], &mut []);
    }
}

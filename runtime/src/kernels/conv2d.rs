//! Two-dimensional convolution in PyTorch's layouts, with its gradients.

mod axis;
mod bias;
mod correlate;
mod dot;
mod outer;
mod plan;
mod planes;
mod tile;
mod unfold;
mod weight;

pub use castnet_descriptors::{Conv2d, PaddingMode};
pub(super) use plan::Plan;

use super::Context;
use plan::Pass;

/// How many samples `input` and `output` hold.
///
/// # Panics
/// If they do not hold equally many whole samples, or `weight` has another length than [`Conv2d::weight_len`].
#[track_caller]
pub(crate) fn batch(op: &Conv2d, input: usize, output: usize, weight: usize) -> usize {
    assert_eq!(weight, op.weight_len(), "the weight of a convolution must be [oc, ic / groups, kh, kw]");
    let batch = input.checked_div(op.input_len()).unwrap_or(0);
    assert_eq!(input, batch * op.input_len(), "the input of a convolution must hold whole samples");
    assert_eq!(output, batch * op.output_len(), "input and output of a convolution must hold equally many samples");
    batch
}

/// Writes `output` `[batch, oc, oh, ow]` from `input` `[batch, ic, h, w]`, `weight` `[oc, ic / groups, kh, kw]` and `bias` `[oc]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn forward(
    context: &mut Context,
    op: &Conv2d,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    batch(op, input.len(), output.len(), weight.len());
    assert!(bias.is_none_or(|bias| bias.len() == op.output[0]), "one bias per output channel");
    correlate::correlate(context, op, Pass::Forward, input, weight, bias, output);
}

/// Writes `grad_input` `[batch, ic, h, w]` from `weight` `[oc, ic / groups, kh, kw]` and `grad_output` `[batch, oc, oh, ow]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_input(context: &mut Context, op: &Conv2d, weight: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    batch(op, grad_input.len(), grad_output.len(), weight.len());
    correlate::correlate(context, op, Pass::Backward, grad_output, weight, None, grad_input);
}

/// Writes `grad_weight` `[oc, ic / groups, kh, kw]`, summed over the batch, from `input` `[batch, ic, h, w]` and `grad_output`
/// `[batch, oc, oh, ow]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_weight(
    context: &mut Context,
    op: &Conv2d,
    input: &[f32],
    grad_output: &[f32],
    grad_weight: &mut [f32],
) {
    batch(op, input.len(), grad_output.len(), grad_weight.len());
    weight::gradient(context, op, input, grad_output, grad_weight);
}

/// Writes `grad_bias` `[oc]`: `grad_output` `[batch, oc, oh, ow]` summed over batch and pixels.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_bias(context: &mut Context, op: &Conv2d, grad_output: &[f32], grad_bias: &mut [f32]) {
    channel_sums(context, [op.output[0], op.output[1] * op.output[2]], grad_output, grad_bias);
}

/// Writes `sums` `[channels]`: `values` `[batch, channels, plane]` summed over batch and plane.
///
/// # Panics
/// If the lengths do not fit.
pub(super) fn channel_sums(context: &mut Context, sample: [usize; 2], values: &[f32], sums: &mut [f32]) {
    assert_eq!(sums.len(), sample[0], "one sum per channel");
    bias::gradient(context, sample[1], values, sums);
}

/// Writes what `op` would have as the gradient of its input, plus a number per channel: a transposed convolution.
///
/// # Panics
/// If the lengths do not fit.
pub(super) fn transposed(
    context: &mut Context,
    op: &Conv2d,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    batch(op, output.len(), input.len(), weight.len());
    assert!(bias.is_none_or(|bias| bias.len() == op.input[0]), "one bias per output channel");
    correlate::correlate(context, op, Pass::Backward, input, weight, bias, output);
}

#[cfg(all(test, feature = "std"))]
mod tests;

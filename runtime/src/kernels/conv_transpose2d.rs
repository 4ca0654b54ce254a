//! Transposed convolution, with its gradients: the convolution that it is the gradient of, run the other way.

pub use castnet_descriptors::ConvTranspose2d;

use super::{Context, conv2d};
use conv2d::PaddingMode;

/// Writes `output` `[batch, oc, oh, ow]` from `input` `[batch, ic, h, w]`, `weight` `[ic, oc / groups, kh, kw]` and `bias` `[oc]`.
///
/// # Panics
/// If the lengths do not fit, or padding is not with zeros.
pub fn forward(
    context: &mut Context,
    op: &ConvTranspose2d,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    assert_eq!(op.adjoint.padding_mode, PaddingMode::Zeros, "a transposed convolution pads with zeros");
    conv2d::transposed(context, &op.adjoint, input, weight, bias, output);
}

/// Writes `grad_input` `[batch, ic, h, w]` from `weight` `[ic, oc / groups, kh, kw]` and `grad_output` `[batch, oc, oh, ow]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_input(
    context: &mut Context,
    op: &ConvTranspose2d,
    weight: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    conv2d::forward(context, &op.adjoint, grad_output, weight, None, grad_input);
}

/// Writes `grad_weight` `[ic, oc / groups, kh, kw]`, summed over the batch, from `input` `[batch, ic, h, w]` and `grad_output`
/// `[batch, oc, oh, ow]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_weight(
    context: &mut Context,
    op: &ConvTranspose2d,
    input: &[f32],
    grad_output: &[f32],
    grad_weight: &mut [f32],
) {
    conv2d::backward_weight(context, &op.adjoint, grad_output, input, grad_weight);
}

/// Writes `grad_bias` `[oc]`: `grad_output` `[batch, oc, oh, ow]` summed over batch and pixels.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_bias(context: &mut Context, op: &ConvTranspose2d, grad_output: &[f32], grad_bias: &mut [f32]) {
    let [channels, height, width] = op.adjoint.input;
    conv2d::channel_sums(context, [channels, height * width], grad_output, grad_bias);
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, Tolerance};
    use crate::reference::conv_transpose2d as reference;

    /// Sizes as PyTorch computes them.
    fn op(
        input: [usize; 3],
        oc: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        extra: [usize; 2],
    ) -> ConvTranspose2d {
        let length =
            |axis: usize| (input[axis + 1] - 1) * stride[axis] + kernel[axis] + extra[axis] - 2 * padding[axis];
        let adjoint = conv2d::Conv2d {
            input: [oc, length(0), length(1)],
            output: input,
            kernel,
            stride,
            padding,
            dilation: [1, 1],
            groups: 1,
            padding_mode: PaddingMode::Zeros,
        };
        ConvTranspose2d { adjoint }
    }

    fn check(op: &ConvTranspose2d, batch: usize) {
        let name = format!("{op:?} x {batch}");
        let adjoint = &op.adjoint;
        let taps = adjoint.kernel[0] * adjoint.kernel[1];
        let input = testing::data(1, batch * op.input_len());
        let weight = testing::data(2, op.weight_len());
        let bias = testing::data(3, adjoint.input[0]);
        let upstream = testing::data(4, batch * op.output_len());

        let mut output = vec![f32::NAN; upstream.len()];
        reference::forward(op, &input, &weight, Some(&bias), &mut output);
        let tolerance = Tolerance::sum(adjoint.group_outputs() * taps + 1);
        testing::check(&format!("{name}, forward"), tolerance, [output], |context, [output]| {
            forward(context, op, &input, &weight, Some(&bias), output);
        });
        let mut grad_input = vec![f32::NAN; input.len()];
        reference::backward_input(op, &weight, &upstream, &mut grad_input);
        let tolerance = Tolerance::sum(adjoint.group_inputs() * taps);
        testing::check(&format!("{name}, input"), tolerance, [grad_input], |context, [grad]| {
            backward_input(context, op, &weight, &upstream, grad);
        });
        let mut grad_weight = vec![f32::NAN; weight.len()];
        reference::backward_weight(op, &input, &upstream, &mut grad_weight);
        let tolerance = Tolerance::sum(batch * op.output_len());
        testing::check(&format!("{name}, weight"), tolerance, [grad_weight], |context, [grad]| {
            backward_weight(context, op, &input, &upstream, grad);
        });
        let mut grad_bias = vec![f32::NAN; bias.len()];
        reference::backward_bias(op, &upstream, &mut grad_bias);
        testing::check(&format!("{name}, bias"), tolerance, [grad_bias], |context, [grad]| {
            backward_bias(context, op, &upstream, grad);
        });
    }

    #[test]
    fn agrees_with_the_reference() {
        for stride in [[1, 1], [2, 2], [3, 2], [1, 4]] {
            for padding in [[0, 0], [1, 1], [2, 1]] {
                for extra in [[0, 0], [stride[0] - 1, stride[1] - 1]] {
                    check(&op([5, 4, 6], 3, [3, 3], stride, padding, extra), 2);
                    check(&op([5, 4, 6], 3, [4, 2], stride, [padding[0].min(1), 0], extra), 2);
                }
            }
        }
        let mut dilated = op([4, 5, 6], 6, [5, 5], [2, 2], [1, 1], [1, 0]);
        (dilated.adjoint.kernel, dilated.adjoint.dilation, dilated.adjoint.groups) = ([3, 3], [2, 2], 2);
        check(&dilated, 3);
        check(&op([17, 9, 9], 33, [2, 2], [2, 2], [0, 0], [0, 0]), 2);
        check(&op([4, 1, 1], 8, [4, 4], [1, 1], [0, 0], [0, 0]), 5);
    }
}

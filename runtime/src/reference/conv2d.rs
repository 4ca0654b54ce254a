//! Convolution as a matrix product with the columns of [`im2col`], per group.

use super::im2col::{col2im, columns_len, im2col};
use crate::kernels::conv2d::{Conv2d, batch};

/// `output` `[batch, oc, oh, ow]` from `input` `[batch, ic, h, w]`, `weight` `[oc, ic / groups, kh, kw]` and `bias` `[oc]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn forward(op: &Conv2d, input: &[f32], weight: &[f32], bias: Option<&[f32]>, output: &mut [f32]) {
    batch(op, input.len(), output.len(), weight.len());
    let (pixels, depth) = (op.output[1] * op.output[2], op.group_inputs() * op.kernel[0] * op.kernel[1]);
    let mut columns = vec![0.0; columns_len(op)]; // [groups * depth, pixels]
    for (input, output) in input.chunks_exact(op.input_len()).zip(output.chunks_exact_mut(op.output_len())) {
        im2col(op, input, &mut columns);
        for (o, plane) in output.chunks_exact_mut(pixels).enumerate() {
            let group = o / op.group_outputs();
            for (pixel, y) in plane.iter_mut().enumerate() {
                let mut sum = bias.map_or(0.0, |bias| f64::from(bias[o]));
                for k in 0..depth {
                    sum += f64::from(weight[o * depth + k]) * f64::from(columns[(group * depth + k) * pixels + pixel]);
                }
                *y = sum as f32;
            }
        }
    }
}

/// `grad_input` `[batch, ic, h, w]`: the transposed weight times `grad_output` `[batch, oc, oh, ow]`, back from columns.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_input(op: &Conv2d, weight: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    batch(op, grad_input.len(), grad_output.len(), weight.len());
    let (pixels, depth) = (op.output[1] * op.output[2], op.group_inputs() * op.kernel[0] * op.kernel[1]);
    let mut columns = vec![0.0; columns_len(op)]; // [groups * depth, pixels]
    for (upstream, grad_input) in
        grad_output.chunks_exact(op.output_len()).zip(grad_input.chunks_exact_mut(op.input_len()))
    {
        for (row, column) in columns.chunks_exact_mut(pixels).enumerate() {
            let (group, k) = (row / depth, row % depth);
            for (pixel, c) in column.iter_mut().enumerate() {
                let outputs = group * op.group_outputs()..(group + 1) * op.group_outputs();
                *c = outputs
                    .map(|o| f64::from(weight[o * depth + k]) * f64::from(upstream[o * pixels + pixel]))
                    .sum::<f64>() as f32;
            }
        }
        col2im(op, &columns, grad_input);
    }
}

/// `grad_weight` `[oc, ic / groups, kh, kw]`: `grad_output` `[batch, oc, oh, ow]` times the transposed columns, summed over the batch.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_weight(op: &Conv2d, input: &[f32], grad_output: &[f32], grad_weight: &mut [f32]) {
    batch(op, input.len(), grad_output.len(), grad_weight.len());
    let (pixels, depth) = (op.output[1] * op.output[2], op.group_inputs() * op.kernel[0] * op.kernel[1]);
    let mut columns = vec![0.0; columns_len(op)]; // [groups * depth, pixels]
    let mut sums = vec![0.0f64; grad_weight.len()];
    for (input, upstream) in input.chunks_exact(op.input_len()).zip(grad_output.chunks_exact(op.output_len())) {
        im2col(op, input, &mut columns);
        for (element, sum) in sums.iter_mut().enumerate() {
            let (o, k) = (element / depth, element % depth);
            let row = o / op.group_outputs() * depth + k;
            let (upstream, column) = (&upstream[o * pixels..][..pixels], &columns[row * pixels..][..pixels]);
            *sum += upstream.iter().zip(column).map(|(g, c)| f64::from(*g) * f64::from(*c)).sum::<f64>();
        }
    }
    for (g, sum) in grad_weight.iter_mut().zip(sums) {
        *g = sum as f32;
    }
}

/// `grad_bias` `[oc]`: `grad_output` `[batch, oc, oh, ow]` summed over batch and pixels.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_bias(op: &Conv2d, grad_output: &[f32], grad_bias: &mut [f32]) {
    assert_eq!(grad_bias.len(), op.output[0], "one gradient per output channel");
    channel_sums(op.output[1] * op.output[2], grad_output, grad_bias);
}

/// `sums` `[channels]`: `values` `[batch, channels, plane]` summed over batch and plane.
pub(super) fn channel_sums(plane: usize, values: &[f32], sums: &mut [f32]) {
    let channels = sums.len();
    assert_eq!(values.len() % (channels * plane).max(1), 0, "whole samples");
    let mut totals = vec![0.0f64; channels];
    for (i, value) in values.iter().enumerate() {
        totals[i / plane % channels] += f64::from(*value);
    }
    for (sum, total) in sums.iter_mut().zip(totals) {
        *sum = total as f32;
    }
}

//! Transposed convolution as its definition has it: every input element spreads the kernel over the output.

use super::conv2d::channel_sums;
use crate::kernels::conv_transpose2d::ConvTranspose2d;
use crate::kernels::conv2d::batch;

/// One product of the sum: `visit(input element, weight element, output element)`, for one sample.
fn walk(op: &ConvTranspose2d, mut visit: impl FnMut(usize, usize, usize)) {
    // The adjoint maps our output to our input.
    let adjoint = &op.adjoint;
    let [inputs, height, width] = adjoint.output;
    let [_, out_height, out_width] = adjoint.input;
    let ([kh, kw], outputs) = (adjoint.kernel, adjoint.group_inputs());
    for i in 0..inputs {
        for o in 0..outputs {
            let channel = i / adjoint.group_outputs() * outputs + o;
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                    let row = adjoint.padding_mode.source(adjoint.position(0, y, ky), out_height);
                    let col = adjoint.padding_mode.source(adjoint.position(1, x, kx), out_width);
                    if let Some((row, col)) = row.zip(col) {
                        let weight = ((i * outputs + o) * kh + ky) * kw + kx;
                        visit((i * height + y) * width + x, weight, (channel * out_height + row) * out_width + col);
                    }
                }
            }
        }
    }
}

/// `output` `[batch, oc, oh, ow]` from `input` `[batch, ic, h, w]`, `weight` `[ic, oc / groups, kh, kw]` and `bias` `[oc]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn forward(op: &ConvTranspose2d, input: &[f32], weight: &[f32], bias: Option<&[f32]>, output: &mut [f32]) {
    batch(&op.adjoint, output.len(), input.len(), weight.len());
    let plane = op.adjoint.input[1] * op.adjoint.input[2];
    for (input, output) in input.chunks_exact(op.input_len()).zip(output.chunks_exact_mut(op.output_len())) {
        let mut sums: Vec<f64> =
            (0..output.len()).map(|i| bias.map_or(0.0, |bias| f64::from(bias[i / plane]))).collect();
        walk(op, |i, w, o| sums[o] += f64::from(input[i]) * f64::from(weight[w]));
        for (y, sum) in output.iter_mut().zip(sums) {
            *y = sum as f32;
        }
    }
}

/// `grad_input` `[batch, ic, h, w]` from `weight` `[ic, oc / groups, kh, kw]` and `grad_output` `[batch, oc, oh, ow]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_input(op: &ConvTranspose2d, weight: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    batch(&op.adjoint, grad_output.len(), grad_input.len(), weight.len());
    for (upstream, grad_input) in
        grad_output.chunks_exact(op.output_len()).zip(grad_input.chunks_exact_mut(op.input_len()))
    {
        let mut sums = vec![0.0f64; grad_input.len()];
        walk(op, |i, w, o| sums[i] += f64::from(upstream[o]) * f64::from(weight[w]));
        for (g, sum) in grad_input.iter_mut().zip(sums) {
            *g = sum as f32;
        }
    }
}

/// `grad_weight` `[ic, oc / groups, kh, kw]` from `input` `[batch, ic, h, w]` and `grad_output` `[batch, oc, oh, ow]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_weight(op: &ConvTranspose2d, input: &[f32], grad_output: &[f32], grad_weight: &mut [f32]) {
    batch(&op.adjoint, grad_output.len(), input.len(), grad_weight.len());
    let mut sums = vec![0.0f64; grad_weight.len()];
    for (input, upstream) in input.chunks_exact(op.input_len()).zip(grad_output.chunks_exact(op.output_len())) {
        walk(op, |i, w, o| sums[w] += f64::from(input[i]) * f64::from(upstream[o]));
    }
    for (g, sum) in grad_weight.iter_mut().zip(sums) {
        *g = sum as f32;
    }
}

/// `grad_bias` `[oc]`: `grad_output` `[batch, oc, oh, ow]` summed over batch and pixels.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_bias(op: &ConvTranspose2d, grad_output: &[f32], grad_bias: &mut [f32]) {
    assert_eq!(grad_bias.len(), op.adjoint.input[0], "one gradient per output channel");
    channel_sums(op.adjoint.input[1] * op.adjoint.input[2], grad_output, grad_bias);
}

//! A linear layer: `output = input * weight^T + bias` on the last axis.

use super::conv2d::channel_sums;
use crate::kernels::linear::{Linear, all_rows};

/// `output` `[batch * rows, out]` from `input` `[batch * rows, in]`, `weight` `[out, in]` and `bias` `[out]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn forward(op: &Linear, input: &[f32], weight: &[f32], bias: Option<&[f32]>, output: &mut [f32]) {
    all_rows(op, input.len(), output.len(), weight.len());
    for (input, output) in input.chunks_exact(op.in_features).zip(output.chunks_exact_mut(op.out_features)) {
        for (o, y) in output.iter_mut().enumerate() {
            let products = input.iter().zip(&weight[o * op.in_features..]).map(|(x, w)| f64::from(*x) * f64::from(*w));
            *y = (bias.map_or(0.0, |bias| f64::from(bias[o])) + products.sum::<f64>()) as f32;
        }
    }
}

/// `grad_input` `[batch * rows, in]`: `grad_output` `[batch * rows, out]` times `weight` `[out, in]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_input(op: &Linear, weight: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    all_rows(op, grad_input.len(), grad_output.len(), weight.len());
    for (upstream, grad_input) in
        grad_output.chunks_exact(op.out_features).zip(grad_input.chunks_exact_mut(op.in_features))
    {
        for (i, g) in grad_input.iter_mut().enumerate() {
            let weights = weight.iter().skip(i).step_by(op.in_features);
            *g = upstream.iter().zip(weights).map(|(u, w)| f64::from(*u) * f64::from(*w)).sum::<f64>() as f32;
        }
    }
}

/// `grad_weight` `[out, in]`: the outer products of `grad_output` `[batch * rows, out]` and `input` `[batch * rows, in]`, summed.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_weight(op: &Linear, input: &[f32], grad_output: &[f32], grad_weight: &mut [f32]) {
    all_rows(op, input.len(), grad_output.len(), grad_weight.len());
    for (element, g) in grad_weight.iter_mut().enumerate() {
        let (o, i) = (element / op.in_features, element % op.in_features);
        let inputs = input.iter().skip(i).step_by(op.in_features);
        let upstream = grad_output.iter().skip(o).step_by(op.out_features);
        *g = upstream.zip(inputs).map(|(u, x)| f64::from(*u) * f64::from(*x)).sum::<f64>() as f32;
    }
}

/// `grad_bias` `[out]`: `grad_output` `[batch * rows, out]` summed over its rows.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_bias(op: &Linear, grad_output: &[f32], grad_bias: &mut [f32]) {
    assert_eq!(grad_bias.len(), op.out_features, "one gradient per output");
    channel_sums(1, grad_output, grad_bias);
}

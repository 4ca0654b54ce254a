//! A linear layer, with its gradients: `output = input * weight^T + bias` on the last axis.

pub use castnet_descriptors::Linear;

use super::Context;
use super::gemm::{Matrix, gemm};
use crate::parallel;
use crate::simd::{BLOCK, Kernel, Simd, dispatch};

/// Below so many floats, several threads do not pay: some microseconds.
const ALONE: usize = 32 * 1024;

/// Rows of all samples.
///
/// # Panics
/// If `input` and `output` do not hold equally many whole samples, or `weight` has another length than [`Linear::weight_len`].
#[track_caller]
pub(crate) fn all_rows(op: &Linear, input: usize, output: usize, weight: usize) -> usize {
    assert_eq!(weight, op.weight_len(), "the weight of a linear layer must be [out, in]");
    let batch = input.checked_div(op.input_len()).unwrap_or(0);
    assert_eq!(input, batch * op.input_len(), "the input of a linear layer must hold whole samples");
    assert_eq!(output, batch * op.output_len(), "input and output of a linear layer must hold equally many samples");
    batch * op.rows
}

/// Writes `output` `[batch * rows, out]` from `input` `[batch * rows, in]`, `weight` `[out, in]` and `bias` `[out]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn forward(
    context: &mut Context,
    op: &Linear,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    let rows = all_rows(op, input.len(), output.len(), weight.len());
    let (input, weight) = (Matrix::rows(input, op.in_features), Matrix::rows(weight, op.in_features));
    gemm(context, [rows, op.out_features, op.in_features], input, weight.transposed(), bias, false, output);
}

/// Writes `grad_input` `[batch * rows, in]` from `weight` `[out, in]` and `grad_output` `[batch * rows, out]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_input(context: &mut Context, op: &Linear, weight: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    let rows = all_rows(op, grad_input.len(), grad_output.len(), weight.len());
    let (upstream, weight) = (Matrix::rows(grad_output, op.out_features), Matrix::rows(weight, op.in_features));
    gemm(context, [rows, op.in_features, op.out_features], upstream, weight, None, false, grad_input);
}

/// Writes `grad_weight` `[out, in]`, summed over all rows, from `input` `[batch * rows, in]` and `grad_output` `[batch * rows, out]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_weight(
    context: &mut Context,
    op: &Linear,
    input: &[f32],
    grad_output: &[f32],
    grad_weight: &mut [f32],
) {
    let rows = all_rows(op, input.len(), grad_output.len(), grad_weight.len());
    let (upstream, input) = (Matrix::rows(grad_output, op.out_features), Matrix::rows(input, op.in_features));
    gemm(context, [op.out_features, op.in_features, rows], upstream.transposed(), input, None, false, grad_weight);
}

/// Writes `grad_bias` `[out]`: `grad_output` `[batch * rows, out]` summed over its rows.
///
/// # Panics
/// If the lengths do not fit.
pub fn backward_bias(context: &mut Context, op: &Linear, grad_output: &[f32], grad_bias: &mut [f32]) {
    assert_eq!(grad_bias.len(), op.out_features, "one gradient per output");
    assert_eq!(grad_output.len() % op.output_len().max(1), 0, "the gradient must hold whole samples");
    let isa = context.isa;
    let blocks = op.out_features.div_ceil(BLOCK);
    let tasks = if grad_output.len() < ALONE { 1 } else { blocks.min(4 * parallel::threads()) };
    let each = blocks.div_ceil(tasks.max(1)).max(1) * BLOCK;
    parallel::for_each_chunk(grad_bias, each, |i, sums| {
        dispatch(isa, Sums { rows: grad_output, row: op.out_features, first: i * each, sums });
    });
}

/// Sums of columns.
struct Sums<'a> {
    rows: &'a [f32],
    row: usize,
    first: usize,
    sums: &'a mut [f32],
}

impl Kernel for Sums<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (i, sums) in self.sums.chunks_mut(S::LANES).enumerate() {
            let first = self.first + i * S::LANES;
            // Two sums, so that an addition need not wait for the one before.
            let (mut even, mut odd) = (simd.zero(), simd.zero());
            let mut rows = self.rows.chunks_exact(2 * self.row);
            for pair in &mut rows {
                even = simd.add(even, simd.load_partial(&pair[first..][..sums.len()]));
                odd = simd.add(odd, simd.load_partial(&pair[self.row + first..][..sums.len()]));
            }
            if let Some(last) = rows.remainder().get(first..).filter(|last| !last.is_empty()) {
                even = simd.add(even, simd.load_partial(&last[..sums.len()]));
            }
            simd.store_partial(simd.add(even, odd), sums);
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, Tolerance};
    use crate::reference::linear as reference;

    fn check(in_features: usize, out_features: usize, rows: usize, batch: usize) {
        let op = Linear { in_features, out_features, rows };
        let name = format!("{op:?} x {batch}");
        let input = testing::data(1, batch * op.input_len());
        let weight = testing::data(2, op.weight_len());
        let bias = testing::data(3, out_features);
        let upstream = testing::data(4, batch * op.output_len());

        let mut output = vec![f32::NAN; upstream.len()];
        reference::forward(&op, &input, &weight, Some(&bias), &mut output);
        testing::check(&format!("{name}, forward"), Tolerance::sum(in_features + 1), [output], |context, [output]| {
            forward(context, &op, &input, &weight, Some(&bias), output);
        });
        let mut grad_input = vec![f32::NAN; input.len()];
        reference::backward_input(&op, &weight, &upstream, &mut grad_input);
        testing::check(&format!("{name}, input"), Tolerance::sum(out_features), [grad_input], |context, [grad]| {
            backward_input(context, &op, &weight, &upstream, grad);
        });
        let tolerance = Tolerance::sum(batch * rows);
        let mut grad_weight = vec![f32::NAN; weight.len()];
        reference::backward_weight(&op, &input, &upstream, &mut grad_weight);
        testing::check(&format!("{name}, weight"), tolerance, [grad_weight], |context, [grad]| {
            backward_weight(context, &op, &input, &upstream, grad);
        });
        let mut grad_bias = vec![f32::NAN; bias.len()];
        reference::backward_bias(&op, &upstream, &mut grad_bias);
        testing::check(&format!("{name}, bias"), tolerance, [grad_bias], |context, [grad]| {
            backward_bias(context, &op, &upstream, grad);
        });
    }

    #[test]
    fn agrees_with_the_reference() {
        for (in_features, out_features) in [(1, 1), (3, 4), (17, 1), (1, 33), (84, 10), (120, 84), (400, 120), (65, 47)]
        {
            for (rows, batch) in [(1, 1), (1, 2), (1, 3), (1, 5), (1, 32), (1, 33), (3, 4), (7, 0)] {
                check(in_features, out_features, rows, batch);
            }
        }
        check(1030, 520, 1, 70);
    }

    #[test]
    fn worked_example() {
        let op = Linear { in_features: 3, out_features: 4, rows: 1 };
        let weight = [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0, 4.0, 4.0];
        testing::check("linear", Tolerance::EXACT, [vec![6.0, 12.0, 18.0, 24.0]], |context, [output]| {
            forward(context, &op, &[1.0, 2.0, 3.0], &weight, None, output);
        });
    }
}

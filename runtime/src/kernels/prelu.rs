//! The rectifier with a learned slope below zero (He, Zhang, Ren and Sun, 2015).

pub use castnet_descriptors::Prelu;

use super::Context;
use super::activation::{gradient, value};
use super::map::{TASK, map_rows};
use crate::parallel;
use crate::simd::{Kernel, Simd, dispatch};

/// Checks the lengths of the slopes and of what there is by element.
#[track_caller]
fn check(op: &Prelu, weight_len: usize, buffers: &[usize]) {
    assert_eq!(weight_len, op.channels, "as many slopes as channels");
    let sample = op.channels * op.inner;
    assert!(buffers.iter().all(|&len| len == buffers[0] && len % sample == 0), "whole samples of {op:?}");
}

/// `output = input` where positive, else `weight[channel] * input`.
///
/// # Panics
/// If the lengths are not those of the same whole number of samples.
pub fn forward(context: &mut Context, op: &Prelu, input: &[f32], weight: &[f32], output: &mut [f32]) {
    check(op, weight.len(), &[input.len(), output.len()]);
    map_rows(context.isa, op.inner, |row| value::LeakyRelu(weight[row % op.channels]), [input], output);
}

/// `grad_input = grad_output` where the input is positive, else `weight[channel] * grad_output`.
///
/// # Panics
/// If the lengths are not those of the same whole number of samples.
pub fn backward_input(
    context: &mut Context,
    op: &Prelu,
    input: &[f32],
    weight: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    check(op, weight.len(), &[input.len(), grad_output.len(), grad_input.len()]);
    let slope = |row: usize| gradient::LeakyRelu(weight[row % op.channels]);
    map_rows(context.isa, op.inner, slope, [input, grad_output], grad_input);
}

/// `grad_weight[channel] = sum(grad_output * input)` over what is not positive, in the whole batch.
///
/// # Panics
/// If the lengths are not those of the same whole number of samples.
pub fn backward_weight(context: &mut Context, op: &Prelu, input: &[f32], grad_output: &[f32], grad_weight: &mut [f32]) {
    check(op, grad_weight.len(), &[input.len(), grad_output.len()]);
    let isa = context.isa;
    // A row of `inner` elements is summed in pieces of a task at most, a task takes pieces worth that much.
    let (rows, pieces) = (input.len() / op.inner, op.inner.div_ceil(TASK));
    let sums = context.scratch(rows * pieces);
    let together = (TASK / op.inner).max(1);
    parallel::for_each_chunk(sums, together, |task, sums| {
        for (i, sum) in sums.iter_mut().enumerate() {
            let (row, piece) = ((task * together + i) / pieces, (task * together + i) % pieces);
            let range = row * op.inner + piece * TASK..row * op.inner + ((piece + 1) * TASK).min(op.inner);
            *sum = dispatch(isa, Sum { input: &input[range.clone()], grad_output: &grad_output[range] });
        }
    });
    // [batch, channels, pieces]
    for (channel, gradient) in grad_weight.iter_mut().enumerate() {
        let rows = (channel..rows).step_by(op.channels);
        let sums = rows.flat_map(|row| &sums[row * pieces..(row + 1) * pieces]);
        *gradient = sums.map(|&sum| f64::from(sum)).sum::<f64>() as f32;
    }
}

/// The sum of `grad_output * input` over what is not positive.
struct Sum<'a> {
    input: &'a [f32],
    grad_output: &'a [f32],
}

impl Kernel for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut sums = [s.zero(); 2];
        // Two sums, since an addition takes some cycles to give what the next one needs.
        for (x, g) in self.input.chunks(2 * S::LANES).zip(self.grad_output.chunks(2 * S::LANES)) {
            let middle = x.len().min(S::LANES);
            for (sum, (x, g)) in sums.iter_mut().zip([(&x[..middle], &g[..middle]), (&x[middle..], &g[middle..])]) {
                let (x, g) = (s.load_partial(x), s.load_partial(g));
                // `select` and not `min(x, 0)`: an infinite gradient of what is positive counts for nothing.
                *sum = s.add(*sum, s.select(s.gt(x, s.zero()), s.zero(), s.mul(x, g)));
            }
        }
        s.reduce_sum(s.add(sums[0], sums[1]))
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{Tolerance, check, data};
    use crate::reference::prelu as reference;

    #[test]
    fn agrees_with_the_reference() {
        let sizes =
            [(1, 1), (1, 10), (3, 1), (5, 15), (5, 16), (5, 17), (64, 49), (3, 1000), (1, 2 * TASK + 9), (2, TASK)];
        for (channels, inner) in sizes {
            for batch in [1, 3] {
                let op = Prelu { channels, inner };
                let len = batch * channels * inner;
                let (mut input, upstream, weight) = (data(1, len), data(2, len), data(3, channels));
                input[len / 2] = 0.0;
                let (mut output, mut gradient, mut of_weight) =
                    (vec![f32::NAN; len], vec![f32::NAN; len], vec![f32::NAN; channels]);
                reference::forward(&op, &input, &weight, &mut output);
                reference::backward_input(&op, &input, &weight, &upstream, &mut gradient);
                reference::backward_weight(&op, &input, &upstream, &mut of_weight);
                let name = format!("{op:?}, batch {batch}");
                check(&name, Tolerance::EXACT, [output], |context, [output]| {
                    forward(context, &op, &input, &weight, output);
                });
                check(&name, Tolerance::EXACT, [gradient], |context, [gradient]| {
                    backward_input(context, &op, &input, &weight, &upstream, gradient);
                });
                check(&name, Tolerance::sum(batch * inner), [of_weight], |context, [gradient]| {
                    backward_weight(context, &op, &input, &upstream, gradient);
                });
            }
        }
    }
}

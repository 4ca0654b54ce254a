//! Power-average pooling.

pub use castnet_descriptors::LpPool2d;

use super::Context;
use super::avg_pool2d;
use super::map::{Function, map, update};
use super::math;
use crate::simd::Simd;

/// `y = (sum of x^p over the window)^(1/p)`, where the sum is the mean times the size of a whole window.
///
/// - `input`: `[batch, channels, height, width]` as `op.pool.input` says; `output` likewise.
///
/// # Panics
///
/// If the lengths disagree with `op`.
pub fn forward(context: &mut Context, op: &LpPool2d, input: &[f32], output: &mut [f32]) {
    let (isa, means) = (context.isa, op.means());
    let scratch_len = avg_pool2d::forward_scratch_len(&means, input.len(), output.len());
    let (powers, scratch) = context.scratch(input.len() + scratch_len).split_at_mut(input.len());
    map(isa, Power(op.norm_type), [input], powers);
    avg_pool2d::forward_in(isa, &means, powers, output, scratch);
    // The means have a place of their own: a loop reads and writes different ones.
    let means = &mut powers[..output.len()];
    means.copy_from_slice(output);
    map(isa, Root { window: op.window_len() as f32, root: 1.0 / op.norm_type }, [means], output);
}

/// With `n` elements of a whole window, a window's mean has the gradient `dy n / p * y^(1 - p)`, which is 0 where `y` is 0, as in PyTorch;
/// and an input has `p x^(p - 1)` times what its windows' means give to it.
///
/// - `input`, `output`: what [`forward`] read and wrote; `grad_output`: the gradient for `output`.
/// - `grad_input`: takes the gradient for `input`.
///
/// # Panics
///
/// If the lengths disagree with `op`.
pub fn backward(
    context: &mut Context,
    op: &LpPool2d,
    input: &[f32],
    output: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    let (isa, means) = (context.isa, op.means());
    let scratch_len = avg_pool2d::backward_scratch_len(&means, input.len());
    let (gradients, scratch) = context.scratch(output.len() + scratch_len).split_at_mut(output.len());
    let factor = op.window_len() as f32 / op.norm_type;
    map(isa, OfMean { factor, power: 1.0 - op.norm_type }, [output, grad_output], gradients);
    avg_pool2d::backward_in(isa, &means, gradients, grad_input, scratch);
    update(isa, OfInput(op.norm_type), input, grad_input);
}

/// `x^p` as C's `pow` has it: NaN of a negative number where `p` is not whole.
#[inline(always)]
fn power<S: Simd>(simd: S, x: S::V, p: f32) -> S::V {
    if p == 0.0 {
        return simd.splat(1.0);
    } else if p == 1.0 {
        return x;
    } else if p == 2.0 {
        return simd.mul(x, x);
    } else if p == 3.0 {
        return simd.mul(simd.mul(x, x), x);
    } else if p == 0.5 {
        return simd.sqrt(x);
    }
    let magnitude = math::pow(simd, simd.abs(x), p);
    // Whole and even, whole and odd, or neither. (Floats past 2^24 are even.)
    let of_negative = match p % 2.0 {
        0.0 => magnitude,
        1.0 | -1.0 => simd.neg(magnitude),
        _ => simd.splat(f32::NAN),
    };
    simd.select(simd.lt(x, simd.zero()), of_negative, magnitude)
}

/// `x^p`.
#[derive(Clone, Copy)]
struct Power(f32);

impl Function<1> for Power {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, [x]: [S::V; 1]) -> S::V {
        power(simd, x, self.0)
    }
}

/// The root of a mean times the window's size.
#[derive(Clone, Copy)]
struct Root {
    window: f32,
    root: f32,
}

impl Function<1> for Root {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, [mean]: [S::V; 1]) -> S::V {
        power(simd, simd.mul(mean, simd.splat(self.window)), self.root)
    }
}

/// The gradient of a mean, from the output and its gradient.
#[derive(Clone, Copy)]
struct OfMean {
    factor: f32,
    power: f32,
}

impl Function<2> for OfMean {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, [output, gradient]: [S::V; 2]) -> S::V {
        let slope = simd.mul(simd.splat(self.factor), power(simd, output, self.power));
        simd.select(simd.eq(output, simd.zero()), simd.zero(), simd.mul(gradient, slope))
    }
}

/// The gradient of an input, from that of its power and itself.
#[derive(Clone, Copy)]
struct OfInput(f32);

impl Function<2> for OfInput {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, [gradient, input]: [S::V; 2]) -> S::V {
        let slope = simd.mul(simd.splat(self.0), power(simd, input, self.0 - 1.0));
        simd.mul(gradient, slope)
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::pool2d::sized;
    use crate::kernels::testing::{Tolerance, check, data, straddling};
    use crate::reference::lp_pool2d as reference;

    fn compare(op: &LpPool2d, batch: usize, input: &[f32]) {
        let grad_output = data(2, batch * op.pool.output.iter().product::<usize>());
        let (mut output, mut grad_input) = (vec![f32::NAN; grad_output.len()], vec![f32::NAN; input.len()]);
        reference::forward(op, input, &mut output);
        reference::backward(op, input, &output, &grad_output, &mut grad_input);
        // Powers and roots err by some ulp times the logarithm; sums of both signs (odd powers) lose more.
        let tolerance = Tolerance { absolute: 2e-5, ..Tolerance::relative(2e-4) }.with_special();
        check(&format!("{op:?}"), tolerance, [output.clone()], |context, [output]| forward(context, op, input, output));
        check(&format!("{op:?}, backward"), tolerance, [grad_input], |context, [grad_input]| {
            backward(context, op, input, &output, &grad_output, grad_input);
        });
    }

    #[test]
    fn powers_of_any_kind() {
        for width in straddling(16) {
            for (kernel, stride) in [([2, 2], [2, 2]), ([3, 3], [2, 2]), ([2, 3], [1, 2]), ([3, 1], [4, 1])] {
                for norm_type in [1.0, 1.5, 2.0, 2.5, 4.0] {
                    let pool = sized([2, 7, width + 4], kernel, stride, [0, 0], [1, 1], norm_type > 1.5);
                    let op = LpPool2d { pool, norm_type };
                    let input = data(1, 2 * pool.input.iter().product::<usize>());
                    // Roots of sums near 0 have slopes without bound, and powers of negative numbers are NaN but for even ones.
                    let input: Vec<f32> = input.iter().map(|x| x.abs() + 0.1).collect();
                    compare(&op, 2, &input);
                    if norm_type % 2.0 == 0.0 {
                        let signs: Vec<f32> =
                            input.iter().zip(data(3, input.len())).map(|(x, s)| x.copysign(s)).collect();
                        compare(&op, 2, &signs);
                    }
                }
            }
        }
    }

    #[test]
    fn several_tasks_and_one_window() {
        let pool = sized([40, 64, 64], [2, 2], [2, 2], [0, 0], [1, 1], false);
        compare(&LpPool2d { pool, norm_type: 2.0 }, 1, &data(1, 40 * 64 * 64));
        let pool = sized([3, 7, 8], [7, 8], [1, 1], [0, 0], [1, 1], false);
        compare(&LpPool2d { pool, norm_type: 2.0 }, 2, &data(1, 2 * 3 * 56));
    }

    /// torch.nn.LPPool2d(3, 2) of [[-1, -2], [0.5, 0]] and of zeros, and LPPool2d(2, 2) of zeros, with their gradients.
    #[test]
    fn negative_sums_and_zeros() {
        let pool = sized([1, 2, 2], [2, 2], [2, 2], [0, 0], [1, 1], false);
        compare(&LpPool2d { pool, norm_type: 3.0 }, 1, &[-1.0, -2.0, 0.5, 0.0]);
        for norm_type in [1.0, 2.0, 3.0] {
            let op = LpPool2d { pool, norm_type };
            compare(&op, 1, &[0.0; 4]);
            let mut gradients = [f32::NAN; 4];
            backward(&mut Context::new(), &op, &[0.0; 4], &[0.0], &[1.0], &mut gradients);
            assert_eq!(gradients, [0.0; 4]);
        }
        let (mut context, mut output) = (Context::new(), [0.0]);
        forward(&mut context, &LpPool2d { pool, norm_type: 3.0 }, &[-1.0, -2.0, 0.5, 0.0], &mut output);
        assert!(output[0].is_nan());
    }
}

//! Activation functions without parameters, as `torch.nn` defines them.

pub use castnet_descriptors::Activation;

use super::map::{Function, map};
use super::{Context, math};
use crate::simd::Simd;

/// `sqrt(2 / pi)` and the cubic coefficient of [`Activation::GeluTanh`].
const GELU_SCALE: f32 = 0.797_884_6;
const GELU_CUBIC: f32 = 0.044_715;
/// `1 / sqrt(2 pi)`, the normal density at zero.
const DENSITY: f32 = 0.398_942_3;

/// Calls `$run!(function)` with the type that implements the function in `$module`: the choice is made once a call, not once a vector.
macro_rules! with_function {
    ($op:expr, $module:ident, $run:ident) => {
        match $op {
            Activation::Relu => $run!($module::Relu),
            Activation::Relu6 => $run!($module::Relu6),
            Activation::LeakyRelu { negative_slope } => $run!($module::LeakyRelu(negative_slope)),
            Activation::Elu { alpha } => $run!($module::Elu(alpha)),
            Activation::Sigmoid => $run!($module::Sigmoid),
            Activation::Tanh => $run!($module::Tanh),
            Activation::Gelu => $run!($module::Gelu),
            Activation::GeluTanh => $run!($module::GeluTanh),
            Activation::Silu => $run!($module::Silu),
            Activation::Hardswish => $run!($module::Hardswish),
            Activation::Hardsigmoid => $run!($module::Hardsigmoid),
        }
    };
}
pub(crate) use with_function;

/// `output = op(input)`, elementwise; any lengths that agree. NaN gives NaN.
///
/// # Panics
/// If the lengths differ.
pub fn forward(context: &mut Context, op: Activation, input: &[f32], output: &mut [f32]) {
    macro_rules! run {
        ($function:expr) => {
            map(context.isa, $function, [input], output)
        };
    }
    with_function!(op, value, run);
}

/// `grad_input = grad_output * op'(x)`, elementwise, where `saved` is the output or the input: see [`Activation::saves_output`].
/// At a kink the derivative is PyTorch's: zero at the ends of what is flat, the left one for `LeakyRelu` and `Elu`.
///
/// # Panics
/// If the lengths differ.
pub fn backward(context: &mut Context, op: Activation, saved: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    macro_rules! run {
        ($function:expr) => {
            map(context.isa, $function, [saved, grad_output], grad_input)
        };
    }
    with_function!(op, gradient, run);
}

/// `y` clamped to 0..=6, NaN kept.
#[inline(always)]
fn clamp6<S: Simd>(s: S, y: S::V) -> S::V {
    s.min(s.splat(6.0), s.max(s.zero(), y))
}

/// The normal distribution at `x`, through the error function or the hyperbolic tangent. `gelu(x) = x * normal(x)`.
#[inline(always)]
fn normal<S: Simd>(s: S, x: S::V) -> S::V {
    let half = s.splat(0.5);
    s.mul_add(math::erf(s, s.mul(x, s.splat(core::f32::consts::FRAC_1_SQRT_2))), half, half)
}

/// `(1 + tanh(u)) / 2` with `u = sqrt(2 / pi) * (x + 0.044715 x^3)`, as `sigmoid(2 u)`, in which nothing cancels where x is negative.
#[inline(always)]
fn normal_tanh<S: Simd>(s: S, x: S::V) -> S::V {
    let doubled = s.mul_add(s.mul(x, x), s.splat(2.0 * GELU_CUBIC * GELU_SCALE), s.splat(2.0 * GELU_SCALE));
    math::sigmoid(s, s.mul(x, doubled))
}

/// `x` clamped to where the two Gelu bend: beyond, their derivatives are 0 and 1, but a formula with `x^2` overflows. NaN is kept.
#[inline(always)]
fn clamp_gelu<S: Simd>(s: S, x: S::V) -> S::V {
    s.min(s.splat(20.0), s.max(s.splat(-20.0), x))
}

/// Declares functions of `N` floats.
macro_rules! functions {
    ($n:literal: $($name:ident $(($field:ident))? |$self:ident, $s:ident, $x:pat_param| $body:expr;)*) => {$(
        #[derive(Clone, Copy)]
        pub struct $name $((pub $field))?;
        impl Function<$n> for $name {
            #[inline(always)]
            fn apply<S: Simd>($self, $s: S, $x: [S::V; $n]) -> S::V {
                $body
            }
        }
    )*};
}

/// The functions of their input.
pub(crate) mod value {
    use super::*;

    functions! { 1:
        Relu |self, s, [x]| s.max(s.zero(), x);
        Relu6 |self, s, [x]| clamp6(s, x);
        LeakyRelu(f32) |self, s, [x]| s.select(s.gt(x, s.zero()), x, s.mul(x, s.splat(self.0)));
        Elu(f32) |self, s, [x]| s.select(s.gt(x, s.zero()), x, s.mul(s.splat(self.0), math::exp_m1(s, x)));
        Sigmoid |self, s, [x]| math::sigmoid(s, x);
        Tanh |self, s, [x]| math::tanh(s, x);
        Gelu |self, s, [x]| s.mul(x, normal(s, x));
        GeluTanh |self, s, [x]| s.mul(x, normal_tanh(s, x));
        Silu |self, s, [x]| s.mul(x, math::sigmoid(s, x));
        Hardswish |self, s, [x]| s.mul(s.mul(x, s.splat(1.0 / 6.0)), clamp6(s, s.add(x, s.splat(3.0))));
        Hardsigmoid |self, s, [x]| s.mul(s.splat(1.0 / 6.0), clamp6(s, s.add(x, s.splat(3.0))));
    }
}

/// The gradients: of the output `y` or the input `x`, whichever is saved, and the upstream gradient `g`.
pub(crate) mod gradient {
    use super::*;

    functions! { 2:
        // Written as "zero where y <= 0", so that NaN passes the gradient on, as PyTorch does.
        Relu |self, s, [y, g]| s.select(s.le(y, s.zero()), s.zero(), g);
        // Written as "the gradient where 0 < y < 6", so that NaN does not, as PyTorch's vectors do.
        Relu6 |self, s, [y, g]| s.select(s.gt(y, s.zero()), s.select(s.ge(y, s.splat(6.0)), s.zero(), g), s.zero());
        LeakyRelu(f32) |self, s, [x, g]| s.select(s.gt(x, s.zero()), g, s.mul(g, s.splat(self.0)));
        Elu(f32) |self, s, [x, g]| {
            let left = s.mul(s.mul(g, s.splat(self.0)), math::exp(s, x));
            s.select(s.gt(x, s.zero()), g, left)
        };
        // y (1 - y)
        Sigmoid |self, s, [y, g]| s.mul(g, s.neg_mul_add(y, y, y));
        // 1 - y^2
        Tanh |self, s, [y, g]| s.mul(g, s.neg_mul_add(y, y, s.splat(1.0)));
        // F(x) + x f(x) with the density f(x) = e^(-x^2 / 2) / sqrt(2 pi)
        Gelu |self, s, [x, g]| {
            let x = clamp_gelu(s, x);
            let density = s.mul(s.splat(DENSITY), math::exp(s, s.mul(s.mul(x, x), s.splat(-0.5))));
            s.mul(g, s.mul_add(x, density, normal(s, x)))
        };
        // F(x) + x F(x) (1 - F(x)) 2 u' with F(x) = sigmoid(2 u), u' = sqrt(2 / pi) (1 + 3 * 0.044715 x^2)
        GeluTanh |self, s, [x, g]| {
            let x = clamp_gelu(s, x);
            let normal = normal_tanh(s, x);
            let doubled = s.mul_add(s.mul(x, x), s.splat(6.0 * GELU_CUBIC * GELU_SCALE), s.splat(2.0 * GELU_SCALE));
            s.mul(g, s.mul_add(s.mul(x, doubled), s.neg_mul_add(normal, normal, normal), normal))
        };
        // s (1 + x (1 - s)) with s = sigmoid(x)
        Silu |self, s, [x, g]| {
            let sigmoid = math::sigmoid(s, x);
            s.mul(s.mul(g, sigmoid), s.mul_add(x, s.sub(s.splat(1.0), sigmoid), s.splat(1.0)))
        };
        // 0 up to -3, x / 3 + 1 / 2, 1 from 3 on
        Hardswish |self, s, [x, g]| {
            let between = s.mul(g, s.mul_add(x, s.splat(1.0 / 3.0), s.splat(0.5)));
            s.select(s.le(x, s.splat(-3.0)), s.zero(), s.select(s.ge(x, s.splat(3.0)), g, between))
        };
        // 1 / 6 between -3 and 3; NaN is not between.
        Hardsigmoid |self, s, [x, g]| {
            let below = s.select(s.ge(x, s.splat(3.0)), s.zero(), s.mul(g, s.splat(1.0 / 6.0)));
            s.select(s.gt(x, s.splat(-3.0)), below, s.zero())
        };
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::map::TASK;
    use crate::kernels::testing::{Tolerance, check, data_in, straddling};
    use crate::reference::activation as reference;

    const ALL: [Activation; 13] = [
        Activation::Relu,
        Activation::Relu6,
        Activation::LeakyRelu { negative_slope: 0.01 },
        Activation::LeakyRelu { negative_slope: -1.5 },
        Activation::Elu { alpha: 1.0 },
        Activation::Elu { alpha: 0.3 },
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Hardswish,
        Activation::Hardsigmoid,
    ];

    /// The functions err by some ulps; where 1 + erf or 1 + tanh cancels, 6 ulp of 1 remain, times |x|, at most 10 below.
    const TOLERANCE: Tolerance = Tolerance { absolute: 3e-6, relative: 2e-6, special: false };

    fn check_both(op: Activation, tolerance: Tolerance, input: &[f32]) {
        let mut output = vec![f32::NAN; input.len()];
        reference::forward(op, input, &mut output);
        check(&format!("{op:?}"), tolerance, [output.clone()], |context, [output]| forward(context, op, input, output));
        let saved = if op.saves_output() { &output[..] } else { input };
        let grad_output = data_in(3, input.len(), -2.0, 2.0);
        let mut grad_input = vec![f32::NAN; input.len()];
        reference::backward(op, saved, &grad_output, &mut grad_input);
        check(&format!("{op:?} backward"), tolerance, [grad_input], |context, [grad_input]| {
            backward(context, op, saved, &grad_output, grad_input);
        });
    }

    #[test]
    fn every_function_agrees_with_the_reference() {
        for op in ALL {
            for len in straddling(16).into_iter().chain([0, TASK - 1, TASK, 2 * TASK + 5]) {
                check_both(op, TOLERANCE, &data_in(len as u64, len, -10.0, 10.0));
            }
        }
    }

    #[test]
    fn kinks_zeros_and_what_is_not_finite() {
        let special = [0.0, -0.0, 3.0, -3.0, 6.0, -6.0, 1e-40, -1e-40, 100.0, -100.0, 3e38, -3e38, f32::NAN];
        for op in ALL {
            check_both(op, TOLERANCE.with_special(), &special);
        }
    }

    /// The gradients that PyTorch 2.15 gives on a CPU for vectors of these inputs (of single floats some of its NaN differ), where the
    /// gradient of the output is 1.5, and which of them are zero whatever that is:
    ///
    /// ```python
    /// x = torch.tensor([v for v in inputs for _ in range(64)], requires_grad=True)
    /// y = module(x); y.backward(torch.full_like(y, 1.5)); x.grad[::64]
    /// ```
    #[test]
    fn gradients_at_kinks_and_at_what_is_not_finite_are_pytorchs() {
        const NAN: f32 = f32::NAN;
        const INPUTS: [f32; 9] = [NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 3.0, -3.0, 6.0, -6.0];
        let cases = [
            (Activation::Relu, [1.5, 1.5, 0.0, 0.0, 0.0, 1.5, 0.0, 1.5, 0.0]),
            (Activation::Relu6, [0.0, 0.0, 0.0, 0.0, 0.0, 1.5, 0.0, 0.0, 0.0]),
            (Activation::LeakyRelu { negative_slope: 0.01 }, [0.015, 1.5, 0.015, 0.015, 0.015, 1.5, 0.015, 1.5, 0.015]),
            (Activation::Elu { alpha: 0.3 }, [NAN, 1.5, 0.0, 0.45, 0.45, 1.5, 0.022_404_18, 1.5, 0.001_115_439]),
            (
                Activation::Sigmoid,
                [NAN, 0.0, 0.0, 0.375, 0.375, 0.067_764_98, 0.067_764_99, 0.003_699_699, 0.003_699_764],
            ),
            (Activation::Tanh, [NAN, 0.0, 0.0, 1.5, 1.5, 0.014_798_97, 0.014_798_97, 3.683_544e-5, 3.683_544e-5]),
            // At infinities PyTorch's formulas of the two Gelu are infinity times zero, NaN; these are the limits.
            (Activation::Gelu, [NAN, 1.5, 0.0, 0.75, 0.75, 1.517_918, -0.017_918_41, 1.5, -4.470_348e-8]),
            (Activation::GeluTanh, [NAN, 1.5, 0.0, 0.75, 0.75, 1.517_376, -0.017_376_45, 1.5, 0.0]),
            (Activation::Silu, [NAN, NAN, NAN, 0.75, 0.75, 1.632_156, -0.132_156_2, 1.518_489, -0.018_489_65]),
            (Activation::Hardswish, [NAN, 1.5, 0.0, 0.75, 0.75, 1.5, 0.0, 1.5, 0.0]),
            (Activation::Hardsigmoid, [0.0, 0.0, 0.0, 0.25, 0.25, 0.0, 0.0, 0.0, 0.0]),
        ];
        // Alone, and as whole vectors.
        for copies in [1, 64] {
            let repeat = |values: &[f32]| -> Vec<f32> {
                values.iter().flat_map(|&value| core::iter::repeat_n(value, copies)).collect()
            };
            let input = repeat(&INPUTS);
            for (op, expected) in &cases {
                let mut output = vec![f32::NAN; input.len()];
                reference::forward(*op, &input, &mut output);
                let saved = if op.saves_output() { &output } else { &input };
                let upstream = vec![1.5; input.len()];
                check(&format!("{op:?}"), TOLERANCE.with_special(), [repeat(expected)], |context, [grad_input]| {
                    backward(context, *op, saved, &upstream, grad_input);
                });
                let mut plain = vec![f32::NAN; input.len()];
                reference::backward(*op, saved, &upstream, &mut plain);
                check(
                    &format!("{op:?}, reference"),
                    TOLERANCE.with_special(),
                    [repeat(expected)],
                    |_, [grad_input]| {
                        grad_input.copy_from_slice(&plain);
                    },
                );
                // Where these are flat, zero whatever comes from above.
                if matches!(op, Activation::Relu | Activation::Relu6 | Activation::Hardsigmoid) {
                    for special in [NAN, f32::INFINITY] {
                        let flat = |slope: &f32| if *slope == 0.0 { 0.0 } else { special };
                        let expected = repeat(&expected.each_ref().map(flat));
                        let upstream = vec![special; input.len()];
                        check(&format!("{op:?}"), TOLERANCE.with_special(), [expected], |context, [grad_input]| {
                            backward(context, *op, saved, &upstream, grad_input);
                        });
                    }
                }
            }
        }
    }

    #[test]
    fn infinities() {
        // Where a function is a product, minus infinity gives -inf * 0 = NaN, as in PyTorch.
        for op in ALL {
            check_both(op, TOLERANCE.with_special(), &[f32::INFINITY, f32::NEG_INFINITY]);
        }
    }
}

//! Activation functions, in f64.

use super::special::erf;
use crate::kernels::activation::Activation;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

/// `output = op(input)`, elementwise.
pub fn forward(op: Activation, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "as many outputs as inputs");
    for (y, x) in output.iter_mut().zip(input) {
        *y = value(op, f64::from(*x)) as f32;
    }
}

/// `grad_input = grad_output * op'`, where `saved` is the output or the input: see [`Activation::saves_output`].
pub fn backward(op: Activation, saved: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    assert_eq!(saved.len(), grad_input.len(), "as many saved values as gradients");
    assert_eq!(grad_output.len(), grad_input.len(), "as many gradients of outputs as of inputs");
    for ((gradient, saved), upstream) in grad_input.iter_mut().zip(saved).zip(grad_output) {
        *gradient = match slope(op, f64::from(*saved)) {
            // What is flat stays so whatever comes from above.
            0.0 => 0.0,
            slope => (f64::from(*upstream) * slope) as f32,
        };
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The normal distribution.
fn normal(x: f64) -> f64 {
    (1.0 + erf(x * FRAC_1_SQRT_2)) / 2.0
}

/// Whether the two Gelu are straight here, to the last digit of f64; their formulas are infinity times zero in the end.
fn straight(x: f64) -> bool {
    x.abs() > 40.0
}

/// What GeluTanh takes the hyperbolic tangent of, and its derivative.
fn gelu_argument(x: f64) -> (f64, f64) {
    let scale = (2.0 / PI).sqrt();
    (scale * (x + 0.044_715 * x * x * x), scale * (1.0 + 3.0 * 0.044_715 * x * x))
}

/// `clamp` that keeps NaN.
fn six(x: f64) -> f64 {
    x.clamp(0.0, 6.0)
}

fn value(op: Activation, x: f64) -> f64 {
    match op {
        Activation::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Activation::Relu6 => six(x),
        Activation::LeakyRelu { negative_slope } => {
            if x > 0.0 {
                x
            } else {
                x * f64::from(negative_slope)
            }
        }
        Activation::Elu { alpha } => {
            if x > 0.0 {
                x
            } else {
                f64::from(alpha) * x.exp_m1()
            }
        }
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::Gelu => x * normal(x),
        Activation::GeluTanh => x * (1.0 + gelu_argument(x).0.tanh()) / 2.0,
        Activation::Silu => x * sigmoid(x),
        Activation::Hardswish => x * six(x + 3.0) / 6.0,
        Activation::Hardsigmoid => six(x + 3.0) / 6.0,
    }
}

/// The derivative, from the output (Relu, Relu6, Sigmoid, Tanh) or the input.
fn slope(op: Activation, saved: f64) -> f64 {
    match op {
        Activation::Relu => {
            if saved <= 0.0 {
                0.0
            } else {
                1.0
            }
        }
        Activation::Relu6 => {
            if 0.0 < saved && saved < 6.0 {
                1.0
            } else {
                0.0
            }
        }
        Activation::LeakyRelu { negative_slope } => {
            if saved > 0.0 {
                1.0
            } else {
                f64::from(negative_slope)
            }
        }
        Activation::Elu { alpha } => {
            if saved > 0.0 {
                1.0
            } else {
                f64::from(alpha) * saved.exp()
            }
        }
        Activation::Sigmoid => saved * (1.0 - saved),
        Activation::Tanh => 1.0 - saved * saved,
        Activation::Gelu | Activation::GeluTanh if straight(saved) => f64::from(saved > 0.0),
        Activation::Gelu => normal(saved) + saved * (-saved * saved / 2.0).exp() * FRAC_2_SQRT_PI * FRAC_1_SQRT_2 / 2.0,
        Activation::GeluTanh => {
            let (u, derivative) = gelu_argument(saved);
            (1.0 + u.tanh() + saved * derivative * (1.0 - u.tanh() * u.tanh())) / 2.0
        }
        Activation::Silu => sigmoid(saved) * (1.0 + saved * (1.0 - sigmoid(saved))),
        Activation::Hardswish => {
            if saved <= -3.0 {
                0.0
            } else if saved >= 3.0 {
                1.0
            } else {
                saved / 3.0 + 0.5
            }
        }
        Activation::Hardsigmoid => {
            if -3.0 < saved && saved < 3.0 {
                1.0 / 6.0
            } else {
                0.0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::finite_difference::{assert_gradient, distinct_values, values};

    #[test]
    fn gradients_by_differences() {
        // Multiples of a quarter, moved so that no step of 2 / 32 crosses a kink (0, 3, -3, 6).
        let input: Vec<f32> = distinct_values(1, 60).iter().map(|x| x + 0.125).collect();
        let upstream = values(2, input.len());
        for op in [
            Activation::Relu,
            Activation::Relu6,
            Activation::LeakyRelu { negative_slope: 0.1 },
            Activation::Elu { alpha: 1.5 },
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Silu,
            Activation::Hardswish,
            Activation::Hardsigmoid,
        ] {
            let run = |x: &[f32]| {
                let mut output = vec![f32::NAN; x.len()];
                forward(op, x, &mut output);
                output
            };
            let output = run(&input);
            let mut gradient = vec![f32::NAN; input.len()];
            backward(op, if op.saves_output() { &output } else { &input }, &upstream, &mut gradient);
            assert_gradient(run, &input, &upstream, &gradient);
        }
    }

    #[test]
    fn values_from_pytorch() {
        // torch.nn.functional.gelu(torch.tensor([-1., 0.5, 2.])), the same with approximate="tanh", and silu.
        let cases = [
            (Activation::Gelu, [-0.158_655_26, 0.345_731_23, 1.954_499_7]),
            (Activation::GeluTanh, [-0.158_808_01, 0.345_714, 1.954_597_7]),
            (Activation::Silu, [-0.268_941_43, 0.311_229_68, 1.761_594_2]),
        ];
        for (op, expected) in cases {
            let mut output = [f32::NAN; 3];
            forward(op, &[-1.0, 0.5, 2.0], &mut output);
            assert!(output.iter().zip(expected).all(|(y, e)| (y - e).abs() < 1e-6), "{op:?}: {output:?}");
        }
    }
}

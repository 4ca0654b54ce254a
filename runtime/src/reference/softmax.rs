//! Softmax and its logarithm along one axis.

use crate::kernels::softmax::Softmax;

/// The elements of each axis of buffers of this length.
fn axes(op: &Softmax, len: usize) -> impl Iterator<Item = impl Iterator<Item = usize> + Clone> {
    let Softmax { length, inner, .. } = *op;
    (0..len / length).map(move |i| {
        let start = i / inner * length * inner + i % inner;
        (0..length).map(move |k| start + k * inner)
    })
}

/// The maximum, and the sum of the exponentials of what is left when it is subtracted.
fn normaliser(input: &[f32], axis: impl Iterator<Item = usize> + Clone) -> (f64, f64) {
    let maximum = axis.clone().fold(f64::NEG_INFINITY, |m, i| m.max(f64::from(input[i])));
    (maximum, axis.map(|i| (f64::from(input[i]) - maximum).exp()).sum())
}

/// `output = e^input / sum(e^input)`.
pub fn forward(op: &Softmax, input: &[f32], output: &mut [f32]) {
    for axis in axes(op, input.len()) {
        let (maximum, sum) = normaliser(input, axis.clone());
        for i in axis {
            output[i] = ((f64::from(input[i]) - maximum).exp() / sum) as f32;
        }
    }
}

/// `grad_input = output * (grad_output - sum(grad_output * output))`.
pub fn backward(op: &Softmax, output: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    for axis in axes(op, output.len()) {
        let sum: f64 = axis.clone().map(|i| f64::from(grad_output[i]) * f64::from(output[i])).sum();
        for i in axis {
            grad_input[i] = (f64::from(output[i]) * (f64::from(grad_output[i]) - sum)) as f32;
        }
    }
}

/// `output = input - ln(sum(e^input))`.
pub fn log_forward(op: &Softmax, input: &[f32], output: &mut [f32]) {
    for axis in axes(op, input.len()) {
        let (maximum, sum) = normaliser(input, axis.clone());
        for i in axis {
            output[i] = (f64::from(input[i]) - maximum - sum.ln()) as f32;
        }
    }
}

/// `grad_input = grad_output - e^output * sum(grad_output)`.
pub fn log_backward(op: &Softmax, output: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    for axis in axes(op, output.len()) {
        let sum: f64 = axis.clone().map(|i| f64::from(grad_output[i])).sum();
        for i in axis {
            grad_input[i] = (f64::from(grad_output[i]) - f64::from(output[i]).exp() * sum) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::finite_difference::{assert_gradient, values};

    #[test]
    fn values_by_hand() {
        // Axes 0, ln 3 and 5, 5 + ln 3 stand in columns.
        let op = Softmax { outer: 1, length: 2, inner: 2 };
        let (mut output, mut logarithm) = ([f32::NAN; 4], [f32::NAN; 4]);
        let input = [0.0, 5.0, 3f32.ln(), 5.0 + 3f32.ln()];
        forward(&op, &input, &mut output);
        log_forward(&op, &input, &mut logarithm);
        for ((y, l), expected) in output.iter().zip(logarithm).zip([0.25f32, 0.25, 0.75, 0.75]) {
            assert!((y - expected).abs() < 1e-6 && (l - expected.ln()).abs() < 1e-6);
        }
    }

    #[test]
    fn gradients_by_differences() {
        type Forward = fn(&Softmax, &[f32], &mut [f32]);
        type Backward = fn(&Softmax, &[f32], &[f32], &mut [f32]);
        let pairs: [(Forward, Backward); 2] = [(forward, backward), (log_forward, log_backward)];
        for op in [Softmax { outer: 2, length: 5, inner: 1 }, Softmax { outer: 2, length: 5, inner: 3 }] {
            let len = 2 * 2 * 5 * op.inner;
            let (input, upstream) = (values(1, len), values(2, len));
            for (forward, backward) in pairs {
                let run = |x: &[f32]| {
                    let mut output = vec![f32::NAN; len];
                    forward(&op, x, &mut output);
                    output
                };
                let mut gradient = vec![f32::NAN; len];
                backward(&op, &run(&input), &upstream, &mut gradient);
                assert_gradient(run, &input, &upstream, &gradient);
            }
        }
    }
}

//! Local response normalisation (Krizhevsky, Sutskever and Hinton, 2012) as PyTorch computes it.

use std::ops::Range;

use crate::kernels::local_response_norm::LocalResponseNorm;

/// `y[c] = x[c] / (k + alpha / size * sum of x[c']^2)^beta`, the sum over the `size` channels from `c - size / 2` to
/// `c + (size - 1) / 2`; those that do not exist count as zero.
pub fn forward(op: &LocalResponseNorm, input: &[f32], output: &mut [f32]) {
    for (i, y) in output.iter_mut().enumerate() {
        *y = (f64::from(input[i]) / base(op, input, i).powf(f64::from(op.beta))) as f32;
    }
}

/// With `b[c]` what is raised to the power: `dx[c] = dy[c] * b[c]^-beta - 2 * alpha * beta / size * x[c] *
/// sum of dy[c'] * y[c'] / b[c']`, the sum over the channels `c'` whose windows hold `c`.
pub fn backward(op: &LocalResponseNorm, input: &[f32], output: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    let (alpha, beta) = (f64::from(op.alpha), f64::from(op.beta));
    for (i, gradient) in grad_input.iter_mut().enumerate() {
        let (c, rest) =
            (i / op.inner % op.channels, i % op.inner + i / (op.channels * op.inner) * op.channels * op.inner);
        let holders = (0..op.channels).filter(|&other| window(op, other).contains(&c));
        let sum: f64 = holders
            .map(|other| other * op.inner + rest)
            .map(|j| f64::from(grad_output[j]) * f64::from(output[j]) / base(op, input, j))
            .sum();
        let direct = f64::from(grad_output[i]) * base(op, input, i).powf(-beta);
        *gradient = (direct - 2.0 * alpha * beta / op.size as f64 * f64::from(input[i]) * sum) as f32;
    }
}

/// `k + alpha / size * sum of x^2` for element `i` of a batch.
fn base(op: &LocalResponseNorm, input: &[f32], i: usize) -> f64 {
    let c = i / op.inner % op.channels;
    let squares: f64 = window(op, c).map(|other| f64::from(input[i - c * op.inner + other * op.inner]).powi(2)).sum();
    f64::from(op.k) + f64::from(op.alpha) / op.size as f64 * squares
}

/// The channels that the window of channel `c` holds.
fn window(op: &LocalResponseNorm, c: usize) -> Range<usize> {
    c.saturating_sub(op.size / 2)..(c + (op.size - 1) / 2 + 1).min(op.channels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::finite_difference::{assert_gradient, values};

    fn run(op: &LocalResponseNorm, input: &[f32]) -> Vec<f32> {
        let mut output = vec![f32::NAN; input.len()];
        forward(op, input, &mut output);
        output
    }

    #[test]
    fn an_even_window_leans_to_the_channels_before() {
        // Two channels a window, the one before and itself: 1 + 2 / 2 * (x[c - 1]^2 + x[c]^2).
        let op = LocalResponseNorm { channels: 3, inner: 1, size: 2, alpha: 2.0, beta: 1.0, k: 1.0 };
        assert_eq!(run(&op, &[1.0, 2.0, 3.0]), [1.0 / 2.0, 2.0 / 6.0, 3.0 / 14.0]);
    }

    #[test]
    fn gradient_by_differences() {
        for size in 1..=5 {
            for beta in [0.75, 1.3] {
                let op = LocalResponseNorm { channels: 4, inner: 2, size, alpha: 0.7, beta, k: 1.5 };
                let (input, upstream) = (values(1, 16), values(2, 16));
                let mut gradient = vec![f32::NAN; 16];
                backward(&op, &input, &run(&op, &input), &upstream, &mut gradient);
                assert_gradient(|x| run(&op, x), &input, &upstream, &gradient);
            }
        }
    }
}

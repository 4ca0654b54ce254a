//! Batch normalisation (Ioffe and Szegedy, 2015).

use crate::kernels::batch_norm::BatchNorm;

/// Normalises with the running statistics: `(x - running_mean) / sqrt(running_var + eps) * weight + bias`.
pub fn forward(
    op: &BatchNorm,
    input: &[f32],
    weight: Option<&[f32]>,
    bias: Option<&[f32]>,
    running_mean: &[f32],
    running_var: &[f32],
    output: &mut [f32],
) {
    for (i, (y, x)) in output.iter_mut().zip(input).enumerate() {
        let c = i / op.inner % op.channels;
        let normalised =
            (f64::from(*x) - f64::from(running_mean[c])) / (f64::from(running_var[c]) + f64::from(op.eps)).sqrt();
        *y = (normalised * at(weight, c, 1.0) + at(bias, c, 0.0)) as f32;
    }
}

/// Normalises with the mean and the biased variance of each channel over the batch, and moves the running statistics:
/// `running = (1 - momentum) * running + momentum * statistic`, with the unbiased variance.
///
/// `saved` takes the means, then `1 / sqrt(var + eps)`.
pub fn forward_train(
    op: &BatchNorm,
    input: &[f32],
    weight: Option<&[f32]>,
    bias: Option<&[f32]>,
    mut running: Option<(&mut [f32], &mut [f32])>,
    output: &mut [f32],
    saved: &mut [f32],
) {
    for c in 0..op.channels {
        let values = || channel(op, input.len(), c).map(|i| f64::from(input[i]));
        let count = values().count() as f64;
        let mean = values().sum::<f64>() / count;
        let squares = values().map(|x| (x - mean) * (x - mean)).sum::<f64>();
        let scale = 1.0 / (squares / count + f64::from(op.eps)).sqrt();
        if let Some((running_mean, running_var)) = &mut running {
            let momentum = f64::from(op.momentum);
            let moved = |old: f32, new: f64| ((1.0 - momentum) * f64::from(old) + momentum * new) as f32;
            running_mean[c] = moved(running_mean[c], mean);
            running_var[c] = moved(running_var[c], squares / (count - 1.0));
        }
        for i in channel(op, input.len(), c) {
            output[i] = ((f64::from(input[i]) - mean) * scale * at(weight, c, 1.0) + at(bias, c, 0.0)) as f32;
        }
        saved[c] = mean as f32;
        saved[op.channels + c] = scale as f32;
    }
}

/// The gradient for the input of [`forward_train`]: with `n = (x - mean) * scale`, `scale = 1 / sqrt(var + eps)`,
/// `dx = weight * scale * (dy - mean(dy) - n * mean(dy * n))`.
pub fn backward_input(
    op: &BatchNorm,
    input: &[f32],
    weight: Option<&[f32]>,
    saved: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    for c in 0..op.channels {
        let (mean, scale) = (f64::from(saved[c]), f64::from(saved[op.channels + c]));
        let normalised = |i: usize| (f64::from(input[i]) - mean) * scale;
        let count = channel(op, input.len(), c).count() as f64;
        let sum: f64 = channel(op, input.len(), c).map(|i| f64::from(grad_output[i])).sum();
        let dot: f64 = channel(op, input.len(), c).map(|i| f64::from(grad_output[i]) * normalised(i)).sum();
        for i in channel(op, input.len(), c) {
            let centred = f64::from(grad_output[i]) - sum / count - normalised(i) * dot / count;
            grad_input[i] = (at(weight, c, 1.0) * scale * centred) as f32;
        }
    }
}

/// The gradients for weight and bias of [`forward_train`]: the sums of `dy * n` and of `dy` over each channel.
pub fn backward_parameters(
    op: &BatchNorm,
    input: &[f32],
    saved: &[f32],
    grad_output: &[f32],
    grad_weight: &mut [f32],
    grad_bias: &mut [f32],
) {
    for c in 0..op.channels {
        let (mean, scale) = (f64::from(saved[c]), f64::from(saved[op.channels + c]));
        let (mut sum, mut dot) = (0.0, 0.0);
        for i in channel(op, input.len(), c) {
            sum += f64::from(grad_output[i]);
            dot += f64::from(grad_output[i]) * (f64::from(input[i]) - mean) * scale;
        }
        grad_weight[c] = dot as f32;
        grad_bias[c] = sum as f32;
    }
}

/// Where the elements of channel `c` stand in a batch of `len` elements.
fn channel(op: &BatchNorm, len: usize, c: usize) -> impl Iterator<Item = usize> {
    let (sample, inner) = (op.channels * op.inner, op.inner);
    (0..len / sample).flat_map(move |n| (0..inner).map(move |i| n * sample + c * inner + i))
}

/// A channel's weight or bias; `missing` without an affine map.
fn at(parameter: Option<&[f32]>, c: usize, missing: f64) -> f64 {
    parameter.map_or(missing, |p| f64::from(p[c]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::finite_difference::{assert_gradient, values};

    const OP: BatchNorm = BatchNorm { channels: 2, inner: 3, eps: 1e-3, momentum: 0.25 };

    fn run(input: &[f32], weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (mut output, mut saved) = (vec![f32::NAN; input.len()], vec![f32::NAN; 4]);
        forward_train(&OP, input, Some(weight), Some(bias), None, &mut output, &mut saved);
        (output, saved)
    }

    #[test]
    fn statistics_by_hand() {
        // One channel, values 1, 2, 3, 6: mean 3, squares 4 + 1 + 0 + 9, variance 3.5 biased and 14 / 3 unbiased.
        let op = BatchNorm { channels: 1, inner: 2, eps: 0.5, momentum: 0.25 };
        let (mut mean, mut var) = ([1.0], [2.0]);
        let (mut output, mut saved) = ([f32::NAN; 4], [f32::NAN; 2]);
        let running = Some((&mut mean[..], &mut var[..]));
        forward_train(&op, &[1.0, 2.0, 3.0, 6.0], None, None, running, &mut output, &mut saved);
        assert_eq!(output, [-1.0, -0.5, 0.0, 1.5]);
        assert_eq!(saved, [3.0, 0.5]);
        assert_eq!(mean, [0.75 + 0.75]);
        assert_eq!(var, [(1.5 + 0.25 * 14.0 / 3.0) as f32]);
    }

    #[test]
    fn evaluation_uses_the_running_statistics() {
        let op = BatchNorm { channels: 2, inner: 1, eps: 1.0, momentum: 0.1 };
        let mut output = [f32::NAN; 4];
        let (weight, bias) = ([2.0, 3.0], [1.0, -1.0]);
        forward(&op, &[1.0, 2.0, 3.0, 4.0], Some(&weight), Some(&bias), &[1.0, 0.0], &[3.0, 0.0], &mut output);
        assert_eq!(output, [1.0, 5.0, 3.0, 11.0]);
    }

    #[test]
    fn gradients_by_differences() {
        let (input, weight, bias) = (values(1, 4 * 6), values(2, 2), values(3, 2));
        let upstream = values(4, input.len());
        let saved = run(&input, &weight, &bias).1;
        let mut gradient = vec![f32::NAN; input.len()];
        backward_input(&OP, &input, Some(&weight), &saved, &upstream, &mut gradient);
        assert_gradient(|x| run(x, &weight, &bias).0, &input, &upstream, &gradient);
        let (mut grad_weight, mut grad_bias) = ([f32::NAN; 2], [f32::NAN; 2]);
        backward_parameters(&OP, &input, &saved, &upstream, &mut grad_weight, &mut grad_bias);
        assert_gradient(|w| run(&input, w, &bias).0, &weight, &upstream, &grad_weight);
        assert_gradient(|b| run(&input, &weight, b).0, &bias, &upstream, &grad_bias);
    }
}

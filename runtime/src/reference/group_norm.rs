//! Group normalisation (Wu and He, 2018).

use crate::kernels::group_norm::GroupNorm;

/// Normalises each group of channels of each sample by its own mean and biased variance, then
/// `* weight + bias` by channel.
///
/// `saved` takes, for each group of each sample, the mean and `1 / sqrt(var + eps)`.
pub fn forward(
    op: &GroupNorm,
    input: &[f32],
    weight: Option<&[f32]>,
    bias: Option<&[f32]>,
    output: &mut [f32],
    mut saved: Option<&mut [f32]>,
) {
    let length = op.channels / op.groups * op.inner;
    for (g, (x, y)) in input.chunks(length).zip(output.chunks_mut(length)).enumerate() {
        let count = length as f64;
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
        let scale = 1.0 / (variance + f64::from(op.eps)).sqrt();
        for (i, (y, &x)) in y.iter_mut().zip(x).enumerate() {
            let c = channel(op, g * length + i);
            *y = ((f64::from(x) - mean) * scale * at(weight, c, 1.0) + at(bias, c, 0.0)) as f32;
        }
        if let Some(saved) = &mut saved {
            saved[2 * g] = mean as f32;
            saved[2 * g + 1] = scale as f32;
        }
    }
}

/// The gradient for the input: with `n = (x - mean) * scale` and `g = dy * weight`,
/// `dx = scale * (g - mean(g) - n * mean(g * n))` over each group.
pub fn backward_input(
    op: &GroupNorm,
    input: &[f32],
    weight: Option<&[f32]>,
    saved: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    let length = op.channels / op.groups * op.inner;
    for group in 0..input.len() / length {
        let (mean, scale) = (f64::from(saved[2 * group]), f64::from(saved[2 * group + 1]));
        let elements = group * length..(group + 1) * length;
        let normalised = |i: usize| (f64::from(input[i]) - mean) * scale;
        let g = |i: usize| f64::from(grad_output[i]) * at(weight, channel(op, i), 1.0);
        let count = length as f64;
        let sum = elements.clone().map(g).sum::<f64>() / count;
        let dot = elements.clone().map(|i| g(i) * normalised(i)).sum::<f64>() / count;
        for i in elements {
            grad_input[i] = (scale * (g(i) - sum - normalised(i) * dot)) as f32;
        }
    }
}

/// The gradients for weight and bias: the sums of `dy * n` and of `dy` over each channel.
pub fn backward_parameters(
    op: &GroupNorm,
    input: &[f32],
    saved: &[f32],
    grad_output: &[f32],
    grad_weight: &mut [f32],
    grad_bias: &mut [f32],
) {
    let length = op.channels / op.groups * op.inner;
    let (mut dots, mut sums) = (vec![0.0; op.channels], vec![0.0; op.channels]);
    for (i, (&x, &gradient)) in input.iter().zip(grad_output).enumerate() {
        let (mean, scale) = (f64::from(saved[i / length * 2]), f64::from(saved[i / length * 2 + 1]));
        dots[channel(op, i)] += f64::from(gradient) * (f64::from(x) - mean) * scale;
        sums[channel(op, i)] += f64::from(gradient);
    }
    for c in 0..op.channels {
        grad_weight[c] = dots[c] as f32;
        grad_bias[c] = sums[c] as f32;
    }
}

/// The channel of element `i` of a batch.
fn channel(op: &GroupNorm, i: usize) -> usize {
    i / op.inner % op.channels
}

/// A channel's weight or bias; `missing` without an affine map.
fn at(parameter: Option<&[f32]>, c: usize, missing: f64) -> f64 {
    parameter.map_or(missing, |p| f64::from(p[c]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::finite_difference::{assert_gradient, values};

    const OP: GroupNorm = GroupNorm { groups: 2, channels: 4, inner: 3, eps: 1e-3 };

    fn run(input: &[f32], weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (mut output, mut saved) = (vec![f32::NAN; input.len()], vec![f32::NAN; input.len() / 12 * 4]);
        forward(&OP, input, Some(weight), Some(bias), &mut output, Some(&mut saved));
        (output, saved)
    }

    #[test]
    fn statistics_by_hand() {
        let op = GroupNorm { groups: 1, channels: 2, inner: 2, eps: 0.5 };
        let (mut output, mut saved) = ([f32::NAN; 4], [f32::NAN; 2]);
        let (weight, bias) = ([1.0, 2.0], [0.0, 1.0]);
        forward(&op, &[1.0, 2.0, 3.0, 6.0], Some(&weight), Some(&bias), &mut output, Some(&mut saved));
        assert_eq!(output, [-1.0, -0.5, 1.0, 4.0]);
        assert_eq!(saved, [3.0, 0.5]);
    }

    #[test]
    fn gradients_by_differences() {
        let (input, weight, bias) = (values(1, 3 * 12), values(2, 4), values(3, 4));
        let upstream = values(4, input.len());
        let saved = run(&input, &weight, &bias).1;
        let mut gradient = vec![f32::NAN; input.len()];
        backward_input(&OP, &input, Some(&weight), &saved, &upstream, &mut gradient);
        assert_gradient(|x| run(x, &weight, &bias).0, &input, &upstream, &gradient);
        let (mut grad_weight, mut grad_bias) = ([f32::NAN; 4], [f32::NAN; 4]);
        backward_parameters(&OP, &input, &saved, &upstream, &mut grad_weight, &mut grad_bias);
        assert_gradient(|w| run(&input, w, &bias).0, &weight, &upstream, &grad_weight);
        assert_gradient(|b| run(&input, &weight, b).0, &bias, &upstream, &grad_bias);
    }
}

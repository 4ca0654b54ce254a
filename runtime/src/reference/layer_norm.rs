//! Layer normalisation (Ba, Kiros and Hinton, 2016).

use crate::kernels::layer_norm::LayerNorm;

/// Normalises each row by its own mean and biased variance: `(x - mean) / sqrt(var + eps) * weight + bias`.
///
/// `saved` takes, for each row, the mean and `1 / sqrt(var + eps)`.
pub fn forward(
    op: &LayerNorm,
    input: &[f32],
    weight: Option<&[f32]>,
    bias: Option<&[f32]>,
    output: &mut [f32],
    mut saved: Option<&mut [f32]>,
) {
    for (r, (x, y)) in input.chunks(op.length).zip(output.chunks_mut(op.length)).enumerate() {
        let count = op.length as f64;
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
        let scale = 1.0 / (variance + f64::from(op.eps)).sqrt();
        for (j, (y, &x)) in y.iter_mut().zip(x).enumerate() {
            *y = ((f64::from(x) - mean) * scale * at(weight, j, 1.0) + at(bias, j, 0.0)) as f32;
        }
        if let Some(saved) = &mut saved {
            saved[2 * r] = mean as f32;
            saved[2 * r + 1] = scale as f32;
        }
    }
}

/// The gradient for the input: with `n = (x - mean) * scale` and `g = dy * weight`,
/// `dx = scale * (g - mean(g) - n * mean(g * n))` over each row.
pub fn backward_input(
    op: &LayerNorm,
    input: &[f32],
    weight: Option<&[f32]>,
    saved: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    for (r, x) in input.chunks(op.length).enumerate() {
        let (mean, scale) = (f64::from(saved[2 * r]), f64::from(saved[2 * r + 1]));
        let normalised = |j: usize| (f64::from(x[j]) - mean) * scale;
        let g = |j: usize| f64::from(grad_output[r * op.length + j]) * at(weight, j, 1.0);
        let count = op.length as f64;
        let sum = (0..op.length).map(g).sum::<f64>() / count;
        let dot = (0..op.length).map(|j| g(j) * normalised(j)).sum::<f64>() / count;
        for j in 0..op.length {
            grad_input[r * op.length + j] = (scale * (g(j) - sum - normalised(j) * dot)) as f32;
        }
    }
}

/// The gradient for the weight: the sum of `dy * n` over the rows.
pub fn backward_weight(op: &LayerNorm, input: &[f32], saved: &[f32], grad_output: &[f32], grad_weight: &mut [f32]) {
    for (j, gradient) in grad_weight.iter_mut().enumerate() {
        let terms = (0..input.len() / op.length).map(|r| {
            let i = r * op.length + j;
            f64::from(grad_output[i]) * (f64::from(input[i]) - f64::from(saved[2 * r])) * f64::from(saved[2 * r + 1])
        });
        *gradient = terms.sum::<f64>() as f32;
    }
}

/// The gradient for the bias: the sum of `dy` over the rows.
pub fn backward_bias(op: &LayerNorm, grad_output: &[f32], grad_bias: &mut [f32]) {
    for (j, gradient) in grad_bias.iter_mut().enumerate() {
        *gradient = grad_output.chunks(op.length).map(|row| f64::from(row[j])).sum::<f64>() as f32;
    }
}

/// An element's weight or bias; `missing` without an affine map.
fn at(parameter: Option<&[f32]>, j: usize, missing: f64) -> f64 {
    parameter.map_or(missing, |p| f64::from(p[j]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::finite_difference::{assert_gradient, values};

    const OP: LayerNorm = LayerNorm { rows: 2, length: 5, eps: 1e-3 };

    fn run(input: &[f32], weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (mut output, mut saved) = (vec![f32::NAN; input.len()], vec![f32::NAN; input.len() / OP.length * 2]);
        forward(&OP, input, Some(weight), Some(bias), &mut output, Some(&mut saved));
        (output, saved)
    }

    #[test]
    fn statistics_by_hand() {
        let op = LayerNorm { rows: 1, length: 4, eps: 0.5 };
        let (mut output, mut saved) = ([f32::NAN; 4], [f32::NAN; 2]);
        forward(&op, &[1.0, 2.0, 3.0, 6.0], None, None, &mut output, Some(&mut saved));
        assert_eq!(output, [-1.0, -0.5, 0.0, 1.5]);
        assert_eq!(saved, [3.0, 0.5]);
    }

    #[test]
    fn gradients_by_differences() {
        let (input, weight, bias) = (values(1, 3 * 10), values(2, 5), values(3, 5));
        let upstream = values(4, input.len());
        let saved = run(&input, &weight, &bias).1;
        let mut gradient = vec![f32::NAN; input.len()];
        backward_input(&OP, &input, Some(&weight), &saved, &upstream, &mut gradient);
        assert_gradient(|x| run(x, &weight, &bias).0, &input, &upstream, &gradient);
        let (mut grad_weight, mut grad_bias) = ([f32::NAN; 5], [f32::NAN; 5]);
        backward_weight(&OP, &input, &saved, &upstream, &mut grad_weight);
        backward_bias(&OP, &upstream, &mut grad_bias);
        assert_gradient(|w| run(&input, w, &bias).0, &weight, &upstream, &grad_weight);
        assert_gradient(|b| run(&input, &weight, b).0, &bias, &upstream, &grad_bias);
    }
}

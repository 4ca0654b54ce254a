//! Upsampling by a scale factor.

use crate::kernels::pool2d::planes;
use crate::kernels::upsample::{Upsample, UpsampleMode};

/// Every output is a weighted sum of up to two rows by two columns of its plane.
pub fn forward(op: &Upsample, input: &[f32], output: &mut [f32]) {
    let ([_, height, width], [_, out_height, out_width]) = (op.input, op.output);
    for plane in 0..planes(op.input, op.output, input.len(), output.len()) {
        for oy in 0..out_height {
            for ox in 0..out_width {
                let mut sum = 0.0;
                for (y, wy) in sources(op, 0, oy) {
                    for (x, wx) in sources(op, 1, ox) {
                        sum += f64::from(wy) * f64::from(wx) * f64::from(input[(plane * height + y) * width + x]);
                    }
                }
                output[(plane * out_height + oy) * out_width + ox] = sum as f32;
            }
        }
    }
}

/// The transpose of [`forward`].
pub fn backward(op: &Upsample, grad_output: &[f32], grad_input: &mut [f32]) {
    let ([_, height, width], [_, out_height, out_width]) = (op.input, op.output);
    let planes = planes(op.input, op.output, grad_input.len(), grad_output.len());
    let mut sums = vec![0.0; grad_input.len()];
    for plane in 0..planes {
        for oy in 0..out_height {
            for ox in 0..out_width {
                let gradient = f64::from(grad_output[(plane * out_height + oy) * out_width + ox]);
                for (y, wy) in sources(op, 0, oy) {
                    for (x, wx) in sources(op, 1, ox) {
                        sums[(plane * height + y) * width + x] += f64::from(wy) * f64::from(wx) * gradient;
                    }
                }
            }
        }
    }
    for (gradient, sum) in grad_input.iter_mut().zip(sums) {
        *gradient = sum as f32;
    }
}

/// The input rows (axis 0) or columns (axis 1) that output `position` takes from, with their weights, in PyTorch's
/// single-precision arithmetic.
///
/// Nearest takes one. Bilinear takes two even where the weight of one is zero, so that `0 * inf` is NaN as in PyTorch.
fn sources(op: &Upsample, axis: usize, position: usize) -> Vec<(usize, f32)> {
    let (length, out_length) = (op.input[axis + 1], op.output[axis + 1]);
    let ratio = (1.0 / op.scale[axis]) as f32;
    match op.mode {
        UpsampleMode::Nearest if out_length == length => vec![(position, 1.0)],
        UpsampleMode::Nearest if out_length == 2 * length => vec![(position / 2, 1.0)],
        UpsampleMode::Nearest => vec![(((position as f32 * ratio) as usize).min(length - 1), 1.0)],
        _ if out_length == length => vec![(position, 1.0), (position, 0.0)],
        UpsampleMode::Bilinear => linear(length, (ratio * (position as f32 + 0.5) - 0.5).max(0.0)),
        UpsampleMode::BilinearAlignCorners if out_length > 1 => {
            linear(length, (length - 1) as f32 / (out_length - 1) as f32 * position as f32)
        }
        UpsampleMode::BilinearAlignCorners => linear(length, 0.0),
    }
}

/// The two neighbours of a fractional position in `0..length`, with their weights.
fn linear(length: usize, position: f32) -> Vec<(usize, f32)> {
    let first = (position as usize).min(length - 1);
    let second = (first + 1).min(length - 1);
    let weight = (position - first as f32).clamp(0.0, 1.0);
    vec![(first, 1.0 - weight), (second, weight)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::finite_difference::{assert_gradient, values};

    fn run(op: &Upsample, input: &[f32]) -> Vec<f32> {
        let batch = input.len() / op.input.iter().product::<usize>();
        let mut output = vec![f32::NAN; batch * op.output.iter().product::<usize>()];
        forward(op, input, &mut output);
        output
    }

    fn op(length: usize, scale: f64, mode: UpsampleMode) -> Upsample {
        let output = (length as f64 * scale) as usize;
        Upsample { input: [1, 1, length], output: [1, 1, output], scale: [1.0, scale], mode }
    }

    #[test]
    fn rows_by_hand() {
        let row = [0.0, 4.0, 8.0];
        assert_eq!(run(&op(3, 2.0, UpsampleMode::Nearest), &row), [0.0, 0.0, 4.0, 4.0, 8.0, 8.0]);
        assert_eq!(run(&op(3, 1.5, UpsampleMode::Nearest), &row), [0.0, 0.0, 4.0, 8.0]);
        assert_eq!(run(&op(3, 2.0, UpsampleMode::Bilinear), &row), [0.0, 1.0, 3.0, 5.0, 7.0, 8.0]);
        // The scale is the one given, 1.5 (2 / 3 of an element a step), not 4 / 3.
        let skewed = run(&op(3, 1.5, UpsampleMode::Bilinear), &row);
        for (y, expected) in skewed.iter().zip([0.0, 2.0, 4.0 + 2.0 / 3.0, 4.0 + 10.0 / 3.0]) {
            assert!((y - expected).abs() < 1e-5, "{skewed:?}");
        }
        let corners = op(2, 2.5, UpsampleMode::BilinearAlignCorners);
        assert_eq!(run(&corners, &[0.0, 8.0]), [0.0, 2.0, 4.0, 6.0, 8.0]);
    }

    #[test]
    fn gradients_by_differences() {
        for mode in [UpsampleMode::Nearest, UpsampleMode::Bilinear, UpsampleMode::BilinearAlignCorners] {
            for (output, scale) in [([2, 6, 8], [2.0, 2.0]), ([2, 4, 11], [1.5, 2.75]), ([2, 3, 2], [1.0, 0.5])] {
                let op = Upsample { input: [2, 3, 4], output, scale, mode };
                let (input, upstream) = (values(1, 2 * 24), values(2, 2 * output.iter().product::<usize>()));
                let mut gradient = vec![f32::NAN; input.len()];
                backward(&op, &upstream, &mut gradient);
                assert_gradient(|x| run(&op, x), &input, &upstream, &gradient);
            }
        }
    }
}

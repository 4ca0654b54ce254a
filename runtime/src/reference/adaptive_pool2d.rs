//! Adaptive pooling: the number of windows is given, not their size.

use std::ops::Range;

use crate::kernels::adaptive_pool2d::AdaptivePool2d;
use crate::kernels::pool2d::planes;

/// The mean of every window.
pub fn avg_forward(op: &AdaptivePool2d, input: &[f32], output: &mut [f32]) {
    let ([_, height, width], [_, out_height, out_width]) = (op.input, op.output);
    for plane in 0..planes(op.input, op.output, input.len(), output.len()) {
        for oy in 0..out_height {
            for ox in 0..out_width {
                let (rows, columns) = (window(height, out_height, oy), window(width, out_width, ox));
                let count = (rows.len() * columns.len()) as f64;
                let mut sum = 0.0;
                for y in rows {
                    for x in columns.clone() {
                        sum += f64::from(input[(plane * height + y) * width + x]);
                    }
                }
                output[(plane * out_height + oy) * out_width + ox] = (sum / count) as f32;
            }
        }
    }
}

/// Every output's gradient, over the size of its window, goes to each input of the window.
pub fn avg_backward(op: &AdaptivePool2d, grad_output: &[f32], grad_input: &mut [f32]) {
    let ([_, height, width], [_, out_height, out_width]) = (op.input, op.output);
    let planes = planes(op.input, op.output, grad_input.len(), grad_output.len());
    let mut sums = vec![0.0; grad_input.len()];
    for plane in 0..planes {
        for oy in 0..out_height {
            for ox in 0..out_width {
                let (rows, columns) = (window(height, out_height, oy), window(width, out_width, ox));
                let count = (rows.len() * columns.len()) as f64;
                let share = f64::from(grad_output[(plane * out_height + oy) * out_width + ox]) / count;
                for y in rows {
                    for x in columns.clone() {
                        sums[(plane * height + y) * width + x] += share;
                    }
                }
            }
        }
    }
    for (gradient, sum) in grad_input.iter_mut().zip(sums) {
        *gradient = sum as f32;
    }
}

/// The maximum of every window, and where it stands: ties, NaN and `indices` as in max pooling.
pub fn max_forward(op: &AdaptivePool2d, input: &[f32], output: &mut [f32], mut indices: Option<&mut [f32]>) {
    let ([_, height, width], [_, out_height, out_width]) = (op.input, op.output);
    for plane in 0..planes(op.input, op.output, input.len(), output.len()) {
        let input = &input[plane * height * width..][..height * width];
        for oy in 0..out_height {
            for ox in 0..out_width {
                let (rows, columns) = (window(height, out_height, oy), window(width, out_width, ox));
                let mut index = rows.start * width + columns.start;
                for y in rows {
                    for at in columns.clone().map(|x| y * width + x) {
                        if input[at] > input[index] || input[at].is_nan() {
                            index = at;
                        }
                    }
                }
                let at = (plane * out_height + oy) * out_width + ox;
                output[at] = input[index];
                if let Some(indices) = &mut indices {
                    indices[at] = f32::from_bits(index as u32);
                }
            }
        }
    }
}

/// Every output's gradient goes to the input that was its maximum.
pub fn max_backward(op: &AdaptivePool2d, indices: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    let (plane, out_plane) = (op.input[1] * op.input[2], op.output[1] * op.output[2]);
    planes(op.input, op.output, grad_input.len(), grad_output.len());
    assert_eq!(indices.len(), grad_output.len(), "one index for every output");
    grad_input.fill(0.0);
    for (i, (index, gradient)) in indices.iter().zip(grad_output).enumerate() {
        grad_input[i / out_plane * plane + index.to_bits() as usize] += gradient;
    }
}

/// Window `i` of `count` over `length` elements: from `floor(i * length / count)` to `ceil((i + 1) * length / count)`.
fn window(length: usize, count: usize, i: usize) -> Range<usize> {
    i * length / count..((i + 1) * length).div_ceil(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::finite_difference::{assert_gradient, distinct_values, values};

    const OP: AdaptivePool2d = AdaptivePool2d { input: [2, 5, 7], output: [2, 2, 9] };

    #[test]
    fn windows_may_overlap() {
        let row = [0.0, 1.0, 2.0, 3.0, 4.0];
        let op = AdaptivePool2d { input: [1, 1, 5], output: [1, 1, 3] };
        let mut output = [f32::NAN; 3];
        avg_forward(&op, &row, &mut output);
        assert_eq!(output, [0.5, 2.0, 3.5]);
        let mut indices = [f32::NAN; 3];
        max_forward(&op, &row, &mut output, Some(&mut indices));
        assert_eq!(output, [1.0, 3.0, 4.0]);
        assert_eq!(indices.map(f32::to_bits), [1, 3, 4]);
    }

    #[test]
    fn nan_is_the_maximum() {
        let op = AdaptivePool2d { input: [1, 2, 2], output: [1, 1, 1] };
        let (mut output, mut indices) = ([0.0], [0.0]);
        max_forward(&op, &[1.0, f32::NAN, 2.0, 3.0], &mut output, Some(&mut indices));
        assert!(output[0].is_nan());
        assert_eq!(indices[0].to_bits(), 1);
    }

    #[test]
    fn avg_gradient_by_differences() {
        let (input, upstream) = (values(1, 2 * 35), values(2, 2 * 18));
        let mut gradient = vec![f32::NAN; input.len()];
        avg_backward(&OP, &upstream, &mut gradient);
        let run = |x: &[f32]| {
            let mut output = vec![f32::NAN; upstream.len()];
            avg_forward(&OP, x, &mut output);
            output
        };
        assert_gradient(run, &input, &upstream, &gradient);
    }

    #[test]
    fn max_gradient_by_differences() {
        let (input, upstream) = (distinct_values(1, 2 * 35), values(2, 2 * 18));
        let run = |x: &[f32]| {
            let (mut output, mut indices) = (vec![f32::NAN; upstream.len()], vec![f32::NAN; upstream.len()]);
            max_forward(&OP, x, &mut output, Some(&mut indices));
            (output, indices)
        };
        let mut gradient = vec![f32::NAN; input.len()];
        max_backward(&OP, &run(&input).1, &upstream, &mut gradient);
        assert_gradient(|x| run(x).0, &input, &upstream, &gradient);
    }
}

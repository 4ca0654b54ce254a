//! Max pooling.

use crate::kernels::pool2d::{Pool2d, pooled_planes};

/// The index kept for a window that lies in the padding altogether, which takes dilation: there is no maximum.
const NOWHERE: u32 = u32::MAX;

/// The maximum of every window, and where it stands.
///
/// As in PyTorch: padding is never the maximum, the first of equal maxima counts, a NaN anywhere in a window is its
/// maximum (the last NaN, where there are several), and a window with no element at all gives minus infinity.
/// `indices` takes `h * width + w` of the maximum within its input plane, as the bits of a `u32`.
pub fn forward(op: &Pool2d, input: &[f32], output: &mut [f32], mut indices: Option<&mut [f32]>) {
    let ([_, height, width], [_, out_height, out_width]) = (op.input, op.output);
    for plane in 0..pooled_planes(op, input.len(), output.len()) {
        let input = &input[plane * height * width..][..height * width];
        for oy in 0..out_height {
            for ox in 0..out_width {
                let (mut max, mut index) = (f32::NEG_INFINITY, NOWHERE);
                for y in taps(op, 0, oy) {
                    for x in taps(op, 1, ox) {
                        let value = input[y * width + x];
                        if value > max || value.is_nan() || index == NOWHERE {
                            (max, index) = (value, (y * width + x) as u32);
                        }
                    }
                }
                let at = (plane * out_height + oy) * out_width + ox;
                output[at] = max;
                if let Some(indices) = &mut indices {
                    indices[at] = f32::from_bits(index);
                }
            }
        }
    }
}

/// Every output's gradient goes to the input that was its maximum.
pub fn backward(op: &Pool2d, indices: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    let (plane, out_plane) = (op.input_plane(), op.output_plane());
    pooled_planes(op, grad_input.len(), grad_output.len());
    assert_eq!(indices.len(), grad_output.len(), "one index for every output");
    grad_input.fill(0.0);
    for (i, (index, gradient)) in indices.iter().zip(grad_output).enumerate() {
        if index.to_bits() != NOWHERE {
            grad_input[i / out_plane * plane + index.to_bits() as usize] += gradient;
        }
    }
}

/// The input rows (axis 0) or columns (axis 1) that the window at `position` sees.
fn taps(op: &Pool2d, axis: usize, position: usize) -> impl Iterator<Item = usize> {
    let (padding, dilation, length) = (op.padding[axis], op.dilation[axis], op.input[axis + 1]);
    let start = position * op.stride[axis];
    (0..op.kernel[axis]).filter_map(move |k| (start + k * dilation).checked_sub(padding)).filter(move |&at| at < length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::finite_difference::{assert_gradient, distinct_values, values};

    /// A forward pass: the maxima and the indices.
    fn run(op: &Pool2d, input: &[f32]) -> (Vec<f32>, Vec<u32>) {
        let len = input.len() / op.input.iter().product::<usize>() * op.output.iter().product::<usize>();
        let (mut output, mut indices) = (vec![f32::NAN; len], vec![f32::NAN; len]);
        forward(op, input, &mut output, Some(&mut indices));
        (output, indices.iter().map(|i| i.to_bits()).collect())
    }

    const PLAIN: Pool2d = Pool2d {
        input: [1, 4, 4],
        output: [1, 2, 2],
        kernel: [2, 2],
        stride: [2, 2],
        padding: [0, 0],
        dilation: [1, 1],
    };

    #[test]
    fn worked_example() {
        let image: Vec<f32> = (0..32).map(|i| (i / 4) as f32).collect();
        let op = Pool2d { input: [2, 4, 4], output: [2, 2, 2], ..PLAIN };
        let (output, indices) = run(&op, &image);
        assert_eq!(output, [1.0, 1.0, 3.0, 3.0, 5.0, 5.0, 7.0, 7.0]);
        assert_eq!(indices, [4, 6, 12, 14, 4, 6, 12, 14]);
        let op = Pool2d { output: [2, 3, 3], stride: [1, 1], ..op };
        let expected: Vec<f32> = [1, 2, 3, 5, 6, 7].iter().flat_map(|&row| [row as f32; 3]).collect();
        assert_eq!(run(&op, &image).0, expected);
    }

    #[test]
    fn ties_nan_and_infinities_as_in_pytorch() {
        let mut image = [0.0; 16];
        assert_eq!(run(&PLAIN, &image).1, [0, 2, 8, 10], "the first of equal maxima");
        image[1] = f32::NAN;
        image[4] = f32::NAN;
        let (output, indices) = run(&PLAIN, &image);
        assert!(output[0].is_nan() && output[1..] == [0.0; 3], "NaN is the maximum");
        assert_eq!(indices, [4, 2, 8, 10], "of several the last");
        let (output, indices) = run(&PLAIN, &[f32::NEG_INFINITY; 16]);
        assert_eq!(output, [f32::NEG_INFINITY; 4]);
        assert_eq!(indices, [0, 2, 8, 10]);
    }

    #[test]
    fn padding_is_never_the_maximum() {
        let op = Pool2d { output: [1, 3, 3], padding: [1, 1], ..PLAIN };
        let (output, indices) = run(&op, &[-1.0; 16]);
        assert_eq!(output, [-1.0; 9]);
        assert_eq!(indices, [0, 1, 3, 4, 5, 7, 12, 13, 15]);
    }

    #[test]
    fn a_window_in_the_padding_altogether_has_no_maximum() {
        // Rows -2 and 2 of an input of two rows.
        let op = Pool2d {
            input: [1, 2, 2],
            output: [1, 2, 2],
            kernel: [2, 1],
            stride: [1, 1],
            padding: [2, 0],
            dilation: [4, 1],
        };
        let (output, indices) = run(&op, &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(output, [f32::NEG_INFINITY; 4]);
        assert_eq!(indices, [NOWHERE; 4]);
        let mut gradient = [f32::NAN; 4];
        backward(&op, &[f32::from_bits(NOWHERE); 4], &[1.0; 4], &mut gradient);
        assert_eq!(gradient, [0.0; 4]);
    }

    #[test]
    fn gradient_by_differences() {
        let op = Pool2d {
            input: [2, 7, 6],
            output: [2, 4, 3],
            kernel: [3, 2],
            stride: [2, 2],
            padding: [1, 0],
            dilation: [1, 2],
        };
        let input = distinct_values(1, 2 * 2 * 7 * 6);
        let upstream = values(2, 2 * 2 * 4 * 3);
        let indices: Vec<f32> = run(&op, &input).1.into_iter().map(f32::from_bits).collect();
        let mut gradient = vec![f32::NAN; input.len()];
        backward(&op, &indices, &upstream, &mut gradient);
        assert_gradient(|x| run(&op, x).0, &input, &upstream, &gradient);
    }
}

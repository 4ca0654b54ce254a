//! Average pooling.

use std::ops::Range;

use crate::kernels::avg_pool2d::AvgPool2d;
use crate::kernels::pool2d::pooled_planes;

/// The sum of every window over its divisor.
///
/// The divisor is PyTorch's: `divisor` where it is given; else the elements of the window that lie in the input, and
/// with `count_include_pad` those in the padding too. Of a window that runs past the padding (`ceil_mode`), the part
/// beyond never counts.
pub fn forward(op: &AvgPool2d, input: &[f32], output: &mut [f32]) {
    let ([_, height, width], [_, out_height, out_width]) = (op.pool.input, op.pool.output);
    for plane in 0..pooled_planes(&op.pool, input.len(), output.len()) {
        for oy in 0..out_height {
            for ox in 0..out_width {
                let (window, divisor) = window(op, oy, ox);
                let mut sum = 0.0;
                for y in window[0].clone() {
                    for x in window[1].clone() {
                        sum += f64::from(input[(plane * height + y) * width + x]);
                    }
                }
                output[(plane * out_height + oy) * out_width + ox] = (sum / divisor) as f32;
            }
        }
    }
}

/// Every output's gradient, over the divisor, goes to each input of its window.
pub fn backward(op: &AvgPool2d, grad_output: &[f32], grad_input: &mut [f32]) {
    let ([_, height, width], [_, out_height, out_width]) = (op.pool.input, op.pool.output);
    let planes = pooled_planes(&op.pool, grad_input.len(), grad_output.len());
    let mut sums = vec![0.0; grad_input.len()];
    for plane in 0..planes {
        for oy in 0..out_height {
            for ox in 0..out_width {
                let (window, divisor) = window(op, oy, ox);
                let share = f64::from(grad_output[(plane * out_height + oy) * out_width + ox]) / divisor;
                for y in window[0].clone() {
                    for x in window[1].clone() {
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

/// The input rows and columns that a window sees, and its divisor.
fn window(op: &AvgPool2d, oy: usize, ox: usize) -> ([Range<usize>; 2], f64) {
    let pool = &op.pool;
    let mut window = [0..0, 0..0];
    let (mut with_padding, mut without) = (1, 1);
    for (axis, position) in [oy, ox].into_iter().enumerate() {
        let (length, padding) = (pool.input[axis + 1] as i64, pool.padding[axis] as i64);
        let start = (position * pool.stride[axis]) as i64 - padding;
        let end = (start + pool.kernel[axis] as i64).min(length + padding);
        with_padding *= end - start;
        let (start, end) = (start.max(0), end.min(length));
        without *= end - start;
        window[axis] = start as usize..end as usize;
    }
    let divisor = match op.divisor {
        Some(divisor) => divisor as f64,
        None if op.count_include_pad => with_padding as f64,
        None => without as f64,
    };
    (window, divisor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::pool2d::Pool2d;
    use crate::reference::finite_difference::{assert_gradient, values};

    fn run(op: &AvgPool2d, input: &[f32]) -> Vec<f32> {
        let batch = input.len() / op.pool.input.iter().product::<usize>();
        let mut output = vec![f32::NAN; batch * op.pool.output.iter().product::<usize>()];
        forward(op, input, &mut output);
        output
    }

    fn op(size: usize, output: usize, kernel: usize, stride: usize, padding: usize) -> AvgPool2d {
        let pool = Pool2d {
            input: [1, size, size],
            output: [1, output, output],
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1, 1],
        };
        AvgPool2d { pool, count_include_pad: true, divisor: None }
    }

    #[test]
    fn worked_example() {
        let image: Vec<f32> = (0..16).map(|i| (i / 4) as f32).collect();
        let expected: Vec<f32> =
            [0.0, 0.5, 1.5, 2.5, 1.5].iter().flat_map(|&row| [row / 2.0, row, row, row, row / 2.0]).collect();
        assert_eq!(run(&op(4, 5, 2, 1, 1), &image), expected);
        assert_eq!(run(&op(4, 1, 4, 4, 0), &image), [1.5]);
    }

    #[test]
    fn divisors_of_windows_at_the_edge() {
        // Windows of three at -1, 1, 3 and 5 in five columns of ones: the last holds one column of padding and runs a
        // column past it (ceil_mode).
        let wide = |include, divisor| {
            let op = op(5, 4, 3, 2, 1);
            let pool = Pool2d { input: [1, 1, 5], output: [1, 1, 4], kernel: [1, 3], padding: [0, 1], ..op.pool };
            run(&AvgPool2d { pool, count_include_pad: include, divisor }, &[1.0; 5])
        };
        let third = 1.0 / 3.0;
        assert_eq!(wide(true, None), [2.0 * third, 1.0, 2.0 * third, 0.0]);
        assert_eq!(wide(false, None)[..3], [1.0, 1.0, 1.0]);
        assert_eq!(wide(true, Some(4)), [0.5, 0.75, 0.5, 0.0]);
    }

    #[test]
    fn gradient_by_differences() {
        for (include, divisor) in [(true, None), (false, None), (true, Some(5))] {
            // Seven columns in windows of three at -1, 2 and 5: the last runs past the input.
            let op = AvgPool2d { count_include_pad: include, divisor, ..op(7, 3, 3, 3, 1) };
            let (input, upstream) = (values(1, 2 * 49), values(2, 2 * 9));
            let mut gradient = vec![f32::NAN; input.len()];
            backward(&op, &upstream, &mut gradient);
            assert_gradient(|x| run(&op, x), &input, &upstream, &gradient);
        }
    }
}

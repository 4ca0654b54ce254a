//! Power-average pooling.

use crate::kernels::lp_pool2d::LpPool2d;
use crate::reference::avg_pool2d;

/// `y = (sum of x^p over the window)^(1/p)`, where the sum is the mean times the size of a whole window.
pub fn forward(op: &LpPool2d, input: &[f32], output: &mut [f32]) {
    let p = f64::from(op.norm_type);
    let powers: Vec<f32> = input.iter().map(|&x| f64::from(x).powf(p) as f32).collect();
    avg_pool2d::forward(&op.means(), &powers, output);
    for y in output {
        *y = (f64::from(*y) * op.window_len() as f64).powf(1.0 / p) as f32;
    }
}

/// The gradient for the input. Where a window's output is 0, PyTorch lets nothing through.
pub fn backward(op: &LpPool2d, input: &[f32], output: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    let p = f64::from(op.norm_type);
    let of_mean = |(&y, &gradient): (&f32, &f32)| match y {
        0.0 => 0.0,
        _ => (f64::from(gradient) * op.window_len() as f64 / p * f64::from(y).powf(1.0 - p)) as f32,
    };
    let gradients: Vec<f32> = output.iter().zip(grad_output).map(of_mean).collect();
    avg_pool2d::backward(&op.means(), &gradients, grad_input);
    for (gradient, &x) in grad_input.iter_mut().zip(input) {
        *gradient = (f64::from(*gradient) * p * f64::from(x).powf(p - 1.0)) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::pool2d::Pool2d;
    use crate::reference::finite_difference::{assert_gradient, values};

    fn op(norm_type: f32) -> LpPool2d {
        // Windows of three at 0, 2 and 4 of six columns: the last runs past the input.
        let pool = Pool2d {
            input: [1, 6, 6],
            output: [1, 3, 3],
            kernel: [3; 2],
            stride: [2; 2],
            padding: [0; 2],
            dilation: [1; 2],
        };
        LpPool2d { pool, norm_type }
    }

    #[test]
    fn a_window_over_the_edge_counts_as_whole() {
        let mut output = [f32::NAN; 9];
        forward(&op(2.0), &[1.0; 36], &mut output);
        assert_eq!(output, [3.0; 9]);
    }

    #[test]
    fn gradient_by_differences() {
        for norm_type in [1.0, 1.5, 2.0, 3.0] {
            let run = |x: &[f32]| {
                let mut output = vec![f32::NAN; 18];
                forward(&op(norm_type), x, &mut output);
                output
            };
            let input: Vec<f32> = values(1, 2 * 36).into_iter().map(|x| x.abs() + 0.25).collect();
            let upstream = values(2, 18);
            let mut gradient = vec![f32::NAN; input.len()];
            backward(&op(norm_type), &input, &run(&input), &upstream, &mut gradient);
            assert_gradient(run, &input, &upstream, &gradient);
        }
    }
}

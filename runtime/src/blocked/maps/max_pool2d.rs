//! Max pooling of blocked values.

use super::on_blocked::OnBlocked;
use super::pooling::{self, Geometry, Max};
use crate::kernels::Context;
use crate::kernels::pool2d::Pool2d;

/// The maximum of every window, as `torch.nn.MaxPool2d`: padding is minus infinity, and NaN is larger than any number.
///
/// # Panics
/// When the sizes do not agree, or a slice is no whole number of samples.
pub fn run(context: &mut Context, op: &OnBlocked<Pool2d>, input: &[f32], output: &mut [f32]) {
    pooling::run(context.isa, op, Geometry::Max(op.layer), Max, input, output);
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::testing::check_layer;
    use crate::kernels::pool2d::sized;
    use crate::kernels::testing::Tolerance;
    use crate::reference::max_pool2d::forward;

    fn check_pool(layer: Pool2d) {
        check_layer(layer, [layer.input, layer.output], Tolerance::EXACT, run, |op, x, y| forward(op, x, y, None));
    }

    #[test]
    fn windows() {
        for width in 3..=23 {
            for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (3, 3, 0)] {
                for ceil in [false, true] {
                    let channels = 1 + width * 7 % 40;
                    check_pool(sized([channels, 7, width], [kernel; 2], [stride; 2], [padding; 2], [1, 1], ceil));
                }
            }
        }
        for channels in 1..=40 {
            check_pool(sized([channels, 6, 9], [3, 2], [2, 1], [1, 0], [1, 2], true));
        }
        check_pool(sized([5, 1, 30], [1, 5], [1, 2], [0, 2], [1, 3], false));
    }

    #[test]
    fn windows_without_any_input() {
        // Rows -2 and 2 of an input of two rows.
        check_pool(Pool2d {
            input: [3, 2, 2],
            output: [3, 2, 2],
            kernel: [2, 1],
            stride: [1, 1],
            padding: [2, 0],
            dilation: [4, 1],
        });
    }

    #[test]
    fn bands() {
        check_pool(sized([40, 130, 120], [3, 3], [2, 2], [1, 1], [1, 1], false));
    }

    #[test]
    fn nan_is_the_maximum() {
        use crate::blocked::Blocked;
        let layer = sized([16, 2, 30], [2, 3], [1, 2], [0, 1], [1, 1], false);
        let op = OnBlocked { layer, input: Blocked::new(16, 2, 30), output: Blocked::new(16, 1, layer.output[2]) };
        for nan in 0..60 {
            let mut input = vec![1.0; op.input.sample_len()];
            input[nan * 16..][..16].fill(f32::NAN);
            for &isa in crate::kernels::testing::isas() {
                let mut output = vec![0.0; op.output.sample_len()];
                run(&mut crate::simd::with_isa(isa, Context::new), &op, &input, &mut output);
                for (x, pixel) in output.chunks(16).enumerate() {
                    // Columns 2 x - 1 to 2 x + 1.
                    let sees = (2 * x..=2 * x + 2).contains(&(nan % 30 + 1));
                    assert!(pixel.iter().all(|y| y.is_nan() == sees), "{isa}: NaN at {nan}, output {x}");
                }
            }
        }
    }
}

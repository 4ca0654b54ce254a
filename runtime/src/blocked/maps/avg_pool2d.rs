//! Average pooling of blocked values.

use super::on_blocked::OnBlocked;
use super::pooling::{self, Geometry, Mean};
use crate::kernels::Context;
use crate::kernels::avg_pool2d::AvgPool2d;

/// The mean of every window, as `torch.nn.AvgPool2d`.
///
/// # Panics
/// When the sizes do not agree, or a slice is no whole number of samples.
pub fn run(context: &mut Context, op: &OnBlocked<AvgPool2d>, input: &[f32], output: &mut [f32]) {
    assert_eq!(op.layer.pool.dilation, [1, 1], "average pooling knows no dilation");
    pooling::run(context.isa, op, Geometry::Avg(op.layer), Mean, input, output);
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::testing::check_layer;
    use crate::kernels::pool2d::{Pool2d, sized};
    use crate::kernels::testing::Tolerance;
    use crate::reference::avg_pool2d::forward;

    fn check_pool(pool: Pool2d) {
        for (count_include_pad, divisor) in [(true, None), (false, None), (true, Some(3))] {
            let layer = AvgPool2d { pool, count_include_pad, divisor };
            let tolerance = Tolerance::sum(pool.kernel[0] * pool.kernel[1]);
            check_layer(layer, [pool.input, pool.output], tolerance, run, forward);
        }
    }

    #[test]
    fn windows() {
        for width in 3..=23 {
            for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (3, 3, 0)] {
                let channels = 1 + width * 7 % 40;
                check_pool(sized([channels, 7, width], [kernel; 2], [stride; 2], [padding; 2], [1, 1], width % 2 == 0));
            }
        }
        for channels in 1..=40 {
            check_pool(sized([channels, 6, 9], [3, 2], [2, 1], [1, 0], [1, 1], true));
        }
        check_pool(sized([5, 1, 30], [1, 5], [1, 2], [0, 2], [1, 1], false));
        check_pool(sized([20, 9, 11], [9, 11], [1, 1], [0, 0], [1, 1], false));
    }

    #[test]
    fn bands() {
        check_pool(sized([40, 130, 120], [2, 2], [2, 2], [0, 0], [1, 1], false));
    }
}

//! Adaptive average pooling of blocked values.

use super::on_blocked::OnBlocked;
use super::pooling::{self, Geometry, Mean};
use crate::kernels::Context;
use crate::kernels::adaptive_pool2d::AdaptivePool2d;

/// The mean of every window, as `torch.nn.AdaptiveAvgPool2d`.
///
/// # Panics
/// When the sizes do not agree, or a slice is no whole number of samples.
pub fn run(context: &mut Context, op: &OnBlocked<AdaptivePool2d>, input: &[f32], output: &mut [f32]) {
    pooling::run(context.isa, op, Geometry::Adaptive(op.layer), Mean, input, output);
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::testing::{ADAPTIVE, check_layer};
    use crate::kernels::testing::Tolerance;
    use crate::reference::adaptive_pool2d::avg_forward;

    #[test]
    fn windows() {
        for (input, [height, width]) in ADAPTIVE {
            let layer = AdaptivePool2d { input, output: [input[0], height, width] };
            check_layer(layer, [layer.input, layer.output], Tolerance::sum(input[1] * input[2] / 4), run, avg_forward);
        }
    }
}

//! Adaptive max pooling of blocked values.

use super::on_blocked::OnBlocked;
use super::pooling::{self, Geometry, Max};
use crate::kernels::Context;
use crate::kernels::adaptive_pool2d::AdaptivePool2d;

/// The maximum of every window, as `torch.nn.AdaptiveMaxPool2d`; NaN is larger than any number.
///
/// # Panics
/// When the sizes do not agree, or a slice is no whole number of samples.
pub fn run(context: &mut Context, op: &OnBlocked<AdaptivePool2d>, input: &[f32], output: &mut [f32]) {
    pooling::run(context.isa, op, Geometry::Adaptive(op.layer), Max, input, output);
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::testing::{ADAPTIVE, check_layer};
    use crate::kernels::testing::Tolerance;
    use crate::reference::adaptive_pool2d::max_forward;

    #[test]
    fn windows() {
        for (input, [height, width]) in ADAPTIVE {
            let layer = AdaptivePool2d { input, output: [input[0], height, width] };
            let sizes = [layer.input, layer.output];
            check_layer(layer, sizes, Tolerance::EXACT, run, |op, x, y| max_forward(op, x, y, None));
        }
    }
}

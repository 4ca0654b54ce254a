//! Activations of blocked values that nothing before them takes in.

use crate::blocked::bands::Bands;
use crate::blocked::epilogue::apply;
use crate::blocked::rows::Rows;
use crate::blocked::{BLOCK, Blocked};
use crate::kernels::Context;
use crate::kernels::activation::Activation;

/// An activation, pixel by pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockedActivation {
    /// The input. Its halo is not read.
    pub input: Blocked,
    /// The output, of the same size. Its halo is not written.
    pub output: Blocked,
    /// The function.
    pub activation: Activation,
}

/// Computes `output` for a batch of samples. NaN gives NaN.
///
/// # Panics
/// When the values' sizes differ or a slice is no whole number of samples.
pub fn run(context: &mut Context, op: &BlockedActivation, input: &[f32], output: &mut [f32]) {
    let batch = op.input.same_size(&op.output, input.len(), output.len());
    let (isa, to) = (context.isa, &op.output);
    Bands::new(batch, to.blocks(), to.height, 2 * to.width * BLOCK).write(to, output, |band, rows| {
        apply(isa, op.activation, Some(Rows::of(&op.input, input, band)), rows, to.block_channels(band[1]));
    });
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::testing::{blocked, laid_out};
    use crate::kernels::testing::{Tolerance, check, data_in};

    #[test]
    fn every_function() {
        let all = [
            Activation::Relu,
            Activation::Relu6,
            Activation::LeakyRelu { negative_slope: 0.1 },
            Activation::Elu { alpha: 0.5 },
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Silu,
            Activation::Hardswish,
            Activation::Hardsigmoid,
        ];
        for activation in all {
            for size in [[1, 1, 1], [7, 3, 5], [16, 4, 4], [33, 2, 9], [20, 90, 100]] {
                for batch in [1, 3] {
                    let [input, output] = laid_out([size; 2], batch > 1);
                    let op = BlockedActivation { input, output, activation };
                    let data = data_in(1, batch * size.iter().product::<usize>(), -8.0, 8.0);
                    let mut expected = vec![f32::NAN; data.len()];
                    crate::reference::activation::forward(activation, &data, &mut expected);
                    let data = blocked(&input, &data, f32::NAN);
                    let expected = blocked(&output, &expected, f32::NAN);
                    let tolerance = Tolerance { absolute: 3e-6, relative: 2e-6, special: true };
                    check(&format!("{op:?} x {batch}"), tolerance, [expected], |context, [output]| {
                        run(context, &op, &data, output);
                    });
                }
            }
        }
    }
}

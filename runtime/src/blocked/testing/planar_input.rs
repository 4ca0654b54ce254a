//! How convolutions from planar values are held against the plain one.

use super::{Norm, blocked, pool_reference, reference};
use crate::blocked::{Blocked, BlockedConv2d, PlanarInputConv2d, Pool2x2, Weights, maps::pool2x2};
use crate::kernels::Context;
use crate::kernels::activation::Activation;
use crate::kernels::testing::{Tolerance, check, data};

/// The packing and the running of an algorithm.
pub(crate) struct PlanarInputAlgorithm {
    pub packed_len: fn(&PlanarInputConv2d) -> usize,
    pub pack: fn(&PlanarInputConv2d, &Weights, &mut [f32]),
    pub run: fn(&mut Context, &PlanarInputConv2d, &[f32], &[f32], &mut [f32]),
    /// The error of one output in units of that of a plain sum in f32.
    pub error: f32,
}

/// A square kernel with padding on all sides; `input` is channels, rows and columns.
pub(crate) fn first_layer(
    input: [usize; 3],
    outputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> PlanarInputConv2d {
    let out = |size: usize| (size + 2 * padding - kernel) / stride + 1;
    PlanarInputConv2d {
        input,
        output: Blocked::new(outputs, out(input[1]), out(input[2])),
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [padding; 2],
        dilation: [1, 1],
        activation: None,
        pool: None,
    }
}

impl PlanarInputConv2d {
    /// The same with a pool, which leaves out an odd row or column at the end.
    pub(crate) fn pooled(mut self, pool: Pool2x2, activation: Option<Activation>) -> Self {
        (self.pool, self.activation) = (Some(pool), activation);
        self.output = Blocked::new(self.output.channels, self.output.height / 2, self.output.width / 2);
        self
    }
}

/// Holds `algorithm` against the reference on every instruction set, with a bias and a batch norm.
#[track_caller]
pub(crate) fn check_planar_input(algorithm: &PlanarInputAlgorithm, op: &PlanarInputConv2d, batch: usize) {
    let ([channels, h, w], to) = (op.input, &op.output);
    let factor = pool2x2::factor(op.pool);
    let input = data(1, batch * channels * h * w);
    let weight = data(2, op.weight_len());
    let (bias, norm) = (data(3, to.channels), Norm::new(to.channels));
    let weights = Weights { weight: &weight, bias: Some(&bias), norm: Some(norm.borrow()) };
    let same = BlockedConv2d {
        input: Blocked::new(channels, h, w),
        output: Blocked::new(to.channels, factor * to.height, factor * to.width),
        kernel: op.kernel,
        stride: op.stride,
        padding: op.padding,
        dilation: op.dilation,
        groups: 1,
        residual: None,
        activation: op.activation,
    };
    let output = pool_reference(op.pool, to.width, reference(&same, &input, &weights, None));
    let expected = blocked(to, &output, f32::NAN);
    let mut packed = vec![f32::NAN; (algorithm.packed_len)(op)];
    (algorithm.pack)(op, &weights, &mut packed);
    assert!(packed.iter().all(|x| x.is_finite()), "{op:?}: packed weights that were not written");
    let terms = channels * op.kernel[0] * op.kernel[1] + 4;
    let tolerance = Tolerance::absolute(algorithm.error * 2.0 * Tolerance::sum(terms).absolute).with_special();
    check(&format!("{op:?} x {batch}"), tolerance, [expected], |context, [output]| {
        (algorithm.run)(context, op, &input, &packed, output);
    });
}

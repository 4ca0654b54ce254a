//! The rectifier with a random slope below zero (Xu, Wang, Chen and Li, "Empirical evaluation of rectified activations", 2015).

pub use castnet_descriptors::Rrelu;

use super::activation::value::LeakyRelu;
use super::map::{self, Mul, TASK};
use super::{Context, Random};
use crate::parallel;
use crate::simd::{Kernel, Simd, dispatch};

/// In evaluation: `output = input` where positive, else the mean slope times it.
///
/// # Panics
/// If the lengths differ.
pub fn forward(context: &mut Context, op: &Rrelu, input: &[f32], output: &mut [f32]) {
    map::map(context.isa, LeakyRelu((op.lower + op.upper) / 2.0), [input], output);
}

/// In training: `output = slopes * input`, where `slopes` takes 1 where the input is positive (or NaN), else a number drawn
/// uniformly for every element of this layer in this step.
///
/// # Panics
/// If the lengths differ.
pub fn forward_train(
    context: &mut Context,
    op: &Rrelu,
    layer: u64,
    input: &[f32],
    output: &mut [f32],
    slopes: &mut [f32],
) {
    assert!(input.len() == output.len() && input.len() == slopes.len(), "buffers have the same length");
    let (isa, key) = (context.isa, context.random.stream(layer));
    parallel::for_each_chunk2(output, TASK, slopes, TASK, |i, output, slopes| {
        let start = i * TASK;
        dispatch(isa, Draw { op: *op, key, start, input: &input[start..][..output.len()], output, slopes });
    });
}

/// `grad_input = slopes * grad_output`.
///
/// # Panics
/// If the lengths differ.
pub fn backward(context: &mut Context, slopes: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    map::map(context.isa, Mul, [slopes, grad_output], grad_input);
}

/// One task of [`forward_train`]: the elements from `start` on, a multiple of every vector's length.
struct Draw<'a> {
    op: Rrelu,
    key: u64,
    start: usize,
    input: &'a [f32],
    output: &'a mut [f32],
    slopes: &'a mut [f32],
}

impl Kernel for Draw<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Draw { op, key, mut start, input, output, slopes } = self;
        let (lower, width) = (s.splat(op.lower), s.splat(op.upper - op.lower));
        let outputs = output.chunks_mut(S::LANES).zip(slopes.chunks_mut(S::LANES));
        for (x, (y, slope)) in input.chunks(S::LANES).zip(outputs) {
            let x = s.load_partial(x);
            let drawn = s.mul_add(width, Random::uniform_lanes(s, key, start as u64), lower);
            let v = s.select(s.le(x, s.zero()), drawn, s.splat(1.0));
            s.store_partial(v, slope);
            s.store_partial(s.mul(x, v), y);
            start += S::LANES;
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{Tolerance, check, data, straddling};
    use crate::reference::rrelu as reference;

    /// As `torch.nn.RReLU` in training: at zero the slope is drawn, at NaN it is one.
    #[test]
    fn slopes_at_the_kink_and_at_what_is_not_finite() {
        let op = Rrelu { lower: 0.25, upper: 0.5 };
        for &isa in crate::kernels::testing::isas() {
            let mut context = crate::simd::with_isa(isa, Context::new);
            let input = [0.0, -0.0, f32::NEG_INFINITY, f32::INFINITY, f32::NAN];
            let (mut output, mut slopes) = ([0.0; 5], [f32::NAN; 5]);
            forward_train(&mut context, &op, 0, &input, &mut output, &mut slopes);
            assert!(slopes[..3].iter().all(|slope| (0.25..0.5).contains(slope)), "{isa}: {slopes:?}");
            assert_eq!(slopes[3..], [1.0; 2], "{isa}");
            assert!(output[..2] == [0.0; 2] && output[2..4] == input[2..4] && output[4].is_nan(), "{isa}: {output:?}");
        }
    }

    #[test]
    fn agrees_with_the_reference() {
        let op = Rrelu { lower: 0.125, upper: 1.0 / 3.0 };
        // The seed and step that `check` sets.
        let random = Random { seed: 42, step: 7 };
        for len in straddling(16).into_iter().chain([2 * TASK + 5]) {
            let (input, upstream) = (data(1, len), data(2, len));
            let blank = || vec![f32::NAN; len];
            let (mut output, mut slopes, mut evaluated, mut gradient) = (blank(), blank(), blank(), blank());
            reference::forward(&op, &input, &mut evaluated);
            reference::forward_train(random, &op, 5, &input, &mut output, &mut slopes);
            reference::backward(&slopes, &upstream, &mut gradient);
            let tolerance = Tolerance::relative(3e-7);
            check("rrelu", tolerance, [evaluated], |context, [output]| forward(context, &op, &input, output));
            check("rrelu training", tolerance, [output, slopes.clone()], |context, [output, slopes]| {
                forward_train(context, &op, 5, &input, output, slopes);
            });
            check("rrelu backward", tolerance, [gradient], |context, [gradient]| {
                backward(context, &slopes, &upstream, gradient);
            });
        }
    }
}

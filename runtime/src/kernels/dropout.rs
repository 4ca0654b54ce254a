//! Dropping elements, or whole channels, at random (Srivastava et al., 2014), scaled while training so that evaluation does nothing.

use super::map::{self, Mul, Scale, TASK};
use super::{Context, Random};
use crate::parallel;
use crate::simd::{Kernel, Simd, dispatch};

/// What is kept is multiplied by this, so that the mean stays; nothing is kept when `p` is 1.
pub(crate) fn kept_scale(p: f32) -> f32 {
    if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 }
}

/// `output = input * mask`, where `mask` takes for every element 0 with probability `p`, else `1 / (1 - p)`. The draws are a function of
/// the context's seed and step, of `layer` and of the element's index.
///
/// # Panics
/// If the lengths differ.
pub fn forward(context: &mut Context, p: f32, layer: u64, input: &[f32], output: &mut [f32], mask: &mut [f32]) {
    assert!(input.len() == output.len() && input.len() == mask.len(), "buffers have the same length");
    let (isa, key) = (context.isa, context.random.stream(layer));
    parallel::for_each_chunk2(output, TASK, mask, TASK, |i, output, mask| {
        let start = i * TASK;
        dispatch(isa, Draw { p, key, start, input: &input[start..][..output.len()], output, mask });
    });
}

/// `output = input * mask`, where `mask`, of one element for each channel of each sample, takes 0 with probability `p`, else
/// `1 / (1 - p)`. `inner` is the number of elements of a channel.
///
/// # Panics
/// If the lengths do not agree.
pub fn forward2d(
    context: &mut Context,
    p: f32,
    layer: u64,
    inner: usize,
    input: &[f32],
    output: &mut [f32],
    mask: &mut [f32],
) {
    let (key, scale) = (context.random.stream(layer), kept_scale(p));
    for (i, mask) in mask.iter_mut().enumerate() {
        *mask = if Random::uniform(key, i as u64) < p { 0.0 } else { scale };
    }
    backward2d(context, inner, mask, input, output);
}

/// `grad_input = grad_output * mask`.
///
/// # Panics
/// If the lengths differ.
pub fn backward(context: &mut Context, mask: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    map::map(context.isa, Mul, [mask, grad_output], grad_input);
}

/// `grad_input = grad_output * mask` with one element of `mask` for each run of `inner` elements.
///
/// # Panics
/// If the lengths do not agree.
pub fn backward2d(context: &mut Context, inner: usize, mask: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    assert_eq!(mask.len() * inner, grad_input.len(), "one element of the mask for each channel");
    map::map_rows(context.isa, inner, |row| Scale(mask[row]), [grad_output], grad_input);
}

/// One task of [`forward`]: the elements from `start` on, a multiple of every vector's length.
struct Draw<'a> {
    p: f32,
    key: u64,
    start: usize,
    input: &'a [f32],
    output: &'a mut [f32],
    mask: &'a mut [f32],
}

impl Kernel for Draw<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Draw { p, key, mut start, input, output, mask } = self;
        let (p, scale) = (s.splat(p), s.splat(kept_scale(p)));
        let outputs = output.chunks_mut(S::LANES).zip(mask.chunks_mut(S::LANES));
        for (x, (y, mask)) in input.chunks(S::LANES).zip(outputs) {
            let drawn = Random::uniform_lanes(s, key, start as u64);
            let v = s.select(s.lt(drawn, p), s.zero(), scale);
            s.store_partial(v, mask);
            s.store_partial(s.mul(s.load_partial(x), v), y);
            start += S::LANES;
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{Tolerance, check, data, straddling};
    use crate::reference::dropout as reference;

    /// The seed and step that `check` sets.
    const RANDOM: Random = Random { seed: 42, step: 7 };

    #[test]
    fn elements_agree_with_the_reference() {
        for len in straddling(16).into_iter().chain([2 * TASK + 5]) {
            for p in [0.0, 0.3, 0.5, 1.0] {
                let (input, upstream) = (data(1, len), data(2, len));
                let blank = || vec![f32::NAN; len];
                let (mut output, mut mask, mut gradient) = (blank(), blank(), blank());
                reference::forward(RANDOM, p, 5, &input, &mut output, &mut mask);
                reference::backward(&mask, &upstream, &mut gradient);
                check("dropout", Tolerance::EXACT, [output, mask.clone()], |context, [output, mask]| {
                    forward(context, p, 5, &input, output, mask);
                });
                check("dropout backward", Tolerance::EXACT, [gradient], |context, [gradient]| {
                    backward(context, &mask, &upstream, gradient);
                });
            }
        }
    }

    #[test]
    fn channels_agree_with_the_reference() {
        for (planes, inner) in [(1, 1), (6, 15), (6, 16), (7, 17), (100, 49), (3, TASK + 1)] {
            for p in [0.0, 0.3, 1.0] {
                let len = planes * inner;
                let (input, upstream) = (data(1, len), data(2, len));
                let (mut output, mut mask, mut gradient) =
                    (vec![f32::NAN; len], vec![f32::NAN; planes], vec![f32::NAN; len]);
                reference::forward2d(RANDOM, p, 5, inner, &input, &mut output, &mut mask);
                reference::backward2d(inner, &mask, &upstream, &mut gradient);
                check("dropout2d", Tolerance::EXACT, [output, mask.clone()], |context, [output, mask]| {
                    forward2d(context, p, 5, inner, &input, output, mask);
                });
                check("dropout2d backward", Tolerance::EXACT, [gradient], |context, [gradient]| {
                    backward2d(context, inner, &mask, &upstream, gradient);
                });
            }
        }
    }
}

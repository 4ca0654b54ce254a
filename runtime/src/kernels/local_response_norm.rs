//! Local response normalisation.

pub use castnet_descriptors::LocalResponseNorm;

use super::Context;
use super::math;
use super::window::{load, store};
use crate::parallel::{self, Disjoint, for_each_chunk, for_each_scratch, items_per_task};
use crate::simd::{BLOCK, Kernel, Simd, dispatch};
use core::ops::Range;

/// Places of a channel that the backward pass takes together: for all channels, two buffers of so many lie in 64 KiB, at home in the
/// second-level cache, but not fewer than a few cache lines.
fn block(op: &LocalResponseNorm) -> usize {
    (8192 / op.channels).next_multiple_of(BLOCK).max(4 * BLOCK).min(op.inner.next_multiple_of(BLOCK))
}

/// `y[c] = x[c] / (k + alpha / size * sum of x[c']^2)^beta`, the sum over the `size` channels from `c - size / 2` to
/// `c + (size - 1) / 2`; those that do not exist count as zero.
///
/// - `input`, `output`: `[batch, channels, inner]`.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
pub fn forward(context: &mut Context, op: &LocalResponseNorm, input: &[f32], output: &mut [f32]) {
    check(op, [input.len(), output.len()]);
    let isa = context.isa;
    let per_task = items_per_task(output.len() / op.inner, 2 * op.inner);
    for_each_chunk(output, per_task * op.inner, |i, output| {
        dispatch(isa, Forward { op, input, output, first: i * per_task });
    });
}

/// The gradient for the input: with `b[c]` what is raised to the power, `dx[c] = dy[c] * b[c]^-beta - 2 * alpha * beta / size * x[c] *
/// sum of dy[c'] * y[c'] / b[c']`, the sum over the channels `c'` whose windows hold `c`.
///
/// - `input`, `output`: what [`forward`] read and wrote; `grad_output`: the gradient for `output`.
/// - `grad_input`: takes the gradient for `input`.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
pub fn backward(
    context: &mut Context,
    op: &LocalResponseNorm,
    input: &[f32],
    output: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    check(op, [input.len(), output.len(), grad_output.len(), grad_input.len()]);
    let isa = context.isa;
    // A task is a run of places in all channels of a sample.
    let block = block(op);
    let blocks = op.inner.div_ceil(block);
    let tasks = input.len() / op.sample_len() * blocks;
    let each = 2 * op.channels * block;
    let scratch = context.scratch(each * tasks.min(parallel::threads()));
    let grad_input = Disjoint::new(grad_input);
    for_each_scratch(scratch, each, tasks, |scratch, i| {
        let (sample, start) = (i / blocks * op.sample_len(), i % blocks * block);
        let places = start..(start + block).min(op.inner);
        dispatch(isa, Backward { op, input, output, grad_output, grad_input, sample, places, scratch });
    });
}

/// Checks that the lengths are those of the same whole number of samples.
#[track_caller]
fn check<const N: usize>(op: &LocalResponseNorm, lengths: [usize; N]) {
    assert!(lengths[0].is_multiple_of(op.sample_len()), "whole samples of {} elements", op.sample_len());
    assert_eq!(lengths, [lengths[0]; N], "buffers of one length");
}

/// `x^beta`; square roots where they do, which are exact and faster than a logarithm. 0.75 is AlexNet's exponent and PyTorch's default.
#[inline(always)]
fn power<S: Simd>(simd: S, x: S::V, beta: f32) -> S::V {
    if beta == 0.75 {
        let root = simd.sqrt(x);
        simd.mul(root, simd.sqrt(root))
    } else if beta == 0.5 {
        simd.sqrt(x)
    } else if beta == 1.0 {
        x
    } else {
        math::pow(simd, x, beta)
    }
}

/// What is raised to the power, for `count` places from `place` on of the channel whose window is given.
///
/// # Safety
///
/// `sample` is valid for reading these places of the window's channels.
#[inline(always)]
unsafe fn base<S: Simd>(
    simd: S,
    op: &LocalResponseNorm,
    sample: *const f32,
    window: Range<usize>,
    place: usize,
    count: usize,
) -> S::V {
    let mut squares = simd.zero();
    for c in window {
        // SAFETY: the caller's promise.
        let x = unsafe { load(simd, sample.add(c * op.inner + place), count) };
        squares = simd.mul_add(x, x, squares);
    }
    simd.mul_add(squares, simd.splat(op.alpha / op.size as f32), simd.splat(op.k))
}

/// Consecutive planes, the first of which is the `first`-th of the batch.
struct Forward<'a> {
    op: &'a LocalResponseNorm,
    input: &'a [f32],
    output: &'a mut [f32],
    first: usize,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Forward { op, input, output, first } = self;
        for (plane, output) in (first..).zip(output.chunks_exact_mut(op.inner)) {
            let (n, c) = (plane / op.channels, plane % op.channels);
            let sample = input[n * op.sample_len()..][..op.sample_len()].as_ptr();
            let mut place = 0;
            while place < op.inner {
                let count = (op.inner - place).min(S::LANES);
                // SAFETY: place + count is at most `inner`, in each of the sample's channels.
                unsafe {
                    let base = base(simd, op, sample, op.window(c), place, count);
                    let x = load(simd, sample.add(c * op.inner + place), count);
                    let y = simd.div(x, power(simd, base, op.beta));
                    store(simd, y, output.as_mut_ptr().add(place), count);
                }
                place += S::LANES;
            }
        }
    }
}

/// Some places of all channels of a sample.
struct Backward<'a> {
    op: &'a LocalResponseNorm,
    input: &'a [f32],
    output: &'a [f32],
    grad_output: &'a [f32],
    /// Of which these places are written.
    grad_input: Disjoint<'a, f32>,
    /// Where the sample starts.
    sample: usize,
    places: Range<usize>,
    scratch: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Backward { op, input, output, grad_output, grad_input, sample, places, scratch } = self;
        let block = block(op);
        // [channels, block] each: dy * b^-beta, and dy * y / b.
        let (direct, through) = scratch.split_at_mut(op.channels * block);
        assert!(through.len() >= op.channels * block && places.len() <= block, "working memory for these places");
        let elements = sample..sample + op.sample_len();
        let (input, output, grad_output) =
            (&input[elements.clone()], &output[elements.clone()], &grad_output[elements]);
        for c in 0..op.channels {
            for place in places.clone().step_by(S::LANES) {
                let count = (places.end - place).min(S::LANES);
                let (from, to) = (c * op.inner + place, c * block + (place - places.start));
                // SAFETY: place + count is at most `inner`, and `block` counted from the first place.
                unsafe {
                    let base = base(simd, op, input.as_ptr(), op.window(c), place, count);
                    let dy = load(simd, grad_output.as_ptr().add(from), count);
                    let y = load(simd, output.as_ptr().add(from), count);
                    store(simd, simd.div(dy, power(simd, base, op.beta)), direct.as_mut_ptr().add(to), count);
                    store(simd, simd.div(simd.mul(dy, y), base), through.as_mut_ptr().add(to), count);
                }
            }
        }
        let factor = simd.splat(2.0 * op.alpha * op.beta / op.size as f32);
        for c in 0..op.channels {
            let start = sample + c * op.inner;
            // SAFETY: no other task has these places.
            let dx = unsafe { grad_input.slice(start + places.start..start + places.end) };
            for at in (0..places.len()).step_by(S::LANES) {
                let count = (places.len() - at).min(S::LANES);
                // SAFETY: at + count is at most the number of places.
                unsafe {
                    let mut sum = simd.zero();
                    for holder in op.holders(c) {
                        sum = simd.add(sum, load(simd, through.as_ptr().add(holder * block + at), count));
                    }
                    let x = load(simd, input.as_ptr().add(c * op.inner + places.start + at), count);
                    let direct = load(simd, direct.as_ptr().add(c * block + at), count);
                    let value = simd.neg_mul_add(simd.mul(factor, x), sum, direct);
                    store(simd, value, dx.as_mut_ptr().add(at), count);
                }
            }
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{Tolerance, data, straddling};
    use crate::reference::local_response_norm as reference;

    fn compare(op: &LocalResponseNorm, batch: usize) {
        let len = batch * op.sample_len();
        let (input, grad_output) = (data(1, len), data(2, len));
        let (mut output, mut grad_input) = (vec![f32::NAN; len], vec![f32::NAN; len]);
        reference::forward(op, &input, &mut output);
        reference::backward(op, &input, &output, &grad_output, &mut grad_input);
        // A few operations on numbers of about 1; a general power errs by a few ulps more.
        let tolerance = Tolerance::absolute(16.0 * f32::EPSILON);
        crate::kernels::testing::check(&format!("{op:?}"), tolerance, [output.clone()], |context, [y]| {
            forward(context, op, &input, y);
        });
        crate::kernels::testing::check(
            &format!("{op:?}, backward"),
            tolerance,
            [grad_input],
            |context, [grad_input]| {
                backward(context, op, &input, &output, &grad_output, grad_input);
            },
        );
    }

    #[test]
    fn agrees_with_the_reference() {
        for inner in straddling(16) {
            for (size, beta) in [(5, 0.75), (2, 0.5), (4, 1.0), (3, 1.3), (1, 0.75), (9, 0.6)] {
                compare(&LocalResponseNorm { channels: 7, inner, size, alpha: 0.7, beta, k: 1.5 }, 2);
            }
        }
        compare(&LocalResponseNorm { channels: 1, inner: 5, size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 }, 2);
    }

    #[test]
    fn several_tasks() {
        compare(&LocalResponseNorm { channels: 96, inner: 27 * 27, size: 5, alpha: 1e-2, beta: 0.75, k: 1.0 }, 2);
    }

    #[test]
    fn holders_are_the_windows_that_hold() {
        for size in 1..8 {
            let op = LocalResponseNorm { channels: 6, inner: 1, size, alpha: 1.0, beta: 1.0, k: 1.0 };
            for c in 0..6 {
                let holders: Vec<usize> = (0..6).filter(|&other| op.window(other).contains(&c)).collect();
                assert_eq!(op.holders(c).collect::<Vec<_>>(), holders, "size {size}, channel {c}");
            }
        }
    }
}

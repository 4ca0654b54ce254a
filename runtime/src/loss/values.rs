//! The losses over values: mse, l1, smooth_l1, bce and bce_with_logits.

use ndarray::ArrayViewD;

use super::{Loss, Mean};
use crate::error::Error;
use crate::kernels::math;
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// Terms that are summed up in single precision before their sum is added in double precision: at most 64 in a lane.
const BLOCK: usize = 256;

/// Whether these are probabilities.
pub(super) fn check<'a>(
    loss: Loss,
    what: &'static str,
    mut values: impl Iterator<Item = &'a f32>,
) -> Result<(), Error> {
    match values.by_ref().enumerate().find(|(_, value)| !(0.0..=1.0).contains(*value)) {
        Some((position, &value)) => Err(Error::Probability { loss, what, value, position }),
        None => Ok(()),
    }
}

/// The loss of an output for a target of its shape, and its gradient.
pub(super) fn write(
    loss: Loss,
    output: &[f32],
    target: &ArrayViewD<'_, f32>,
    gradient: &mut [f32],
) -> Result<Mean, Error> {
    if loss == Loss::Bce {
        check(loss, "output", output.iter())?;
    }
    let isa = Isa::active();
    let scale = 1.0 / output.len() as f32;
    let mut values = target.iter();
    let mut sum = 0.0;
    for (output, gradient) in output.chunks(BLOCK).zip(gradient.chunks_mut(BLOCK)) {
        // The target may have any strides; a block of it has none.
        let mut block = [0.0; BLOCK];
        block.iter_mut().zip(values.by_ref().take(output.len())).for_each(|(to, from)| *to = *from);
        let target = &block[..output.len()];
        sum += f64::from(dispatch(isa, Terms { loss, scale, output, target, gradient }));
    }
    Ok(Mean::new(sum, output.len()))
}

/// Some terms of a mean; returns their sum.
struct Terms<'a> {
    loss: Loss,
    /// 1 / all terms
    scale: f32,
    output: &'a [f32],
    target: &'a [f32],
    gradient: &'a mut [f32],
}

impl Kernel for Terms<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        match self.loss {
            Loss::Mse => self.sum(simd, mse),
            Loss::L1 => self.sum(simd, l1),
            Loss::SmoothL1 => self.sum(simd, smooth_l1),
            Loss::Bce => self.sum(simd, bce),
            _ => self.sum(simd, bce_with_logits),
        }
    }
}

impl Terms<'_> {
    #[inline(always)]
    fn sum<S: Simd>(self, simd: S, term: impl Fn(S, S::V, S::V) -> (S::V, S::V)) -> f32 {
        let scale = simd.splat(self.scale);
        let mut sum = simd.zero();
        let chunks = self.output.chunks(S::LANES).zip(self.target.chunks(S::LANES));
        for ((output, target), gradient) in chunks.zip(self.gradient.chunks_mut(S::LANES)) {
            let (loss, slope) = term(simd, simd.load_partial(output), simd.load_partial(target));
            // Lanes that hold nothing are zeros, whose loss may be any number.
            sum = simd.add(sum, simd.select(simd.first(output.len()), loss, simd.zero()));
            simd.store_partial(simd.mul(slope, scale), gradient);
        }
        simd.reduce_sum(sum)
    }
}

// A term of each mean, and its slope.

#[inline(always)]
fn mse<S: Simd>(s: S, x: S::V, t: S::V) -> (S::V, S::V) {
    let difference = s.sub(x, t);
    (s.mul(difference, difference), s.add(difference, difference))
}

#[inline(always)]
fn l1<S: Simd>(s: S, x: S::V, t: S::V) -> (S::V, S::V) {
    let difference = s.sub(x, t);
    (s.abs(difference), sign(s, difference))
}

#[inline(always)]
fn smooth_l1<S: Simd>(s: S, x: S::V, t: S::V) -> (S::V, S::V) {
    let difference = s.sub(x, t);
    let size = s.abs(difference);
    let half = s.splat(0.5);
    let near = s.lt(size, s.splat(1.0));
    let loss = s.select(near, s.mul(half, s.mul(size, size)), s.sub(size, half));
    (loss, s.select(near, difference, sign(s, difference)))
}

#[inline(always)]
fn bce<S: Simd>(s: S, x: S::V, t: S::V) -> (S::V, S::V) {
    let one = s.splat(1.0);
    let least = s.splat(-100.0);
    let log = s.max(math::ln(s, x), least);
    let log_of_rest = s.max(ln_1p(s, s.neg(x)), least);
    let loss = s.sub(s.mul(s.sub(t, one), log_of_rest), s.mul(t, log));
    (loss, s.div(s.sub(x, t), s.max(s.mul(s.sub(one, x), x), s.splat(1e-12))))
}

#[inline(always)]
fn bce_with_logits<S: Simd>(s: S, x: S::V, t: S::V) -> (S::V, S::V) {
    // With e = exp(-|x|), which cannot overflow: softplus(-x) = max(-x, 0) + log(1 + e), and the sigmoid is 1 / (1 + e)
    // or, for a negative x, e / (1 + e).
    let one = s.splat(1.0);
    let e = math::exp(s, s.neg(s.abs(x)));
    let sigmoid = s.div(s.select(s.ge(x, s.zero()), one, e), s.add(one, e));
    let softplus = s.add(s.max(s.neg(x), s.zero()), ln_1p(s, e));
    (s.mul_add(s.sub(one, t), x, softplus), s.sub(sigmoid, t))
}

/// -1, 0 or 1; NaN for NaN.
#[inline(always)]
fn sign<S: Simd>(s: S, x: S::V) -> S::V {
    s.select(s.gt(x, s.zero()), s.splat(1.0), s.select(s.lt(x, s.zero()), s.splat(-1.0), x))
}

/// `ln(1 + x)`, also near zero: with u = 1 + x as rounded, ln(u) is too large by the factor (u - 1) / x (Kahan; Goldberg,
/// "What every computer scientist should know about floating-point arithmetic", 1991, theorem 4).
#[inline(always)]
fn ln_1p<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let u = s.add(one, x);
    let log = math::ln(s, u);
    let corrected = s.mul(log, s.div(x, s.sub(u, one)));
    // At u = 0 the logarithm is -infinity, and x = -1 is u - 1: the quotient is 1.
    s.select(s.eq(u, one), x, corrected)
}

//! The losses over classes: cross_entropy and nll.

use super::{Classes, IGNORED_CLASS, Loss, Mean, flatten};
use crate::error::Error;

/// Positions of one sample that are worked on together: their maxima and sums fit the first-level cache.
const BLOCK: usize = 64;

/// Whether every class exists.
pub(super) fn check(loss: Loss, classes: usize, target: &Classes<'_>) -> Result<(), Error> {
    target.try_for_each(|position, class| {
        if class == i128::from(IGNORED_CLASS) || usize::try_from(class).is_ok_and(|class| class < classes) {
            Ok(())
        } else {
            Err(Error::Class { loss, class, classes, position })
        }
    })
}

/// The loss of an output `[n, classes, inner]` for a target `[n, inner]` that was checked, and its gradient.
pub(super) fn write(loss: Loss, shape: &[usize], output: &[f32], target: &Classes<'_>, gradient: &mut [f32]) -> Mean {
    let [_, classes, inner] = flatten(shape);
    // Position p of the target and class c lie at (p / inner) * classes * inner + c * inner + p % inner.
    let first = |position: usize| (position / inner) * classes * inner + position % inner;

    match loss {
        Loss::Nll => gradient.copy_from_slice(output),
        _ => log_softmax(classes, inner, output, gradient),
    }
    let (mut sum, mut terms) = (0.0f64, 0);
    each(target, |position, class| {
        if let Some(class) = class {
            sum -= f64::from(gradient[first(position) + class * inner]);
            terms += 1;
        }
    });

    let scale = 1.0 / terms as f32;
    match loss {
        Loss::Nll => gradient.fill(0.0),
        _ => gradient.iter_mut().for_each(|log| *log = log.exp() * scale),
    }
    each(target, |position, class| match class {
        Some(class) => gradient[first(position) + class * inner] -= scale,
        None => (0..classes).for_each(|class| gradient[first(position) + class * inner] = 0.0),
    });
    Mean::new(sum, terms)
}

/// Calls `each` with every position and its class; `None` where the position does not count.
fn each(target: &Classes<'_>, mut each: impl FnMut(usize, Option<usize>)) {
    let Ok(()) = target.try_for_each(|position, class| {
        each(position, usize::try_from(class).ok());
        Ok::<_, core::convert::Infallible>(())
    });
}

/// `x - log(sum of exp(x))` over the classes of `[n, classes, inner]`, with the maximum taken out of the exponent.
fn log_softmax(classes: usize, inner: usize, from: &[f32], to: &mut [f32]) {
    let sample = classes * inner;
    for (from, to) in from.chunks_exact(sample).zip(to.chunks_exact_mut(sample)) {
        for begin in (0..inner).step_by(BLOCK) {
            let length = BLOCK.min(inner - begin);
            let row = |class: usize| class * inner + begin..class * inner + begin + length;
            let mut max = [f32::NEG_INFINITY; BLOCK];
            let mut sum = [0.0f32; BLOCK];
            for class in 0..classes {
                // `f32::max` drops a NaN; the subtraction below brings it back into the sum.
                max.iter_mut().zip(&from[row(class)]).for_each(|(max, x)| *max = max.max(*x));
            }
            for class in 0..classes {
                sum.iter_mut().zip(&max).zip(&from[row(class)]).for_each(|((sum, max), x)| *sum += (x - max).exp());
            }
            for class in 0..classes {
                for (i, (to, x)) in to[row(class)].iter_mut().zip(&from[row(class)]).enumerate() {
                    *to = (x - max[i]) - sum[i].ln();
                }
            }
        }
    }
}

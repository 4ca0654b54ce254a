//! The losses over classes: cross_entropy and nll.

use super::{Classes, IGNORED_CLASS, Loss, Mean, flatten};
use crate::error::Error;
use crate::kernels::softmax::{self, Softmax};
use crate::kernels::{Context, math};
use crate::parallel;
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// Floats of a task: an exponential takes about 0.3 ns, a task about 5 us, some five times what handing it out takes.
const CHUNK: usize = 16 * 1024;

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
        _ => {
            let op = Softmax { outer: 1, length: classes, inner };
            softmax::log_forward(&mut Context::new(), &op, output, gradient);
        }
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
        _ => {
            let isa = Isa::active();
            parallel::for_each_chunk(gradient, CHUNK, |_, floats| dispatch(isa, ScaledExp { factor: scale, floats }));
        }
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

/// `factor * exp(x)` of every x, in place.
struct ScaledExp<'a> {
    factor: f32,
    floats: &'a mut [f32],
}

impl Kernel for ScaledExp<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let factor = simd.splat(self.factor);
        for chunk in self.floats.chunks_mut(S::LANES) {
            simd.store_partial(simd.mul(factor, math::exp(simd, simd.load_partial(chunk))), chunk);
        }
    }
}

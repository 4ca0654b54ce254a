//! Losses, as PyTorch defines them with its default arguments: the mean over a batch, and its gradient.
//!
//! Each function takes an output of a network and a [`Target`], and returns the loss with the gradient of the output:
//! what a backward pass takes as its upstream gradient.
//!
//! ```
//! use castnet::ndarray::array;
//!
//! let scores = array![[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]];
//! let (loss, gradient) = castnet::loss::cross_entropy(scores.view(), &[0, 2])?;
//! assert!((loss - 0.6690).abs() < 1e-4);
//! assert!(gradient.sum().abs() < 1e-6);
//! # Ok::<(), castnet::Error>(())
//! ```

mod classes;
mod target;
mod values;

pub use castnet_descriptors::{Loss, UnknownLoss};
pub use target::{Classes, Target, TargetElement};

use ndarray::{Array, ArrayView, Dimension};

use crate::error::Error;

/// A mean, and over how many terms it was taken: what a mean over several batches is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    pub value: f32,
    pub terms: usize,
}

impl Mean {
    /// A sum over terms becomes their mean; without terms it is NaN, as in PyTorch.
    fn new(sum: f64, terms: usize) -> Self {
        Self { value: (sum / terms as f64) as f32, terms }
    }
}

/// A class number in a target that is left out of the mean and has no gradient: PyTorch's `ignore_index`.
pub const IGNORED_CLASS: i64 = -100;

/// The loss of an output `[batch, ..]` for a target, and the gradient of the output.
///
/// # Errors
///
/// [`Error::TargetKind`], [`Error::TargetShape`], [`Error::LossShape`], [`Error::Class`], [`Error::Probability`].
pub fn compute<'t, D: Dimension>(
    loss: Loss,
    output: ArrayView<'_, f32, D>,
    target: impl Into<Target<'t>>,
) -> Result<(f32, Array<f32, D>), Error> {
    let target = target.into();
    check(loss, output.shape(), &target)?;
    let output = output.as_standard_layout();
    let mut gradient = Array::zeros(output.raw_dim());
    let (Some(from), Some(to)) = (output.as_slice(), gradient.as_slice_mut()) else {
        unreachable!("both arrays are in standard layout");
    };
    let mean = write(loss, output.shape(), from, &target, to)?;
    Ok((mean.value, gradient))
}

/// Whether the target fits an output of this shape, as far as that can be told before the output is known.
pub(crate) fn check(loss: Loss, output: &[usize], target: &Target<'_>) -> Result<(), Error> {
    let bad = output.is_empty() || output.contains(&0) || (loss.wants_classes() && output.len() < 2);
    if bad {
        return Err(Error::LossShape { loss, output: output.to_vec() });
    }
    let (expected, found) = match target {
        Target::Classes(classes) if loss.wants_classes() => {
            let fits = classes.shape().first() == Some(&output[0]) && classes.shape()[1..] == output[2..];
            if fits {
                return classes::check(loss, output[1], classes);
            }
            ([&output[..1], &output[2..]].concat(), classes.shape())
        }
        Target::Values(values) if !loss.wants_classes() => {
            if values.shape() == output {
                return if loss == Loss::Bce { values::check(loss, "target", values.iter()) } else { Ok(()) };
            }
            (output.to_vec(), values.shape())
        }
        _ => return Err(Error::TargetKind { loss }),
    };
    Err(Error::TargetShape { loss, expected, found: found.to_vec(), output: output.to_vec() })
}

/// The loss of an output in standard layout, whose target was checked; writes all of its gradient.
pub(crate) fn write(
    loss: Loss,
    shape: &[usize],
    output: &[f32],
    target: &Target<'_>,
    gradient: &mut [f32],
) -> Result<Mean, Error> {
    match target {
        Target::Classes(classes) => Ok(classes::write(loss, shape, output, classes, gradient)),
        Target::Values(values) => values::write(loss, output, values, gradient),
    }
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident $loss:ident;)+) => {$(
        $(#[$doc])*
        ///
        /// Returns the loss and the gradient of the output.
        ///
        /// # Errors
        ///
        /// Where the target is of another kind or shape, or a number of it is out of range.
        pub fn $name<'t, D: Dimension>(
            output: ArrayView<'_, f32, D>,
            target: impl Into<Target<'t>>,
        ) -> Result<(f32, Array<f32, D>), Error> {
            compute(Loss::$loss, output, target)
        }
    )+};
}

functions! {
    /// `-log softmax(x)[class]`, mean over all positions: [`torch.nn.functional.cross_entropy`](
    /// https://pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html).
    ///
    /// The output holds scores before any softmax, `[n, classes]`, `[n, classes, length]` or
    /// `[n, classes, height, width]`; the target holds class numbers, `[n]`, `[n, length]` or `[n, height, width]`.
    /// Positions whose class is [`IGNORED_CLASS`] do not count; where none counts the loss is NaN, as in PyTorch.
    cross_entropy CrossEntropy;

    /// `-x[class]`, mean over all positions: [`torch.nn.functional.nll_loss`](
    /// https://pytorch.org/docs/stable/generated/torch.nn.functional.nll_loss.html).
    ///
    /// The output holds log-probabilities (the output of a `log_softmax`); shapes and target as for
    /// [`cross_entropy`].
    nll Nll;

    /// `(x - t)²`, mean over all values: [`torch.nn.functional.mse_loss`](
    /// https://pytorch.org/docs/stable/generated/torch.nn.functional.mse_loss.html).
    ///
    /// The target has the output's shape.
    mse Mse;

    /// `|x - t|`, mean over all values: [`torch.nn.functional.l1_loss`](
    /// https://pytorch.org/docs/stable/generated/torch.nn.functional.l1_loss.html).
    ///
    /// The target has the output's shape; where both are equal the gradient is 0.
    l1 L1;

    /// `(x - t)² / 2` where `|x - t| < 1`, else `|x - t| - 1/2`, mean over all values:
    /// [`torch.nn.functional.smooth_l1_loss`](
    /// https://pytorch.org/docs/stable/generated/torch.nn.functional.smooth_l1_loss.html) with its `beta` of 1.
    ///
    /// The target has the output's shape.
    smooth_l1 SmoothL1;

    /// `-(t log x + (1 - t) log(1 - x))`, mean over all values: [`torch.nn.functional.binary_cross_entropy`](
    /// https://pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy.html).
    ///
    /// The output holds probabilities (the output of a `sigmoid`) and the target has its shape; both lie within 0 and
    /// 1. As in PyTorch, a logarithm is at least -100, and the gradient divides by at least 1e-12.
    bce Bce;

    /// `-(t log σ(x) + (1 - t) log(1 - σ(x)))`, mean over all values, in a form that does not overflow:
    /// [`torch.nn.functional.binary_cross_entropy_with_logits`](
    /// https://pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy_with_logits.html).
    ///
    /// The output holds scores before any sigmoid; the target has its shape.
    bce_with_logits BceWithLogits;
}

/// The shape `[n, classes, inner]` of an output of a loss over classes.
fn flatten(shape: &[usize]) -> [usize; 3] {
    [shape[0], shape[1], shape[2..].iter().product()]
}

#[cfg(all(test, feature = "std"))]
#[allow(clippy::excessive_precision, reason = "numbers stand as PyTorch prints them")]
mod tests;

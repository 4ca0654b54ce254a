//! The losses over values: mse, l1, smooth_l1, bce and bce_with_logits.

use ndarray::ArrayViewD;

use super::{Loss, Mean};
use crate::error::Error;

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
    let sum = match loss {
        Loss::Mse => each(output, target, gradient, |x, t| ((x - t) * (x - t), 2.0 * (x - t))),
        Loss::L1 => each(output, target, gradient, |x, t| ((x - t).abs(), sign(x - t))),
        Loss::SmoothL1 => each(output, target, gradient, |x, t| {
            let difference = x - t;
            if difference.abs() < 1.0 {
                (0.5 * difference * difference, difference)
            } else {
                (difference.abs() - 0.5, sign(difference))
            }
        }),
        Loss::Bce => {
            check(loss, "output", output.iter())?;
            each(output, target, gradient, |x, t| {
                let (log, log_of_rest) = (x.ln().max(-100.0), (-x).ln_1p().max(-100.0));
                ((t - 1.0) * log_of_rest - t * log, (x - t) / ((1.0 - x) * x).max(1e-12))
            })
        }
        _ => each(output, target, gradient, |x, t| {
            // With e = exp(-|x|), which cannot overflow: softplus(-x) = max(-x, 0) + log(1 + e), and the sigmoid is
            // 1 / (1 + e) or, for a negative x, e / (1 + e).
            let e = (-x.abs()).exp();
            let sigmoid = if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) };
            ((1.0 - t) * x + ((-x).max(0.0) + e.ln_1p()), sigmoid - t)
        }),
    };
    Ok(Mean::new(sum, output.len()))
}

/// The sum of the terms, with the gradient of their mean.
fn each(
    output: &[f32],
    target: &ArrayViewD<'_, f32>,
    gradient: &mut [f32],
    term: impl Fn(f32, f32) -> (f32, f32),
) -> f64 {
    let scale = 1.0 / output.len() as f32;
    let mut sum = 0.0;
    for ((gradient, &x), &t) in gradient.iter_mut().zip(output).zip(target) {
        let (loss, slope) = term(x, t);
        sum += f64::from(loss);
        *gradient = slope * scale;
    }
    sum
}

/// -1, 0 or 1; NaN for NaN.
fn sign(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

//! What must hold for a frozen network, whatever it computes: it agrees with known outputs; its bits depend neither on the
//! number of threads, nor on what else is in a batch, nor on what its memory held before; a steady loop allocates nothing.

use castnet::info::ValueInfo;
use castnet::parallel::with_threads;
use castnet_oracle::agreement::{Report, Tolerance};

use crate::subject::{Inference, Subject};

/// Holds the frozen network against outputs that are known, `[batch, ..]` each.
pub fn check(
    subject: &dyn Subject,
    batch: usize,
    inputs: &[&[f32]],
    expected: &[Vec<f64>],
    what: &str,
    report: &mut Report,
) {
    let frozen = subject.freeze();
    if let Err(error) = compare(subject, frozen.as_ref(), batch, inputs, expected, what, report) {
        report.fail(format!("frozen, {what}: {error}"));
    }
}

fn compare(
    subject: &dyn Subject,
    frozen: &dyn Inference,
    batch: usize,
    inputs: &[&[f32]],
    expected: &[Vec<f64>],
    what: &str,
    report: &mut Report,
) -> Result<(), castnet::Error> {
    let info = subject.info();
    // Nothing that a pass does not write itself can be right after this.
    let nans: Vec<Vec<f32>> = inputs.iter().map(|input| vec![f32::NAN; 2 * input.len()]).collect();
    let nans: Vec<&[f32]> = nans.iter().map(Vec::as_slice).collect();
    frozen.forward(2 * batch, &nans)?;
    let outputs = frozen.forward(batch, inputs)?;
    for ((output, ours), theirs) in info.outputs.iter().zip(&outputs).zip(expected) {
        report.compare(&format!("{} frozen, {what}", output.name), output.shape, ours, theirs, tolerance(theirs));
    }
    for threads in 1..=3 {
        if with_threads(threads, || frozen.forward(batch, inputs))? != outputs {
            report.fail(format!("frozen, {what}: other bits with {threads} threads"));
        }
    }
    for sample in 0..batch {
        let one = |value: &ValueInfo| sample * value.len()..(sample + 1) * value.len();
        let alone: Vec<&[f32]> = info.inputs.iter().zip(inputs).map(|(value, input)| &input[one(value)]).collect();
        let Some(prediction) = frozen.predict(&alone) else { break };
        for ((value, together), alone) in info.outputs.iter().zip(&outputs).zip(&prediction) {
            if together[one(value)] != alone[..] {
                report.fail(format!("{} frozen, {what}: sample {sample} has other bits alone", value.name));
            }
        }
    }
    match frozen.steady(batch, inputs)? {
        0 => {}
        times => report.fail(format!("frozen, {what}: a steady loop allocates {times} times")),
    }
    Ok(())
}

/// Winograd's algorithms round by shares of the largest terms and not of each sum: 3e-5 of the largest output.
fn tolerance(theirs: &[f64]) -> Tolerance {
    let largest = theirs.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    Tolerance { absolute: 1e-5 + 3e-5 * largest, relative: 1e-4 }
}

//! Joining tensors along an axis.

pub use castnet_descriptors::Concat;

use super::Context;
use super::map::TASK;
use crate::parallel;

/// Checks the lengths of input `which` and of the output.
#[track_caller]
fn check(op: &Concat, which: usize, input_len: usize, output_len: usize) {
    let rows = output_len / op.row_len();
    assert_eq!(output_len, rows * op.row_len(), "the output holds whole rows of {:?}", op.lengths);
    assert_eq!(rows % op.outer, 0, "the output holds whole samples of {} rows", op.outer);
    assert_eq!(input_len, rows * op.lengths[which], "input {which} holds {rows} rows of {}", op.lengths[which]);
}

/// Writes the inputs beside each other: row by row, `inputs[0]`, then `inputs[1]`, ….
///
/// # Panics
/// If the lengths are not those of the same whole number of samples.
pub fn forward(_: &mut Context, op: &Concat, inputs: &[&[f32]], output: &mut [f32]) {
    assert_eq!(inputs.len(), op.lengths.len(), "as many inputs as lengths");
    for (which, input) in inputs.iter().enumerate() {
        check(op, which, input.len(), output.len());
    }
    let row_len = op.row_len();
    parallel::for_each_chunk(output, TASK, |i, mut output| {
        let (mut row, mut column) = (i * TASK / row_len, i * TASK % row_len);
        // Copies the part of each input's row that lies in this task.
        while !output.is_empty() {
            let mut start = 0;
            for (input, &len) in inputs.iter().zip(op.lengths) {
                if column < start + len && !output.is_empty() {
                    let from = &input[row * len + column - start..(row + 1) * len];
                    let (now, later) = output.split_at_mut(from.len().min(output.len()));
                    now.copy_from_slice(&from[..now.len()]);
                    column += now.len();
                    output = later;
                }
                start += len;
            }
            (row, column) = (row + 1, 0);
        }
    });
}

/// The gradient of input `which`: its part of the output's.
///
/// # Panics
/// If the lengths are not those of the same whole number of samples, or there is no input `which`.
pub fn backward(_: &mut Context, op: &Concat, which: usize, grad_output: &[f32], grad_input: &mut [f32]) {
    check(op, which, grad_input.len(), grad_output.len());
    let (row_len, len) = (op.row_len(), op.lengths[which]);
    let before: usize = op.lengths[..which].iter().sum();
    parallel::for_each_chunk(grad_input, TASK, |i, mut gradient| {
        let (mut row, mut column) = (i * TASK / len, i * TASK % len);
        while !gradient.is_empty() {
            let (now, later) = gradient.split_at_mut((len - column).min(gradient.len()));
            now.copy_from_slice(&grad_output[row * row_len + before + column..][..now.len()]);
            gradient = later;
            (row, column) = (row + 1, 0);
        }
    });
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{Tolerance, check, data};
    use crate::reference::concat as reference;

    #[test]
    fn agrees_with_the_reference() {
        const LENGTHS: [&[usize]; 6] = [&[1, 1], &[3, 4], &[10, 1, 7], &[64, 100, 3, 900], &[20_000, 5], &[7]];
        for lengths in LENGTHS {
            for outer in [1, 5] {
                for batch in [1, 3] {
                    let op = Concat { outer, lengths };
                    let inputs: Vec<Vec<f32>> =
                        lengths.iter().enumerate().map(|(k, len)| data(k as u64, batch * outer * len)).collect();
                    let inputs: Vec<&[f32]> = inputs.iter().map(|input| &input[..]).collect();
                    let mut output = vec![f32::NAN; batch * outer * op.row_len()];
                    reference::forward(&op, &inputs, &mut output);
                    let name = format!("{op:?}, batch {batch}");
                    check(&name, Tolerance::EXACT, [output.clone()], |context, [output]| {
                        forward(context, &op, &inputs, output);
                    });
                    for (which, input) in inputs.iter().enumerate() {
                        let mut gradient = vec![f32::NAN; input.len()];
                        reference::backward(&op, which, &output, &mut gradient);
                        assert_eq!(&gradient, input, "the inverse");
                        check(&name, Tolerance::EXACT, [gradient], |context, [gradient]| {
                            backward(context, &op, which, &output, gradient);
                        });
                    }
                }
            }
        }
    }
}

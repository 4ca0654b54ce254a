//! Joining tensors along an axis.

use crate::kernels::concat::Concat;

/// The places of the output that each element of input `which`, in turn, goes to.
fn places(op: &Concat, which: usize, input_len: usize) -> impl Iterator<Item = usize> {
    let (row, len) = (op.lengths.iter().sum::<usize>(), op.lengths[which]);
    let before: usize = op.lengths[..which].iter().sum();
    (0..input_len).map(move |i| i / len * row + before + i % len)
}

/// Row by row, `inputs[0]`, then `inputs[1]`, ….
pub fn forward(op: &Concat, inputs: &[&[f32]], output: &mut [f32]) {
    for (which, input) in inputs.iter().enumerate() {
        for (place, x) in places(op, which, input.len()).zip(*input) {
            output[place] = *x;
        }
    }
}

/// The gradient of input `which`: its part of the output's.
pub fn backward(op: &Concat, which: usize, grad_output: &[f32], grad_input: &mut [f32]) {
    let len = grad_input.len();
    for (place, gradient) in places(op, which, len).zip(grad_input) {
        *gradient = grad_output[place];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_lie_beside_each_other() {
        let op = Concat { outer: 2, lengths: &[1, 2] };
        let mut output = [f32::NAN; 6];
        forward(&op, &[&[1.0, 4.0], &[2.0, 3.0, 5.0, 6.0]], &mut output);
        assert_eq!(output, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut gradient = [f32::NAN; 4];
        backward(&op, 1, &output, &mut gradient);
        assert_eq!(gradient, [2.0, 3.0, 5.0, 6.0]);
    }
}

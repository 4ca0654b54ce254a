//! Max unpooling: the values go back to where a max pooling layer found them.

use crate::kernels::max_unpool2d::MaxUnpool2d;

/// Writes each value at its index within its output plane, and zero everywhere else; the last value wins.
pub fn forward(op: &MaxUnpool2d, input: &[f32], indices: &[f32], output: &mut [f32]) {
    let (plane, out_plane) = (op.input[1] * op.input[2], op.output[1] * op.output[2]);
    assert_eq!(indices.len(), input.len(), "one index for every value");
    output.fill(0.0);
    for (i, (value, index)) in input.iter().zip(indices).enumerate() {
        if index.to_bits() != u32::MAX {
            output[i / plane * out_plane + index.to_bits() as usize] = *value;
        }
    }
}

/// Each value's gradient is the one at its index.
pub fn backward(op: &MaxUnpool2d, indices: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    let (plane, out_plane) = (op.input[1] * op.input[2], op.output[1] * op.output[2]);
    assert_eq!(indices.len(), grad_input.len(), "one index for every value");
    for (i, (gradient, index)) in grad_input.iter_mut().zip(indices).enumerate() {
        *gradient = match index.to_bits() {
            u32::MAX => 0.0,
            index => grad_output[i / plane * out_plane + index as usize],
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_return_to_their_places() {
        let op = MaxUnpool2d { input: [2, 1, 2], output: [2, 2, 3] };
        let indices = [5, 0, 2, u32::MAX].map(f32::from_bits);
        let mut output = [f32::NAN; 12];
        forward(&op, &[1.0, 2.0, 3.0, 4.0], &indices, &mut output);
        assert_eq!(output, [2.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0]);
        let upstream: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let mut gradient = [f32::NAN; 4];
        backward(&op, &indices, &upstream, &mut gradient);
        assert_eq!(gradient, [5.0, 0.0, 8.0, 0.0]);
    }

    #[test]
    fn the_last_of_two_values_at_one_place_wins() {
        let op = MaxUnpool2d { input: [1, 1, 2], output: [1, 1, 2] };
        let mut output = [f32::NAN; 2];
        forward(&op, &[1.0, 2.0], &[f32::from_bits(1); 2], &mut output);
        assert_eq!(output, [0.0, 2.0]);
    }
}

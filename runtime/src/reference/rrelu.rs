//! The rectifier with a random slope below zero.

use crate::kernels::Random;
use crate::kernels::rrelu::Rrelu;

/// In evaluation: `output = input` where positive, else the mean slope times it.
pub fn forward(op: &Rrelu, input: &[f32], output: &mut [f32]) {
    for (y, &x) in output.iter_mut().zip(input) {
        *y = if x > 0.0 { x } else { (op.lower + op.upper) / 2.0 * x };
    }
}

/// In training: `output = slopes * input` with a random slope for every element that is not positive.
pub fn forward_train(random: Random, op: &Rrelu, layer: u64, input: &[f32], output: &mut [f32], slopes: &mut [f32]) {
    let key = random.stream(layer);
    for (i, &x) in input.iter().enumerate() {
        let drawn = op.lower + (op.upper - op.lower) * Random::uniform(key, i as u64);
        slopes[i] = if x <= 0.0 { drawn } else { 1.0 };
        output[i] = slopes[i] * x;
    }
}

/// `grad_input = slopes * grad_output`.
pub fn backward(slopes: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    for (i, gradient) in grad_input.iter_mut().enumerate() {
        *gradient = slopes[i] * grad_output[i];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_fill_their_range() {
        let op = Rrelu { lower: 0.25, upper: 0.5 };
        let input = [-1.0; 1000];
        let (mut output, mut slopes) = ([f32::NAN; 1000], [f32::NAN; 1000]);
        forward_train(Random::new(1), &op, 0, &input, &mut output, &mut slopes);
        assert!(slopes.iter().zip(output).all(|(&slope, y)| (0.25..0.5).contains(&slope) && y == -slope));
        let mean = slopes.iter().sum::<f32>() / 1000.0;
        // The mean of 1000 has a standard deviation of 0.25 / sqrt(12 * 1000) = 0.0023.
        assert!((mean - 0.375).abs() < 0.01, "{mean}");
        forward_train(Random::new(1), &op, 0, &[2.0, f32::INFINITY], &mut output[..2], &mut slopes[..2]);
        assert_eq!((&slopes[..2], &output[..2]), (&[1.0, 1.0][..], &[2.0, f32::INFINITY][..]));
        forward(&op, &[-2.0, 2.0], &mut output[..2]);
        assert_eq!(output[..2], [-0.75, 2.0]);
    }
}

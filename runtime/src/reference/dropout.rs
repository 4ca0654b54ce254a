//! Dropping elements, or whole channels, at random.

use crate::kernels::Random;

/// 0 with probability `p`, else `1 / (1 - p)`: element `i` of the stream `key`.
fn draw(key: u64, i: usize, p: f32) -> f32 {
    if Random::uniform(key, i as u64) < p { 0.0 } else { 1.0 / (1.0 - p) }
}

/// `output = input * mask` with a mask drawn for every element.
pub fn forward(random: Random, p: f32, layer: u64, input: &[f32], output: &mut [f32], mask: &mut [f32]) {
    forward2d(random, p, layer, 1, input, output, mask);
}

/// `output = input * mask` with a mask drawn for every run of `inner` elements.
pub fn forward2d(
    random: Random,
    p: f32,
    layer: u64,
    inner: usize,
    input: &[f32],
    output: &mut [f32],
    mask: &mut [f32],
) {
    let key = random.stream(layer);
    for (i, mask) in mask.iter_mut().enumerate() {
        *mask = draw(key, i, p);
    }
    backward2d(inner, mask, input, output);
}

/// `grad_input = grad_output * mask`.
pub fn backward(mask: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    backward2d(1, mask, grad_output, grad_input);
}

/// `grad_input = grad_output * mask` with one element of the mask for every run of `inner` elements.
pub fn backward2d(inner: usize, mask: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    for (i, gradient) in grad_input.iter_mut().enumerate() {
        *gradient = grad_output[i] * mask[i / inner];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_share_and_the_mean() {
        const N: usize = 10_000;
        let input = vec![1.0; N];
        for p in [0.0, 0.2, 0.5, 0.9] {
            let (mut output, mut mask) = (vec![f32::NAN; N], vec![f32::NAN; N]);
            forward(Random::new(3), p, 1, &input, &mut output, &mut mask);
            assert_eq!(output, mask);
            let dropped = mask.iter().filter(|&&m| m == 0.0).count() as f32 / N as f32;
            // The share of 10,000 has a standard deviation of 0.005 at most.
            assert!((dropped - p).abs() <= 0.02, "{p}: {dropped}");
            assert!(mask.iter().all(|&m| m == 0.0 || m == 1.0 / (1.0 - p)));
        }
        let (mut output, mut mask) = ([f32::NAN; 4], [f32::NAN; 4]);
        forward(Random::new(3), 1.0, 1, &[1.0; 4], &mut output, &mut mask);
        assert_eq!((output, mask), ([0.0; 4], [0.0; 4]));
    }
}

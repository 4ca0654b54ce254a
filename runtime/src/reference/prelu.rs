//! The rectifier with a learned slope below zero.

use crate::kernels::prelu::Prelu;

fn channel(op: &Prelu, i: usize) -> usize {
    i / op.inner % op.channels
}

/// `output = input` where positive, else `weight[channel] * input`.
pub fn forward(op: &Prelu, input: &[f32], weight: &[f32], output: &mut [f32]) {
    for (i, &x) in input.iter().enumerate() {
        output[i] = if x > 0.0 { x } else { weight[channel(op, i)] * x };
    }
}

/// `grad_input = grad_output` where the input is positive, else `weight[channel] * grad_output`.
pub fn backward_input(op: &Prelu, input: &[f32], weight: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    for (i, &x) in input.iter().enumerate() {
        grad_input[i] = if x > 0.0 { grad_output[i] } else { weight[channel(op, i)] * grad_output[i] };
    }
}

/// `grad_weight[channel] = sum(grad_output * input)` over what is not positive.
pub fn backward_weight(op: &Prelu, input: &[f32], grad_output: &[f32], grad_weight: &mut [f32]) {
    let mut sums = vec![0.0; op.channels];
    for (i, &x) in input.iter().enumerate().filter(|&(_, &x)| x <= 0.0) {
        sums[channel(op, i)] += f64::from(x) * f64::from(grad_output[i]);
    }
    for (gradient, sum) in grad_weight.iter_mut().zip(sums) {
        *gradient = sum as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::finite_difference::{assert_gradient, distinct_values, values};

    #[test]
    fn gradients_by_differences() {
        for op in [Prelu { channels: 1, inner: 12 }, Prelu { channels: 3, inner: 4 }] {
            // Multiples of a quarter, moved so that no step crosses zero.
            let input: Vec<f32> = distinct_values(1, 24).iter().map(|x| x + 0.125).collect();
            let (upstream, weight) = (values(2, 24), values(3, op.channels));
            let run = |x: &[f32], weight: &[f32]| {
                let mut output = vec![f32::NAN; 24];
                forward(&op, x, weight, &mut output);
                output
            };
            let (mut gradient, mut of_weight) = (vec![f32::NAN; 24], vec![f32::NAN; op.channels]);
            backward_input(&op, &input, &weight, &upstream, &mut gradient);
            assert_gradient(|x| run(x, &weight), &input, &upstream, &gradient);
            backward_weight(&op, &input, &upstream, &mut of_weight);
            assert_gradient(|w| run(&input, w), &weight, &upstream, &of_weight);
        }
    }
}

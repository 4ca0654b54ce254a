//! Plain loops with the kernels' names and arguments, until the kernels themselves are there.

use castnet::__private::Context;

pub mod linear {
    use super::Context;

    pub struct Linear {
        pub in_features: usize,
        pub out_features: usize,
        pub rows: usize,
    }

    pub fn forward(
        _: &mut Context,
        op: &Linear,
        input: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        output: &mut [f32],
    ) {
        let Linear { in_features, out_features, rows } = *op;
        assert_eq!(rows, 1);
        for (input, output) in input.chunks(in_features).zip(output.chunks_mut(out_features)) {
            for (o, output) in output.iter_mut().enumerate() {
                let weight = &weight[o * in_features..][..in_features];
                *output = bias.map_or(0.0, |bias| bias[o]) + weight.iter().zip(input).map(|(w, x)| w * x).sum::<f32>();
            }
        }
    }

    pub fn backward_input(_: &mut Context, op: &Linear, weight: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
        let Linear { in_features, out_features, rows } = *op;
        assert_eq!(rows, 1);
        for (grad_input, grad_output) in grad_input.chunks_mut(in_features).zip(grad_output.chunks(out_features)) {
            for (i, gradient) in grad_input.iter_mut().enumerate() {
                *gradient = grad_output.iter().enumerate().map(|(o, g)| g * weight[o * in_features + i]).sum();
            }
        }
    }

    pub fn backward_weight(_: &mut Context, op: &Linear, input: &[f32], grad_output: &[f32], grad_weight: &mut [f32]) {
        let Linear { in_features, out_features, rows } = *op;
        assert_eq!(rows, 1);
        grad_weight.fill(0.0);
        for (input, grad_output) in input.chunks(in_features).zip(grad_output.chunks(out_features)) {
            for (o, g) in grad_output.iter().enumerate() {
                for (i, x) in input.iter().enumerate() {
                    grad_weight[o * in_features + i] += g * x;
                }
            }
        }
    }

    pub fn backward_bias(_: &mut Context, op: &Linear, grad_output: &[f32], grad_bias: &mut [f32]) {
        grad_bias.fill(0.0);
        for grad_output in grad_output.chunks(op.out_features) {
            grad_bias.iter_mut().zip(grad_output).for_each(|(sum, g)| *sum += g);
        }
    }
}

pub mod activation {
    use super::Context;

    #[derive(Clone, Copy)]
    pub enum Activation {
        Tanh,
    }

    pub fn forward(_: &mut Context, _: Activation, input: &[f32], output: &mut [f32]) {
        output.iter_mut().zip(input).for_each(|(y, x)| *y = x.tanh());
    }

    pub fn backward(_: &mut Context, _: Activation, saved: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
        for ((gradient, y), g) in grad_input.iter_mut().zip(saved).zip(grad_output) {
            *gradient = g * (1.0 - y * y);
        }
    }
}

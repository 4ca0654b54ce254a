//! Three inputs and outputs of all ranks, a parameter, buffers that training updates over the whole batch, an output that
//! is an input, and no loss in the spec: what a small chain does not show.

use castnet::__private::{
    Arena, ArenaSize, BufferInfo, Context, Init, Network, NetworkInfo, ParameterInfo, Passes, State, ValueInfo, fixed,
    per_sample,
};
use castnet::Loss;
use castnet::ndarray::{Array2, Array3, Array4, ArrayView2, ArrayView3, ArrayView4};

/// `centred` = (a - its mean over the batch) * scale, `doubled` = 2 b, `same` = c, and in evaluation the mean is the
/// running one.
#[derive(Clone, Debug)]
pub struct Parts(State);

static INFO: NetworkInfo = NetworkInfo {
    name: "Parts",
    inputs: &[
        ValueInfo {
            name: "a",
            shape: &[3],
            evaluation: per_sample(0, 3),
            training: per_sample(0, 3),
            gradient: per_sample(16, 19),
            frozen: per_sample(16, 19),
        },
        ValueInfo {
            name: "b",
            shape: &[2, 5],
            evaluation: per_sample(16, 26),
            training: per_sample(32, 42),
            gradient: per_sample(48, 58),
            frozen: per_sample(48, 58),
        },
        ValueInfo {
            name: "c",
            shape: &[2, 1, 4],
            evaluation: per_sample(32, 40),
            training: per_sample(64, 72),
            gradient: per_sample(80, 88),
            frozen: per_sample(80, 88),
        },
    ],
    outputs: &[
        ValueInfo {
            name: "centred",
            shape: &[3],
            evaluation: per_sample(48, 51),
            training: per_sample(96, 99),
            gradient: per_sample(112, 115),
            frozen: per_sample(112, 115),
        },
        ValueInfo {
            name: "doubled",
            shape: &[2, 5],
            evaluation: per_sample(64, 74),
            training: per_sample(128, 138),
            gradient: per_sample(144, 154),
            frozen: per_sample(144, 154),
        },
        ValueInfo {
            name: "same",
            shape: &[2, 1, 4],
            evaluation: per_sample(32, 40),
            training: per_sample(64, 72),
            gradient: per_sample(80, 88),
            frozen: per_sample(80, 88),
        },
    ],
    parameters: &[ParameterInfo { name: "norm.scale", shape: &[3], offset: 0, init: Init::Constant(1.0) }],
    buffers: &[
        BufferInfo { name: "norm.running_mean", shape: &[3], offset: 0, fill: 0.0 },
        BufferInfo { name: "norm.running_var", shape: &[3], offset: 3, fill: 1.0 },
    ],
    parameter_count: 3,
    buffer_count: 6,
    macs: 3,
    evaluation: ArenaSize { fixed: 0, per_sample: 80 },
    training: ArenaSize { fixed: 16, per_sample: 160 },
    loss: None,
    minimum_training_batch: 2,
    minimum_evaluation_batch: 1,
};

impl Network for Parts {
    const INFO: &'static NetworkInfo = &INFO;
    const PASSES: Passes =
        Passes { evaluation: Self::evaluation_pass, training: Self::training_pass, backward: Self::backward_pass };

    type Inputs<'a> = (ArrayView2<'a, f32>, ArrayView3<'a, f32>, ArrayView4<'a, f32>);
    type OutputViews<'a> = (ArrayView2<'a, f32>, ArrayView3<'a, f32>, ArrayView4<'a, f32>);
    type Outputs = (Array2<f32>, Array3<f32>, Array4<f32>);
    type Sample<'a> = (&'a [f32; 3], &'a [[f32; 5]; 2], &'a [[[f32; 4]; 1]; 2]);
    type Prediction = ([f32; 3], [[f32; 5]; 2], Box<[[[f32; 4]; 1]; 2]>);

    fn state(&self) -> &State {
        &self.0
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.0
    }

    fn from_state(state: State) -> Self {
        Self(state)
    }
}

impl Parts {
    fn evaluation_pass(_: &mut Context, parameters: &[f32], buffers: &[f32], arena: &mut Arena) {
        let [a, centred] = arena.get([per_sample(0, 3), per_sample(48, 51)]);
        centre(a, parameters, &buffers[0..3], centred);
        let [b, doubled] = arena.get([per_sample(16, 26), per_sample(64, 74)]);
        doubled.iter_mut().zip(b).for_each(|(doubled, b)| *doubled = 2.0 * *b);
    }

    fn training_pass(_: &mut Context, parameters: &[f32], buffers: &mut [f32], arena: &mut Arena) {
        let batch = arena.batch() as f32;
        let [a, centred, mean] = arena.get([per_sample(0, 3), per_sample(96, 99), fixed(0, 3)]);
        for (i, mean) in mean.iter_mut().enumerate() {
            *mean = a.iter().skip(i).step_by(3).sum::<f32>() / batch;
            buffers[i] = 0.9 * buffers[i] + 0.1 * *mean;
        }
        centre(a, parameters, mean, centred);
        let [b, doubled] = arena.get([per_sample(32, 42), per_sample(128, 138)]);
        doubled.iter_mut().zip(b).for_each(|(doubled, b)| *doubled = 2.0 * *b);
    }

    fn backward_pass(_: &mut Context, parameters: &[f32], gradients: &mut [f32], arena: &mut Arena, inputs: bool) {
        let batch = arena.batch() as f32;
        let [a, mean, grad_output, grad_input] =
            arena.get([per_sample(0, 3), fixed(0, 3), per_sample(112, 115), per_sample(16, 19)]);
        for i in 0..3 {
            let (a, g) = (a.iter().skip(i).step_by(3), grad_output.iter().skip(i).step_by(3));
            gradients[i] = a.zip(g.clone()).map(|(a, g)| (a - mean[i]) * g).sum();
            let mean_gradient = g.clone().sum::<f32>() / batch;
            for (to, g) in grad_input.iter_mut().skip(i).step_by(3).zip(g) {
                *to = parameters[i] * (g - mean_gradient);
            }
        }
        if inputs {
            let [grad_output, grad_input] = arena.get([per_sample(144, 154), per_sample(48, 58)]);
            grad_input.iter_mut().zip(grad_output).for_each(|(to, g)| *to = 2.0 * *g);
        }
    }
}

fn centre(a: &[f32], scale: &[f32], mean: &[f32], centred: &mut [f32]) {
    for (i, (centred, a)) in centred.iter_mut().zip(a).enumerate() {
        *centred = (a - mean[i % 3]) * scale[i % 3];
    }
}

/// The loss that the tests train it with.
pub const LOSS: Loss = Loss::Mse;

//! A network whose one input and output are 16 MiB: nothing of it may lie on the stack.

use castnet::__private::{Arena, ArenaSize, Context, Network, NetworkInfo, Passes, State, ValueInfo, per_sample};
use castnet::ndarray::{Array4, ArrayView4};

/// The output is the input, doubled.
#[derive(Clone, Debug)]
pub struct Large(State);

/// One sample.
pub type Image = [[[f32; 1024]; 1024]; 4];

const FLOATS: usize = 4 * 1024 * 1024;

const fn value(name: &'static str, begin: usize) -> ValueInfo {
    let span = per_sample(begin, begin + FLOATS);
    ValueInfo { name, shape: &[4, 1024, 1024], evaluation: span, training: span, gradient: span, frozen: span }
}

static INFO: NetworkInfo = NetworkInfo {
    name: "Large",
    inputs: &[value("input", 0)],
    outputs: &[value("doubled", FLOATS)],
    parameters: &[],
    buffers: &[],
    parameter_count: 0,
    buffer_count: 0,
    macs: 0,
    evaluation: ArenaSize { fixed: 0, per_sample: 2 * FLOATS },
    training: ArenaSize { fixed: 0, per_sample: 2 * FLOATS },
    loss: None,
    minimum_training_batch: 1,
    minimum_evaluation_batch: 1,
};

impl Network for Large {
    const INFO: &'static NetworkInfo = &INFO;
    const PASSES: Passes =
        Passes { evaluation: Self::evaluation_pass, training: Self::training_pass, backward: Self::backward_pass };

    type Inputs<'a> = ArrayView4<'a, f32>;
    type OutputViews<'a> = ArrayView4<'a, f32>;
    type Outputs = Array4<f32>;
    type Sample<'a> = &'a Image;
    type Prediction = Box<Image>;

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

impl Large {
    fn evaluation_pass(_: &mut Context, _: &[f32], _: &[f32], arena: &mut Arena) {
        let [input, output] = arena.get([per_sample(0, FLOATS), per_sample(FLOATS, 2 * FLOATS)]);
        output.iter_mut().zip(input).for_each(|(y, x)| *y = 2.0 * *x);
    }

    fn training_pass(context: &mut Context, parameters: &[f32], buffers: &mut [f32], arena: &mut Arena) {
        Self::evaluation_pass(context, parameters, buffers, arena);
    }

    fn backward_pass(_: &mut Context, _: &[f32], _: &mut [f32], _: &mut Arena, _: bool) {}
}

//! Gradients by finite differences of the network in 64-bit floats.

use crate::exact::{self, Numbers, Pass};
use crate::spec::Spec;

/// A point at which a network is differentiated, and the gradients of its outputs.
#[derive(Clone, Debug)]
pub struct Point<'a> {
    /// The network.
    pub spec: &'a Spec,
    /// Parameters.
    pub weights: Numbers,
    /// Running statistics.
    pub buffers: Numbers,
    /// Inputs of a batch.
    pub inputs: Numbers,
    /// Gradients of the outputs.
    pub upstream: Numbers,
    /// Samples.
    pub batch: usize,
}

/// What a number belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of<'a> {
    /// A parameter, by name.
    Parameter(&'a str),
    /// An input, by name.
    Input(&'a str),
}

/// The step. The error of a central difference is of the order of step² (1e-10) times a third derivative, plus what 64 bits
/// leave of the sum, 1e-16 over the step (1e-11): both far below what 32 bits can tell.
const STEP: f64 = 1e-5;

impl Point<'_> {
    /// The sum of all outputs in training, each weighted with its upstream gradient: what the backward pass differentiates.
    fn objective(&self, pass: &Pass) -> f64 {
        let product =
            |name: &String| -> f64 { pass.values[name].iter().zip(&self.upstream[name]).map(|(y, g)| y * g).sum() };
        self.spec.outputs.iter().map(product).sum()
    }

    /// The derivatives of the objective by some numbers of a parameter or an input. `None` at a kink: where the slopes on
    /// both sides differ.
    pub fn derivatives(&mut self, of: Of<'_>, places: &[usize]) -> Vec<Option<f64>> {
        let mut pass = exact::run(self.spec, &self.weights, &self.buffers, &self.inputs, self.batch, true);
        let here = self.objective(&pass);
        let derivative = |&at: &usize| {
            let before = *self.number(&mut pass, of, at);
            let [up, down] = [STEP, -STEP].map(|step| {
                *self.number(&mut pass, of, at) = before + step;
                let (Of::Parameter(name) | Of::Input(name)) = of;
                exact::run_again(self.spec, &self.weights, &mut pass, name, self.batch, true);
                self.objective(&pass)
            });
            *self.number(&mut pass, of, at) = before;
            let (right, left) = ((up - here) / STEP, (here - down) / STEP);
            // On a smooth stretch the two differ by the step times a second derivative.
            let smooth = (right - left).abs() <= 1e-3 * (right.abs() + left.abs()) + 1e-6;
            smooth.then_some((up - down) / (2.0 * STEP))
        };
        places.iter().map(derivative).collect()
    }

    fn number<'a>(&'a mut self, pass: &'a mut Pass, of: Of<'_>, at: usize) -> &'a mut f64 {
        let values = match of {
            Of::Parameter(name) => self.weights.get_mut(name),
            Of::Input(name) => pass.values.get_mut(name),
        };
        &mut values.expect("a parameter or an input")[at]
    }
}

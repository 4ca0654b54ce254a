//! Any network behind one object: the runners of tests are compiled once and not once per network.

use castnet::info::ValueInfo;
use castnet::ndarray::ArrayViewD;
use castnet::optim::Sgd;
use castnet::{Freeze, Frozen, Loss, Network, NetworkInfo, Tape, Target, Trainer, parallel};

use crate::allocations;
use crate::flat::{FromFlat, ToFlat};

/// A network under test.
pub trait Subject {
    /// What is known about it.
    fn info(&self) -> &'static NetworkInfo;

    /// Loads parameters and buffers from the bytes of a safetensors file.
    fn load(&mut self, bytes: &[u8]) -> Result<(), castnet::Error>;

    /// All parameters, flat.
    fn parameters(&mut self) -> &mut [f32];

    /// All buffers, flat.
    fn buffers(&mut self) -> &mut [f32];

    /// The outputs for a batch in evaluation.
    fn forward(&self, batch: usize, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>, castnet::Error>;

    /// Forward in training, and backward from these gradients of the outputs, on a tape whose random layers draw from the
    /// seed. `poisoned`: a batch of NaN has gone through the tape before, twice as large, so that nothing that this pass does
    /// not write itself can be right.
    fn train(
        &mut self,
        seed: u64,
        batch: usize,
        inputs: &[&[f32]],
        upstream: &[&[f32]],
        poisoned: bool,
    ) -> Result<Trained, castnet::Error>;

    /// A trainer with stochastic gradient descent and the network's loss, for a network that names one. Takes the
    /// parameters, which come back changed.
    fn steps(
        &mut self,
        optimizer: Sgd,
        batch: usize,
        inputs: &[&[f32]],
        target: Target<'_>,
        steps: usize,
    ) -> Result<Vec<f32>, castnet::Error>;

    /// The outputs for one sample through `predict`; `None` where one sample alone means nothing.
    fn predict(&self, inputs: &[&[f32]]) -> Option<Vec<Vec<f32>>>;

    /// The network as an inference program.
    fn freeze(&self) -> Box<dyn Inference>;

    /// How often this thread allocates in a loop of training steps and evaluation that has run before.
    fn steady(&mut self, batch: usize, inputs: &[&[f32]], target: &[f32]) -> Result<usize, castnet::Error>;
}

/// A frozen network under test.
pub trait Inference {
    /// The outputs for a batch.
    fn forward(&self, batch: usize, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>, castnet::Error>;

    /// The outputs for one sample through `predict`; `None` where one sample alone means nothing.
    fn predict(&self, inputs: &[&[f32]]) -> Option<Vec<Vec<f32>>>;

    /// How often this thread allocates in a loop of forward passes that has run before.
    fn steady(&self, batch: usize, inputs: &[&[f32]]) -> Result<usize, castnet::Error>;
}

/// What a training pass and its backward pass leave.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The outputs.
    pub outputs: Vec<Vec<f32>>,
    /// The gradients of the inputs.
    pub input_gradients: Vec<Vec<f32>>,
    /// The gradients of the parameters, flat.
    pub gradients: Vec<f32>,
}

/// `predict` on flat slices.
pub type Predict<N> = fn(&N, &[&[f32]]) -> Vec<Vec<f32>>;

/// A network of a type that the macro wrote.
pub struct Held<N> {
    network: Option<N>,
    predict: Option<Predict<N>>,
    predict_frozen: Option<Predict<Frozen<N>>>,
}

/// A frozen network of such a type.
struct HeldFrozen<N> {
    network: Frozen<N>,
    predict: Option<Predict<Frozen<N>>>,
}

impl<N: Freeze> Held<N> {
    /// A network for which one sample alone means nothing: a batch norm without running statistics takes them over the
    /// batch.
    pub fn without_predict() -> Self {
        Self { network: Some(N::new(0)), predict: None, predict_frozen: None }
    }

    /// A network.
    pub fn new() -> Self
    where
        N::Sample<'static>: FromFlat<'static>,
        N::Prediction: ToFlat,
    {
        fn sample<N: Network>(inputs: &[&[f32]]) -> N::Sample<'static>
        where
            N::Sample<'static>: FromFlat<'static>,
        {
            let inputs: Vec<&'static [f32]> = inputs.iter().map(|input| &*input.to_vec().leak()).collect();
            N::Sample::from_flat(1, N::INFO.inputs, &inputs)
        }
        let predict: Predict<N> = |network, inputs| network.predict(sample::<N>(inputs)).to_flat();
        let frozen: Predict<Frozen<N>> = |network, inputs| network.predict(sample::<N>(inputs)).to_flat();
        Self { network: Some(N::new(0)), predict: Some(predict), predict_frozen: Some(frozen) }
    }

    fn network(&self) -> &N {
        self.network.as_ref().expect("only `steps` takes it, and gives it back")
    }

    fn network_mut(&mut self) -> &mut N {
        self.network.as_mut().expect("only `steps` takes it, and gives it back")
    }
}

impl<N: Freeze> Default for Held<N>
where
    N::Sample<'static>: FromFlat<'static>,
    N::Prediction: ToFlat,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Freeze> Subject for Held<N>
where
    for<'a> N::Inputs<'a>: FromFlat<'a> + ToFlat,
    for<'a> N::OutputViews<'a>: FromFlat<'a> + ToFlat,
    N::Outputs: ToFlat,
{
    fn info(&self) -> &'static NetworkInfo {
        N::INFO
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), castnet::Error> {
        self.network_mut().load_bytes(bytes)
    }

    fn parameters(&mut self) -> &mut [f32] {
        self.network_mut().parameters_mut()
    }

    fn buffers(&mut self) -> &mut [f32] {
        self.network_mut().buffers_mut()
    }

    fn forward(&self, batch: usize, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>, castnet::Error> {
        let inputs = N::Inputs::from_flat(batch, N::INFO.inputs, inputs);
        Ok(self.network().forward(inputs)?.to_flat())
    }

    fn train(
        &mut self,
        seed: u64,
        batch: usize,
        inputs: &[&[f32]],
        upstream: &[&[f32]],
        poisoned: bool,
    ) -> Result<Trained, castnet::Error> {
        let mut tape = Tape::with_seed(seed);
        let network = self.network_mut();
        if poisoned {
            let (random, buffers) = (tape.random(), network.buffers().to_vec());
            let nans = |values: &'static [ValueInfo]| -> Vec<Vec<f32>> {
                values.iter().map(|value| vec![f32::NAN; 2 * batch * value.len()]).collect()
            };
            let (inputs, upstream) = (nans(N::INFO.inputs), nans(N::INFO.outputs));
            let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
            let upstream: Vec<&[f32]> = upstream.iter().map(Vec::as_slice).collect();
            network.forward_train(&mut tape, N::Inputs::from_flat(2 * batch, N::INFO.inputs, &inputs))?;
            network.backward(&mut tape, N::OutputViews::from_flat(2 * batch, N::INFO.outputs, &upstream))?;
            network.buffers_mut().copy_from_slice(&buffers);
            tape.set_random(random);
        }
        network.forward_train(&mut tape, N::Inputs::from_flat(batch, N::INFO.inputs, inputs))?;
        let outputs = tape.outputs().to_flat();
        network.backward(&mut tape, N::OutputViews::from_flat(batch, N::INFO.outputs, upstream))?;
        let input_gradients = tape.input_gradients().to_flat();
        Ok(Trained { outputs, input_gradients, gradients: tape.gradients().to_vec() })
    }

    fn steps(
        &mut self,
        optimizer: Sgd,
        batch: usize,
        inputs: &[&[f32]],
        target: Target<'_>,
        steps: usize,
    ) -> Result<Vec<f32>, castnet::Error> {
        let network = self.network.take().expect("only `steps` takes it, and gives it back");
        let loss = N::INFO.loss.expect("the caller has seen a loss");
        let mut trainer = Trainer::with_loss(network, optimizer, loss);
        let losses = (0..steps)
            .map(|_| trainer.step(N::Inputs::from_flat(batch, N::INFO.inputs, inputs), target.clone()))
            .collect();
        self.network = Some(trainer.into_network());
        losses
    }

    fn predict(&self, inputs: &[&[f32]]) -> Option<Vec<Vec<f32>>> {
        let predict = self.predict?;
        Some(predict(self.network(), inputs))
    }

    fn freeze(&self) -> Box<dyn Inference> {
        Box::new(HeldFrozen { network: Frozen::new(self.network()), predict: self.predict_frozen })
    }

    fn steady(&mut self, batch: usize, inputs: &[&[f32]], target: &[f32]) -> Result<usize, castnet::Error> {
        let network = self.network.take().expect("it is given back");
        // A rate of 0 leaves the parameters as they are.
        let mut trainer = Trainer::with_loss(network, Sgd::new(0.0).momentum(0.9), Loss::Mse);
        let shape: Vec<usize> = [batch].iter().chain(N::INFO.outputs[0].shape).copied().collect();
        let target = ArrayViewD::from_shape(shape, target).expect("a value for each output");
        let inputs = || N::Inputs::from_flat(batch, N::INFO.inputs, inputs);
        let mut outputs = trainer.network().forward(inputs())?;
        let mut once = || -> Result<(), castnet::Error> {
            trainer.step(inputs(), target.view())?;
            trainer.network().forward_into(inputs(), &mut outputs)
        };
        let allocations = parallel::with_threads(1, || {
            once()?;
            let before = allocations::here();
            once()?;
            once()?;
            Ok(allocations::here() - before)
        });
        self.network = Some(trainer.into_network());
        allocations
    }
}

impl<N: Freeze> Inference for HeldFrozen<N>
where
    for<'a> N::Inputs<'a>: FromFlat<'a>,
    N::Outputs: ToFlat,
{
    fn forward(&self, batch: usize, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>, castnet::Error> {
        Ok(self.network.forward(N::Inputs::from_flat(batch, N::INFO.inputs, inputs))?.to_flat())
    }

    fn predict(&self, inputs: &[&[f32]]) -> Option<Vec<Vec<f32>>> {
        let predict = self.predict?;
        Some(predict(&self.network, inputs))
    }

    fn steady(&self, batch: usize, inputs: &[&[f32]]) -> Result<usize, castnet::Error> {
        let inputs = || N::Inputs::from_flat(batch, N::INFO.inputs, inputs);
        let mut outputs = self.network.forward(inputs())?;
        parallel::with_threads(1, || {
            self.network.forward_into(inputs(), &mut outputs)?;
            let before = allocations::here();
            self.network.forward_into(inputs(), &mut outputs)?;
            self.network.forward_into(inputs(), &mut outputs)?;
            Ok(allocations::here() - before)
        })
    }
}

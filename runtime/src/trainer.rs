//! Training in one call per step.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
#[cfg(feature = "std")]
use std::path::Path;

use safetensors::tensor::Dtype;

use crate::error::{Error, Role};
#[cfg(feature = "std")]
use crate::file;
use crate::kernels::Random;
use crate::loss::{self, Loss, Target};
use crate::network::{Network, NetworkWithLoss};
use crate::optim::{self, Optimizer};
use crate::tape::{BatchedShape, Tape};
use crate::views::Views;
use crate::weights::{self, Numbers, StateDict, Tensor};

/// Trains a network: one call per step, which allocates nothing once it has seen the largest batch.
///
/// The same seed and the same batches give the same parameters, for any number of threads.
///
/// ```
/// use castnet::ndarray::array;
/// use castnet::{Adam, Trainer};
///
/// #[castnet::network(spec = r#"
///     [network]
///     input = [3]
///     loss = "mse"
///
///     [[layer]]
///     type = "linear"
///     out_features = 1
/// "#)]
/// pub struct Line;
///
/// let inputs = array![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]];
/// let target = array![[2.0], [-1.0], [0.5], [1.5]];
/// let mut trainer = Trainer::new(Line::new(1), Adam::new(0.1)).seed(1);
/// let first = trainer.step(inputs.view(), &target)?;
/// for epoch in 0..100 {
///     trainer.set_learning_rate(0.1 * 0.97f64.powi(epoch));
///     trainer.step(inputs.view(), &target)?;
/// }
/// let last = trainer.step(inputs.view(), &target)?;
/// assert!(last < 0.01 * first);
///
/// // All of it in a file, to go on another day.
/// let bytes = trainer.to_bytes();
/// let mut resumed = Trainer::new(Line::new(2), Adam::new(0.1));
/// resumed.load_bytes(&bytes)?;
/// assert_eq!(resumed.step(inputs.view(), &target)?, trainer.step(inputs.view(), &target)?);
/// # Ok::<(), castnet::Error>(())
/// ```
pub struct Trainer<N: Network, O> {
    network: N,
    optimizer: O,
    loss: Loss,
    tape: Tape<N>,
    /// Terms of the loss in the gradients that are accumulated.
    accumulated: usize,
}

impl<N: Network, O: Optimizer> Trainer<N, O> {
    /// Trains with the loss that the network's spec names.
    pub fn new(network: N, optimizer: O) -> Self
    where
        N: NetworkWithLoss,
    {
        Self::with_loss(network, optimizer, N::LOSS)
    }

    /// Trains with this loss, on the first output.
    pub fn with_loss(network: N, optimizer: O, loss: Loss) -> Self {
        Self { network, optimizer, loss, tape: Tape::new(), accumulated: 0 }
    }

    /// Lets random layers (dropout, rrelu) draw from this seed; without it, from 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.tape.set_random(Random::new(seed));
        self
    }

    /// One step: forward, loss, backward, optimizer. Returns the loss before the step.
    ///
    /// The inputs are views `[batch, ..]`, one or a tuple; the target is whatever [`Target`] is made from: slices or
    /// arrays of class numbers or of values.
    ///
    /// # Errors
    ///
    /// Inputs or a target that do not fit, a batch that is empty, below what a batch norm is defined for or too large
    /// for memory, and settings of the optimizer that make no sense. Parameters and optimizer are then as before.
    pub fn step<'t>(&mut self, inputs: N::Inputs<'_>, target: impl Into<Target<'t>>) -> Result<f32, Error> {
        let (loss, _) = self.gradients(inputs, &target.into())?;
        self.optimizer.step(self.network.parameters_mut(), self.tape.gradients())?;
        Ok(loss)
    }

    /// Forward, loss and backward for a part of a batch that is too large for memory: the gradients are added to those
    /// of the parts before. [`apply`](Self::apply) then makes the step. Returns the part's loss.
    ///
    /// Parts may differ in size. Their step is the step of the whole batch, except that a batch norm takes its
    /// statistics over each part.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step). Nothing is added then.
    pub fn accumulate<'t>(&mut self, inputs: N::Inputs<'_>, target: impl Into<Target<'t>>) -> Result<f32, Error> {
        let (loss, terms) = self.gradients(inputs, &target.into())?;
        // A part in which no position counts has no gradient, and its mean none either.
        if terms > 0 {
            self.tape.accumulate(terms as f32)?;
            self.accumulated += terms;
        }
        Ok(loss)
    }

    /// The step for the gradients of all parts since the last one. Without any part, nothing.
    ///
    /// # Errors
    ///
    /// Settings of the optimizer that make no sense.
    pub fn apply(&mut self) -> Result<(), Error> {
        if self.accumulated == 0 {
            return Ok(());
        }
        let share = 1.0 / self.accumulated as f32;
        self.accumulated = 0;
        self.tape.accumulated_mut().iter_mut().for_each(|gradient| *gradient *= share);
        let result = self.optimizer.step(self.network.parameters_mut(), self.tape.accumulated());
        self.tape.clear_accumulated();
        result
    }

    /// The loss and the number of its terms, with the gradients on the tape.
    fn gradients(&mut self, inputs: N::Inputs<'_>, target: &Target<'_>) -> Result<(f32, usize), Error> {
        // What can be said before the forward pass is said before it moves any running statistics.
        self.optimizer.check()?;
        let batch = inputs.batch(N::INFO.name, Role::Input, N::INFO.inputs)?;
        if batch > 0 {
            loss::check(self.loss, BatchedShape::new(batch, N::INFO.outputs[0].shape).as_slice(), target)?;
        }
        self.network.forward_train(&mut self.tape, inputs)?;
        let mean = self.tape.set_loss(self.loss, target)?;
        self.tape.backward(self.network.state(), false)?;
        Ok((mean.value, mean.terms))
    }

    /// The network as it is now.
    pub fn network(&self) -> &N {
        &self.network
    }

    /// The network, to be changed between steps.
    pub fn network_mut(&mut self) -> &mut N {
        &mut self.network
    }

    /// The trained network.
    pub fn into_network(self) -> N {
        self.network
    }

    /// The optimizer.
    pub fn optimizer(&self) -> &O {
        &self.optimizer
    }

    /// The optimizer, to change its settings between steps.
    pub fn optimizer_mut(&mut self) -> &mut O {
        &mut self.optimizer
    }

    /// The optimizer's learning rate.
    pub fn learning_rate(&self) -> f64 {
        self.optimizer.learning_rate()
    }

    /// Sets the optimizer's learning rate, for a schedule.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.optimizer.set_learning_rate(learning_rate);
    }

    /// The loss.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// The tape: gradients of the last step, and the state of the random layers.
    pub fn tape(&self) -> &Tape<N> {
        &self.tape
    }
}

impl<N: Network, O: Optimizer> Trainer<N, O> {
    /// The whole state of the training as the bytes of a safetensors file: the network's tensors under `network.`, the
    /// optimizer's under `optimizer.`, and the random state. A trainer that loads it goes on as this one would.
    pub fn to_bytes(&self) -> Vec<u8> {
        let state = self.optimizer.state();
        let mut tensors = weights::network_tensors(N::INFO, self.network.state(), "network.");
        tensors.extend(optim::tensors(&state, "optimizer."));
        let Random { seed, step } = self.tape.random();
        for (name, number) in [(SEED, seed), (STEP, step)] {
            tensors.push((name.to_string(), Tensor { shape: Vec::new(), numbers: Numbers::U64(number) }));
        }
        weights::serialize(tensors, Some(("optimizer", self.optimizer.name())))
    }

    /// Loads the state of a training of this network with this kind of optimizer. Settings of the optimizer are loaded
    /// too, the learning rate among them.
    ///
    /// # Errors
    ///
    /// [`Error::Format`], [`Error::Weights`] with all that is missing, unknown or misshapen, [`Error::Setting`].
    /// Nothing is loaded then.
    pub fn load_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.restore(bytes, "bytes")
    }

    /// Writes the whole state of the training to a safetensors file: under another name beside it, which is then
    /// renamed, so that there is never half a file. See [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    ///
    /// [`Error::Io`]
    #[cfg(feature = "std")]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        file::write(path.as_ref(), &self.to_bytes())
    }

    /// Loads the state of a training from a file: see [`load_bytes`](Self::load_bytes).
    ///
    /// # Errors
    ///
    /// [`Error::Io`], and as [`load_bytes`](Self::load_bytes).
    #[cfg(feature = "std")]
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        self.restore(&file::read(path)?, &path.display().to_string())
    }

    fn restore(&mut self, bytes: &[u8], origin: &str) -> Result<(), Error> {
        let mut tensors = StateDict::parse(bytes, origin)?;
        let network = tensors.network(N::INFO, "network.");
        let floats = Some(N::INFO.parameter_count);
        let state = optim::take(&mut tensors, self.optimizer.state(), "optimizer.", floats)?;
        let [seed, step] = [SEED, STEP].map(|name| tensors.number(name, Dtype::U64, "U64").map(u64::from_le_bytes));
        tensors.finish(N::INFO.name)?;
        self.optimizer.set_state(state)?;
        network.apply(self.network.state_mut());
        if let (Some(seed), Some(step)) = (seed, step) {
            self.tape.set_random(Random { seed, step });
        }
        self.tape.clear_accumulated();
        self.accumulated = 0;
        Ok(())
    }
}

/// Names of the random state in a file.
const SEED: &str = "random.seed";
const STEP: &str = "random.step";

impl<N: Network, O: fmt::Debug> fmt::Debug for Trainer<N, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trainer")
            .field("network", &N::INFO.name)
            .field("optimizer", &self.optimizer)
            .field("loss", &self.loss)
            .finish_non_exhaustive()
    }
}

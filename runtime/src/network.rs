//! The trait that the macro implements: what a network is, and everything that one can do with it.

use alloc::vec::Vec;
#[cfg(feature = "std")]
use std::path::Path;

use crate::arena::Arena;
use crate::error::{Error, Role};
use crate::info::NetworkInfo;
use crate::loss::{Loss, Target};
use crate::nested::{Prediction, Sample};
use crate::passes::Passes;
use crate::state::State;
use crate::tape::Tape;
use crate::views::{Outputs, Views};
use crate::weights;

/// A network: a constant description, the state it owns, and three passes of straight-line code, all written by the
/// macro; and on top of them, provided, what one does with a network.
///
/// The macro writes each provided function as an inherent method too, so that this trait need be imported only by code
/// that is generic over networks:
///
/// ```
/// use castnet::{Error, Network};
///
/// /// Norm of all parameters, and how many bytes a file with them has.
/// fn describe<N: Network>(net: &N) -> Result<(f32, usize), Error> {
///     let norm = net.parameters().iter().map(|p| p * p).sum::<f32>().sqrt();
///     let bytes = net.to_bytes();
///     N::new(0).load_bytes(&bytes)?;
///     Ok((norm, bytes.len()))
/// }
/// ```
pub trait Network: Sized + Send + Sync + 'static {
    /// What is known about the network.
    const INFO: &'static NetworkInfo;
    /// The layers as straight-line code.
    const PASSES: Passes;

    /// Views of the inputs of a batch: one `ndarray` view `[batch, ..]`, or a tuple in the spec's order.
    type Inputs<'a>: Views<'a>;
    /// Views of the outputs of a batch, or of their gradients.
    type OutputViews<'a>: Views<'a>;
    /// The outputs of a batch: one `ndarray` array `[batch, ..]`, or a tuple in the spec's order.
    type Outputs: Outputs;
    /// One sample: a reference to nested arrays, or a tuple in the spec's order.
    type Sample<'a>: Sample;
    /// The outputs for one sample: nested arrays, boxed above 16 KiB, or a tuple in the spec's order.
    type Prediction: Prediction;

    /// Parameters, buffers and workspaces.
    fn state(&self) -> &State;

    /// Parameters, buffers and workspaces.
    fn state_mut(&mut self) -> &mut State;

    /// The network that owns this state.
    fn from_state(state: State) -> Self;

    /// A network whose parameters are initialised from a seed, as PyTorch initialises each layer or as the spec says.
    /// The same seed gives the same parameters, and each parameter's depend on its name and the seed alone.
    fn new(seed: u64) -> Self {
        Self::from_state(State::new(Self::INFO, seed))
    }

    /// The outputs for a batch, in evaluation.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] and [`Error::Batches`] for inputs that do not fit, [`Error::TooLarge`] for a batch that memory
    /// cannot hold, [`Error::BatchTooSmall`] where a batch norm keeps no running statistics.
    fn forward(&self, inputs: Self::Inputs<'_>) -> Result<Self::Outputs, Error> {
        self.evaluate(inputs, |arena| Self::Outputs::from_arena(Self::INFO.name, arena, Self::INFO.outputs))
    }

    /// The outputs for a batch, in evaluation, written over those of another batch. Allocates nothing where the batch
    /// size is the same.
    ///
    /// # Errors
    ///
    /// As [`forward`](Self::forward).
    fn forward_into(&self, inputs: Self::Inputs<'_>, outputs: &mut Self::Outputs) -> Result<(), Error> {
        self.evaluate(inputs, |arena| outputs.assign(Self::INFO.name, arena, Self::INFO.outputs))
    }

    /// Runs the evaluation pass over a batch and takes what is wanted out of its arena.
    #[doc(hidden)]
    fn evaluate<R>(&self, inputs: Self::Inputs<'_>, take: impl FnOnce(&Arena) -> Result<R, Error>) -> Result<R, Error> {
        let info = Self::INFO;
        let batch = inputs.batch(info.name, Role::Input, info.inputs)?;
        // No samples have no outputs, whatever the network; a batch norm over one value has none either.
        if batch > 0 && batch < info.minimum_evaluation_batch {
            let minimum = info.minimum_evaluation_batch;
            return Err(Error::BatchTooSmall { network: info.name, training: false, minimum, found: batch });
        }
        self.state().with_workspace(|workspace| {
            workspace.arena.prepare(info.name, info.evaluation, batch)?;
            if batch > 0 {
                inputs.write(&mut workspace.arena, info.inputs, |value| value.evaluation, false);
                let State { parameters, buffers, .. } = self.state();
                (Self::PASSES.evaluation)(&mut workspace.context, parameters, buffers, &mut workspace.arena);
            }
            take(&workspace.arena)
        })
    }

    /// The outputs for one sample, in evaluation. After the first call nothing is allocated but a boxed prediction;
    /// any number of threads may call it at once.
    ///
    /// # Panics
    ///
    /// Where there is no memory for the activations of one sample. [`predict_into`](Self::predict_into) returns that as
    /// an error.
    fn predict(&self, sample: Self::Sample<'_>) -> Self::Prediction {
        let mut prediction = Self::Prediction::zeroed();
        match self.predict_into(sample, &mut prediction) {
            Ok(()) => prediction,
            Err(error) => panic!("{error}"),
        }
    }

    /// The outputs for one sample, in evaluation, written over those of another.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] where there is no memory for the activations of one sample.
    fn predict_into(&self, sample: Self::Sample<'_>, prediction: &mut Self::Prediction) -> Result<(), Error> {
        const {
            assert!(
                Self::INFO.minimum_evaluation_batch <= 1,
                "a batch norm with `track_running_stats = false` sees one value per channel and sample: such a \
                 network has no output for one sample alone, take `forward` with a batch"
            );
        }
        let info = Self::INFO;
        self.state().with_workspace(|workspace| {
            workspace.arena.prepare(info.name, info.evaluation, 1)?;
            sample.write(&mut workspace.arena, info.inputs, |value| value.evaluation);
            let State { parameters, buffers, .. } = self.state();
            (Self::PASSES.evaluation)(&mut workspace.context, parameters, buffers, &mut workspace.arena);
            prediction.read(&workspace.arena, info.outputs, |value| value.evaluation);
            Ok(())
        })
    }

    /// Runs a batch forward in training: keeps on the tape what the backward pass needs, and updates running
    /// statistics. [`Tape::outputs`] then has the outputs.
    ///
    /// # Errors
    ///
    /// As [`forward`](Self::forward); [`Error::BatchTooSmall`] for an empty batch too.
    fn forward_train(&mut self, tape: &mut Tape<Self>, inputs: Self::Inputs<'_>) -> Result<(), Error> {
        tape.forward(self.state_mut(), inputs)
    }

    /// Runs the batch on the tape backward from gradients of the outputs. [`Tape::gradients`] then has the gradients of
    /// the parameters, and [`Tape::input_gradients`] those of the inputs.
    ///
    /// # Errors
    ///
    /// [`Error::NoForwardPass`] without a forward pass in training before it, [`Error::Shape`], [`Error::Batches`] and
    /// [`Error::GradientBatch`] for gradients that do not fit the outputs.
    fn backward(&self, tape: &mut Tape<Self>, output_gradients: Self::OutputViews<'_>) -> Result<(), Error> {
        tape.set_output_gradients(output_gradients)?;
        tape.backward(self.state(), true)
    }

    /// Takes the loss of the first output on the tape, and runs the batch backward from it: what [`backward`](
    /// Self::backward) does with the gradient that a function of [`loss`](crate::loss) returns, without an array for
    /// it. Returns the loss.
    ///
    /// # Errors
    ///
    /// [`Error::NoForwardPass`], and what the loss says about the target.
    fn backward_from_loss<'t>(
        &self,
        tape: &mut Tape<Self>,
        loss: Loss,
        target: impl Into<Target<'t>>,
    ) -> Result<f32, Error> {
        let mean = tape.set_loss(loss, &target.into())?;
        tape.backward(self.state(), true)?;
        Ok(mean.value)
    }

    /// All parameters, flat, where [`NetworkInfo::parameters`] says.
    fn parameters(&self) -> &[f32] {
        &self.state().parameters
    }

    /// All parameters, flat, where [`NetworkInfo::parameters`] says.
    fn parameters_mut(&mut self) -> &mut [f32] {
        &mut self.state_mut().parameters
    }

    /// All buffers (running statistics), flat, where [`NetworkInfo::buffers`] says.
    fn buffers(&self) -> &[f32] {
        &self.state().buffers
    }

    /// All buffers (running statistics), flat, where [`NetworkInfo::buffers`] says.
    fn buffers_mut(&mut self) -> &mut [f32] {
        &mut self.state_mut().buffers
    }

    /// Loads parameters and buffers from a safetensors file with PyTorch's names and layouts. `num_batches_tracked` is
    /// accepted and ignored; `F16`, `BF16` and `F64` are converted.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Format`], and [`Error::Weights`] with every missing, unknown and misshapen tensor
    /// together. Nothing is loaded then.
    #[cfg(feature = "std")]
    fn load(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        weights::load(Self::INFO, self.state_mut(), path.as_ref())
    }

    /// Loads parameters and buffers from the bytes of a safetensors file: see [`load`](Self::load).
    ///
    /// # Errors
    ///
    /// [`Error::Format`] and [`Error::Weights`]. Nothing is loaded then.
    fn load_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        weights::load_bytes(Self::INFO, self.state_mut(), bytes, "bytes")
    }

    /// Writes parameters and buffers to a safetensors file with PyTorch's names and layouts. The file is written under
    /// another name beside it and then renamed: there is never half a file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]
    #[cfg(feature = "std")]
    fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        crate::file::write(path.as_ref(), &self.to_bytes())
    }

    /// Parameters and buffers as the bytes of a safetensors file.
    fn to_bytes(&self) -> Vec<u8> {
        weights::to_bytes(Self::INFO, self.state())
    }
}

/// A network whose weights are built into the program: what the macro's argument `weights` gives.
pub trait Pretrained: Network {
    /// A safetensors file. The macro has found its tensors to be the network's, so that loading it cannot fail.
    const FILE: &'static [u8];
}

/// The network with the weights that are built in.
pub fn pretrained<N: Pretrained>() -> N {
    let mut state = State::zeroed(N::INFO);
    match weights::load_bytes(N::INFO, &mut state, N::FILE, "the file that is built in") {
        Ok(()) => N::from_state(state),
        Err(error) => panic!("{error}"),
    }
}

/// A network whose spec names a loss.
///
/// Without one, [`Trainer::with_loss`](crate::Trainer::with_loss) takes it; this does not compile:
///
/// ```compile_fail,E0277
/// #[castnet::network(spec = r#"
///     [network]
///     input = [2]
///
///     [[layer]]
///     type = "linear"
///     out_features = 2
/// "#)]
/// pub struct Plain;
///
/// castnet::Trainer::new(Plain::new(42), castnet::Sgd::new(0.1));
/// ```
#[diagnostic::on_unimplemented(
    message = "the spec of `{Self}` names no loss",
    label = "no loss to train it with",
    note = "write `loss = \"cross_entropy\"` (or nll, mse, l1, smooth_l1, bce, bce_with_logits) under `[network]` in \
            its spec, or name one here: `Trainer::with_loss`"
)]
pub trait NetworkWithLoss: Network {
    /// The loss, on the first output.
    const LOSS: Loss;
}

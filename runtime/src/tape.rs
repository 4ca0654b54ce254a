//! What a training pass leaves for the backward pass, and what the backward pass leaves for the optimizer.

use core::fmt;
use core::marker::PhantomData;

use crate::arena::Arena;
use crate::buffer::Buffer;
use crate::error::{Error, Role};
use crate::kernels::{Context, Random};
use crate::loss::{self, Loss, Mean, Target};
use crate::network::Network;
use crate::simd::Isa;
use crate::state::State;
use crate::views::Views;

/// Activations and gradients of one batch, and the random state of the layers that draw.
///
/// A tape grows with the largest batch it has seen and then allocates nothing. It belongs to a type of network, not to
/// one network: several networks of the type may use it in turn.
///
/// ```
/// use castnet::ndarray::array;
/// use castnet::{Optimizer, Sgd, Tape};
///
/// #[castnet::network(spec = r#"
///     [network]
///     input = [2]
///
///     [[layer]]
///     type = "linear"
///     out_features = 1
/// "#)]
/// pub struct Line;
///
/// let mut net = Line::new(42);
/// let mut optimizer = Sgd::new(0.1);
/// let mut tape = Tape::<Line>::new();
///
/// net.forward_train(&mut tape, array![[1.0, 2.0], [3.0, 4.0]].view())?;
/// let (loss, upstream) = castnet::loss::mse(tape.outputs(), &array![[0.0], [1.0]])?;
/// // Any other gradient of the outputs would do.
/// net.backward(&mut tape, upstream.view())?;
/// assert_eq!(tape.gradients().len(), 3);
/// assert_eq!(tape.input_gradients().shape(), [2, 2]);
/// optimizer.step(net.parameters_mut(), tape.gradients())?;
/// # assert!(loss.is_finite());
/// # Ok::<(), castnet::Error>(())
/// ```
pub struct Tape<N: Network> {
    arena: Arena,
    context: Context,
    gradients: Buffer,
    accumulated: Buffer,
    stage: Stage,
    network: PhantomData<fn() -> N>,
}

/// What the arena holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing of use.
    Empty,
    /// A forward pass: outputs are valid.
    Forward,
    /// A backward pass has run over it: input gradients are valid, where it was asked for them.
    Backward { inputs: bool },
}

impl<N: Network> Tape<N> {
    /// An empty tape, whose random layers draw from the seed 0. The first pass makes room.
    pub fn new() -> Self {
        Self::with_seed(0)
    }

    /// An empty tape, whose random layers (dropout, rrelu) draw from this seed. The same seed gives the same run, for
    /// any number of threads.
    pub fn with_seed(seed: u64) -> Self {
        let mut context = Context::new();
        context.random = Random { seed, step: 0 };
        Self {
            arena: Arena::new(),
            context,
            gradients: Buffer::default(),
            accumulated: Buffer::default(),
            stage: Stage::Empty,
            network: PhantomData,
        }
    }

    /// The state of the random layers: the seed, and how many training passes have drawn from it.
    pub fn random(&self) -> Random {
        self.context.random
    }

    /// Sets the state of the random layers.
    pub fn set_random(&mut self, random: Random) {
        self.context.random = random;
    }

    /// Samples of the batch on the tape.
    pub fn batch(&self) -> usize {
        self.arena.batch()
    }

    /// The outputs of the forward pass. A backward pass uses them up: before a forward pass and after a backward pass
    /// these are views of no samples.
    pub fn outputs(&self) -> N::OutputViews<'_> {
        match self.stage {
            Stage::Forward => N::OutputViews::read(&self.arena, N::INFO.outputs, |value| value.training),
            _ => N::OutputViews::none(N::INFO.outputs),
        }
    }

    /// The gradients of the parameters from the last backward pass, flat, where
    /// [`NetworkInfo::parameters`](crate::NetworkInfo::parameters) says. Empty before the first.
    pub fn gradients(&self) -> &[f32] {
        &self.gradients
    }

    /// The gradients of the parameters, to be clipped or scaled before an optimizer sees them.
    pub fn gradients_mut(&mut self) -> &mut [f32] {
        &mut self.gradients
    }

    /// The gradients of the inputs from the last backward pass. Views of no samples where the last pass was no backward
    /// pass, or one that left them out, as a [`Trainer`](crate::Trainer)'s does.
    pub fn input_gradients(&self) -> N::Inputs<'_> {
        match self.stage {
            Stage::Backward { inputs: true } => N::Inputs::read(&self.arena, N::INFO.inputs, |value| value.gradient),
            _ => N::Inputs::none(N::INFO.inputs),
        }
    }

    /// Adds `weight` times [`gradients`](Self::gradients) to [`accumulated`](Self::accumulated): for a step over more
    /// samples than memory holds at once. With losses that are means, the weight of a part is its share of the whole.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] where there is no memory for the sum.
    pub fn accumulate(&mut self, weight: f32) -> Result<(), Error> {
        if self.accumulated.len() < self.gradients.len() {
            self.accumulated = allocate(N::INFO.name, "accumulated gradients", self.gradients.len())?;
        }
        for (sum, gradient) in self.accumulated.iter_mut().zip(self.gradients.iter()) {
            *sum += weight * gradient;
        }
        Ok(())
    }

    /// The sum of accumulated gradients. Empty before the first [`accumulate`](Self::accumulate).
    pub fn accumulated(&self) -> &[f32] {
        &self.accumulated
    }

    /// The sum of accumulated gradients, to be scaled or clipped.
    pub fn accumulated_mut(&mut self) -> &mut [f32] {
        &mut self.accumulated
    }

    /// Sets the sum of accumulated gradients to zero.
    pub fn clear_accumulated(&mut self) {
        self.accumulated.fill(0.0);
    }

    pub(crate) fn forward(&mut self, state: &mut State, inputs: N::Inputs<'_>) -> Result<(), Error> {
        let info = N::INFO;
        let batch = inputs.batch(info.name, Role::Input, info.inputs)?;
        let minimum = info.minimum_training_batch.max(1);
        if batch < minimum {
            return Err(Error::BatchTooSmall { network: info.name, training: true, minimum, found: batch });
        }
        self.stage = Stage::Empty;
        self.arena.prepare(info.name, info.training, batch)?;
        inputs.write(&mut self.arena, info.inputs, |value| value.training, false);
        self.context.isa = Isa::active();
        (N::PASSES.training)(&mut self.context, &state.parameters, &mut state.buffers, &mut self.arena);
        self.context.random.step = self.context.random.step.wrapping_add(1);
        self.stage = Stage::Forward;
        Ok(())
    }

    pub(crate) fn set_output_gradients(&mut self, gradients: N::OutputViews<'_>) -> Result<(), Error> {
        let info = N::INFO;
        self.expect_forward()?;
        let found = gradients.batch(info.name, Role::OutputGradient, info.outputs)?;
        let expected = self.arena.batch();
        if found != expected {
            return Err(Error::GradientBatch { network: info.name, expected, found });
        }
        gradients.write(&mut self.arena, info.outputs, |value| value.gradient, false);
        Ok(())
    }

    /// Writes the gradient of a loss on the first output; the other outputs have none.
    pub(crate) fn set_loss(&mut self, loss: Loss, target: &Target<'_>) -> Result<Mean, Error> {
        self.expect_forward()?;
        let [first, others @ ..] = N::INFO.outputs else { unreachable!("a network has an output") };
        let axes = BatchedShape::new(self.arena.batch(), first.shape);
        loss::check(loss, axes.as_slice(), target)?;
        // The zeros first: an output that is the first one under another name has its place.
        for other in others {
            let [gradient] = self.arena.get([other.gradient]);
            gradient.fill(0.0);
        }
        let [output, gradient] = self.arena.get([first.training, first.gradient]);
        loss::write(loss, axes.as_slice(), output, target, gradient)
    }

    pub(crate) fn backward(&mut self, state: &State, inputs: bool) -> Result<(), Error> {
        self.expect_forward()?;
        if self.gradients.len() != N::INFO.parameter_count {
            self.gradients = allocate(N::INFO.name, "the gradients", N::INFO.parameter_count)?;
        }
        self.stage = Stage::Empty;
        self.context.isa = Isa::active();
        (N::PASSES.backward)(&mut self.context, &state.parameters, &mut self.gradients, &mut self.arena, inputs);
        self.stage = Stage::Backward { inputs };
        Ok(())
    }

    fn expect_forward(&self) -> Result<(), Error> {
        match self.stage {
            Stage::Forward => Ok(()),
            _ => Err(Error::NoForwardPass { network: N::INFO.name }),
        }
    }
}

impl<N: Network> Default for Tape<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Network> fmt::Debug for Tape<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape")
            .field("network", &N::INFO.name)
            .field("batch", &self.arena.batch())
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

/// A shape with its batch axis, without an allocation.
pub(crate) struct BatchedShape([usize; 4], usize);

impl BatchedShape {
    pub fn new(batch: usize, sample: &[usize]) -> Self {
        let mut axes = [batch; 4];
        axes[1..=sample.len()].copy_from_slice(sample);
        Self(axes, sample.len() + 1)
    }

    pub fn as_slice(&self) -> &[usize] {
        &self.0[..self.1]
    }
}

fn allocate(network: &'static str, what: &'static str, floats: usize) -> Result<Buffer, Error> {
    Buffer::try_zeroed(floats).map_err(|_| Error::TooLarge { network, what, batch: None, bytes: floats.checked_mul(4) })
}

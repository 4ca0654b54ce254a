//! What the macro knows about a network, as plain data: names, shapes, sizes, and where each value lies.

use core::fmt;

pub use castnet_descriptors::Init;
use castnet_descriptors::Loss;

use crate::arena::{ArenaSize, Span};

/// Everything about a compiled network that is not code: one constant per network, written by the macro.
///
/// Its [`Display`](fmt::Display) is the network's summary: inputs, parameters, outputs, and what they cost.
#[derive(Clone, Copy, Debug)]
pub struct NetworkInfo {
    /// The name of the struct that carries the network.
    pub name: &'static str,
    /// The inputs, in the order of the spec.
    pub inputs: &'static [ValueInfo],
    /// The outputs, in the order of the spec. The loss is on the first.
    pub outputs: &'static [ValueInfo],
    /// The parameters, in the order of the layers.
    pub parameters: &'static [ParameterInfo],
    /// The buffers (statistics that training updates and no gradient reaches), in the order of the layers.
    pub buffers: &'static [BufferInfo],
    /// Floats of all parameters together: the length of the parameter and of the gradient buffer.
    pub parameter_count: usize,
    /// Floats of all buffers together.
    pub buffer_count: usize,
    /// Multiply-accumulates of one sample's forward pass.
    pub macs: u64,
    /// Floats of activations in evaluation.
    pub evaluation: ArenaSize,
    /// Floats of activations, gradients of activations and saved values in training.
    pub training: ArenaSize,
    /// The loss that the spec names.
    pub loss: Option<Loss>,
    /// The smallest batch that the training pass is defined for: 2 where a batch norm sees one value per channel and
    /// sample, as in PyTorch; else 1.
    pub minimum_training_batch: usize,
    /// The same for the evaluation pass: 2 where such a batch norm has `track_running_stats = false`; else 1.
    pub minimum_evaluation_batch: usize,
}

/// An input or an output of a network: its name, its shape, and where it lies in each program's arena.
#[derive(Clone, Copy, Debug)]
pub struct ValueInfo {
    /// The input's name, or the name of the layer that makes the output.
    pub name: &'static str,
    /// The shape of one sample: `[features]`, `[channels, length]` or `[channels, height, width]`.
    pub shape: &'static [usize],
    /// Where it lies in the evaluation program's arena.
    pub evaluation: Span,
    /// Where it lies in the training program's arena. Outputs stay intact until the backward pass begins.
    pub training: Span,
    /// Where its gradient lies in the training program's arena. An output's gradient is written before the backward
    /// pass begins and overlaps no output and nothing that the backward pass reads; outputs that are one value under
    /// several names share it. An input's gradient is valid after a backward pass that was asked for it.
    pub gradient: Span,
    /// Where it lies in the arena of the second half of the inference program. The first half reads an input where the
    /// caller has it; one that the second half does not take has no floats there.
    pub frozen: Span,
}

/// A parameter: its name in a state dict, its shape, and where it lies in the flat buffers.
#[derive(Clone, Copy, Debug)]
pub struct ParameterInfo {
    /// PyTorch's name: `conv1.weight`.
    pub name: &'static str,
    /// PyTorch's shape: `[out, in / groups, kh, kw]` for a convolution's weight.
    pub shape: &'static [usize],
    /// Its first float in the flat parameter buffer, and in the flat gradient buffer.
    pub offset: usize,
    /// How it is initialised.
    pub init: Init,
}

/// A buffer: a statistic that training updates and that no gradient reaches.
#[derive(Clone, Copy, Debug)]
pub struct BufferInfo {
    /// PyTorch's name: `bn1.running_mean`.
    pub name: &'static str,
    /// PyTorch's shape: `[channels]`.
    pub shape: &'static [usize],
    /// Its first float in the flat buffer of buffers.
    pub offset: usize,
    /// The value that it starts with: 0 for a mean, 1 for a variance.
    pub fill: f32,
}

impl ValueInfo {
    /// Floats of one sample.
    pub const fn len(&self) -> usize {
        product(self.shape)
    }

    /// Whether a sample has no floats; a spec with such a shape is refused.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ParameterInfo {
    /// Its floats in the flat parameter buffer, and in the flat gradient buffer.
    pub const fn range(&self) -> core::ops::Range<usize> {
        self.offset..self.offset + product(self.shape)
    }
}

impl BufferInfo {
    /// Its floats in the flat buffer of buffers.
    pub const fn range(&self) -> core::ops::Range<usize> {
        self.offset..self.offset + product(self.shape)
    }
}

impl NetworkInfo {
    /// The parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&'static ParameterInfo> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// The buffer of this name.
    pub fn buffer(&self, name: &str) -> Option<&'static BufferInfo> {
        self.buffers.iter().find(|buffer| buffer.name == name)
    }
}

/// Floats of a shape that the macro has checked: the product fits.
pub(crate) const fn product(shape: &[usize]) -> usize {
    let mut floats = 1;
    let mut axis = 0;
    while axis < shape.len() {
        floats *= shape[axis];
        axis += 1;
    }
    floats
}

impl fmt::Display for NetworkInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        let widest = |names: &mut dyn Iterator<Item = &'static str>| names.map(str::len).max().unwrap_or(0);
        let values = self.inputs.iter().chain(self.outputs).map(|value| value.name);
        let tensors =
            self.parameters.iter().map(|parameter| parameter.name).chain(self.buffers.iter().map(|buffer| buffer.name));
        let width = widest(&mut values.chain(tensors));
        for input in self.inputs {
            writeln!(f, "  input      {:width$}  {:?}", input.name, input.shape)?;
        }
        for parameter in self.parameters {
            writeln!(f, "  parameter  {:width$}  {:?}", parameter.name, parameter.shape)?;
        }
        for buffer in self.buffers {
            writeln!(f, "  buffer     {:width$}  {:?}", buffer.name, buffer.shape)?;
        }
        for output in self.outputs {
            writeln!(f, "  output     {:width$}  {:?}", output.name, output.shape)?;
        }
        writeln!(f, "{} parameters, {} multiply-accumulates per sample", self.parameter_count, self.macs)?;
        let bytes = |size: ArenaSize| 4 * size.per_sample;
        write!(
            f,
            "activations: {} bytes per sample in evaluation, {} in training",
            bytes(self.evaluation),
            bytes(self.training)
        )?;
        match self.loss {
            Some(loss) => write!(f, "; loss: {loss}"),
            None => Ok(()),
        }
    }
}

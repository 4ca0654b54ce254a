//! A program: calls over values, for evaluation, for training, or for inference. Types alone, and what follows from them.

use super::operation::{Extent, Operation};
use crate::graph::ValueId;
use crate::shape::Shape;
pub use castnet_descriptors::BLOCK;

/// The number of a value in its program.
pub type Id = usize;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// An input of the network, or a layer's result.
    Value(ValueId),
    /// What a layer's forward pass keeps: indices, statistics, factors.
    Saved(usize),
    /// The gradient of a value.
    Gradient(ValueId),
    /// One more contribution to a gradient, on its way to be added.
    Contribution(ValueId, usize),
}

impl What {
    /// Its gradient.
    pub fn gradient(self) -> Self {
        match self {
            Self::Value(value) => Self::Gradient(value),
            other => other,
        }
    }

    /// Contribution number `count` to its gradient.
    pub fn contribution(self, count: usize) -> Self {
        match self {
            Self::Value(value) => Self::Contribution(value, count),
            other => other,
        }
    }
}

/// How a value lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As PyTorch has it: `[channels, height, width]` or flat.
    Plain,
    /// Channels in blocks of 16, with what stands around the map.
    Blocked {
        /// Top, left, bottom, right.
        halo: [usize; 4],
    },
}

impl Layout {
    /// Blocked, with nothing around the map.
    pub const BLOCKED: Self = Self::Blocked { halo: [0; 4] };

    /// Whether channels lie in blocks.
    pub const fn is_blocked(self) -> bool {
        matches!(self, Self::Blocked { .. })
    }
}

/// What the floats of a value are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A tensor of one sample's shape for each sample.
    Tensor(Shape),
    /// So many floats without a shape that anyone reads.
    Floats(Extent),
}

/// A value: what one call makes and others take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// What it is.
    pub what: What,
    /// Its shape.
    pub content: Content,
    /// How it lies.
    pub layout: Layout,
    /// The value in whose memory it lies: itself, the value that it renames, or the concatenation that it is a part of.
    pub home: Id,
    /// The first of its blocks there.
    pub first_block: usize,
}

impl Value {
    /// Channels, height, width: `[f]` is `f` channels of one pixel, `[c, l]` maps of height 1.
    pub fn sizes(&self) -> [usize; 3] {
        match &self.content {
            Content::Tensor(Shape(axes)) => match axes[..] {
                [channels, length] => [channels, 1, length],
                [channels, height, width] => [channels, height, width],
                _ => [axes.iter().product(), 1, 1],
            },
            Content::Floats(extent) => [extent.per_sample + extent.fixed, 1, 1],
        }
    }

    /// Whether it has channels and something beside them.
    pub fn is_map(&self) -> bool {
        matches!(&self.content, Content::Tensor(shape) if shape.rank() > 1)
    }

    /// Blocks of 16 channels.
    pub fn blocks(&self) -> usize {
        self.sizes()[0].div_ceil(BLOCK)
    }

    /// The memory that it takes where it has a home of its own.
    pub fn extent(&self) -> Extent {
        let [channels, height, width] = self.sizes();
        match (self.layout, &self.content) {
            (_, Content::Floats(extent)) => *extent,
            (Layout::Plain, _) => Extent::per_sample(channels * height * width),
            (Layout::Blocked { halo: [top, left, bottom, right] }, _) => {
                Extent::per_sample(self.blocks() * BLOCK * (top + height + bottom) * (left + width + right))
            }
        }
    }
}

/// The part that a value plays for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Part {
    Input(usize),
    /// What is added before the activation.
    Residual,
    Indices,
    Output,
    Saved,
    GradOutput,
    GradInput,
}

/// What a call does to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads it.
    Read,
    /// Makes it, whatever lay there before.
    Write,
    /// Adds to it.
    Update,
}

/// A value that a call takes or makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// The part it plays.
    pub part: Part,
    /// Which.
    pub value: Id,
    /// What happens to it.
    pub access: Access,
}

/// One call of the generated code.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What it does.
    pub operation: Operation,
    /// The layers in it, in order; the first one gives it its name. None for what stands between layers.
    pub layers: Vec<usize>,
    /// On what, in the order of the function's arguments.
    pub operands: Vec<Operand>,
    /// Whether only the gradients of the network's inputs need it.
    pub for_inputs: bool,
}

impl Call {
    /// A call of a forward pass.
    pub fn new(operation: Operation, layers: Vec<usize>, operands: Vec<Operand>) -> Self {
        Self { operation, layers, operands, for_inputs: false }
    }

    /// The layer that gives it its name.
    pub fn layer(&self) -> Option<usize> {
        self.layers.first().copied()
    }

    /// The value that plays a part.
    pub fn part(&self, part: Part) -> Option<Id> {
        self.operands.iter().find(|operand| operand.part == part).map(|operand| operand.value)
    }

    /// The values that flow in, without a residual.
    pub fn inputs(&self) -> impl Iterator<Item = Id> + '_ {
        self.operands.iter().filter(|operand| matches!(operand.part, Part::Input(_))).map(|operand| operand.value)
    }

    /// All values that it reads.
    pub fn reads(&self) -> impl Iterator<Item = Id> + '_ {
        self.operands.iter().filter(|operand| operand.access != Access::Write).map(|operand| operand.value)
    }

    /// All values that it makes.
    pub fn writes(&self) -> impl Iterator<Item = Id> + '_ {
        self.operands.iter().filter(|operand| operand.access == Access::Write).map(|operand| operand.value)
    }
}

/// An operand that is read.
pub fn read(part: Part, value: Id) -> Operand {
    Operand { part, value, access: Access::Read }
}

/// An operand that is made.
pub fn write(part: Part, value: Id) -> Operand {
    Operand { part, value, access: Access::Write }
}

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every layer in turn, as in evaluation mode.
    Evaluation,
    /// Every layer in turn, then the gradients.
    Training,
    /// The frozen network.
    Inference,
}

/// A sequence of calls with the values they take and make.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// What it is for.
    pub kind: Kind,
    /// The values.
    pub values: Vec<Value>,
    /// The calls, in order.
    pub calls: Vec<Call>,
    /// The value of each input of the network.
    pub inputs: Vec<Id>,
    /// The value of each output.
    pub outputs: Vec<Id>,
    /// For training: the gradient of each input.
    pub input_gradients: Vec<Id>,
    /// For training: the gradient of each output.
    pub output_gradients: Vec<Id>,
    /// How many of the calls the first of the two passes has. For training that is the forward pass; for inference the calls that
    /// samples go through one by one ([`super::cut`]). Evaluation has one pass.
    pub cut: usize,
    /// For inference: whether a batch must go through together, since statistics are taken over it.
    pub whole_batch: bool,
}

/// The caller's turn in a program: what it fills in or takes out before a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Before which call.
    pub before: usize,
    /// What it fills in.
    pub fills: Vec<Id>,
    /// What it takes out.
    pub takes: Vec<Id>,
}

impl Program {
    /// A new value, with a home of its own.
    pub fn add(&mut self, what: What, content: Content, layout: Layout) -> Id {
        let id = self.values.len();
        self.values.push(Value { what, content, layout, home: id, first_block: 0 });
        id
    }

    /// The value in whose memory a value lies.
    pub fn home(&self, id: Id) -> Id {
        self.values[id].home
    }

    /// Floats of a value for one sample.
    pub fn floats(&self, id: Id) -> usize {
        self.values[id].extent().per_sample
    }

    /// The caller's turns, in order.
    pub fn turns(&self) -> Vec<Turn> {
        let first = Turn { before: 0, fills: self.inputs.clone(), takes: Vec::new() };
        let last = |takes: &Vec<Id>| Turn { before: self.calls.len(), fills: Vec::new(), takes: takes.clone() };
        match self.kind {
            Kind::Evaluation | Kind::Inference => vec![first, last(&self.outputs)],
            Kind::Training => {
                let (fills, takes) = (self.output_gradients.clone(), self.outputs.clone());
                vec![first, Turn { before: self.cut, fills, takes }, last(&self.input_gradients)]
            }
        }
    }

    /// For each home, how many values lie there.
    pub fn sharing(&self) -> Vec<usize> {
        let mut sharing = vec![0; self.values.len()];
        self.values.iter().for_each(|value| sharing[value.home] += 1);
        sharing
    }

    /// For each value, the call that makes it.
    pub fn makers(&self) -> Vec<Option<usize>> {
        let mut makers = vec![None; self.values.len()];
        for (i, call) in self.calls.iter().enumerate() {
            call.writes().for_each(|id| makers[id] = Some(i));
        }
        makers
    }

    /// For each value, the calls that read it, once for every operand.
    pub fn takers(&self) -> Vec<Vec<usize>> {
        let mut takers = vec![Vec::new(); self.values.len()];
        for (i, call) in self.calls.iter().enumerate() {
            call.reads().for_each(|id| takers[id].push(i));
        }
        takers
    }
}

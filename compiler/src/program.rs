//! Fourth stage: the graph as steps over storages. The evaluation program is here, the training program in [`crate::gradient`].

use crate::graph::ValueId;
use crate::layers::{Extent, Gradient};
use crate::shape::Shaped;
use std::collections::HashMap;

/// A piece of memory that one value, gradient or saved tensor lies in while it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// What lies there.
    pub what: What,
    /// How much it is.
    pub extent: Extent,
}

/// What a storage holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// A value.
    Value(ValueId),
    /// What a node's forward pass keeps for its backward pass.
    Saved(usize),
    /// The gradient of a value.
    Gradient(ValueId),
    /// One more contribution to a gradient, on its way to be added.
    Contribution(ValueId, usize),
}

/// The number of a storage in its program.
pub type StorageId = usize;

/// The part that a storage plays for a function of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Part {
    Input(usize),
    Output,
    Saved,
    Indices,
    GradOutput,
    GradInput,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The forward function of a node; `train` for the one of its own that training has.
    Forward {
        /// The node.
        node: usize,
        /// Whether it is the function that training has of its own.
        train: bool,
    },
    /// A gradient of a node.
    Backward {
        /// The node.
        node: usize,
        /// Which gradient.
        gradient: Gradient,
    },
    /// `into += from`, the two storages of the step.
    Accumulate,
    /// The step's storage is set to zero: a gradient to which nothing contributes.
    Zero,
}

/// A storage that a step takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// The part it plays.
    pub part: Part,
    /// Which.
    pub storage: StorageId,
    /// Whether the step writes it.
    pub writes: bool,
}

/// One call of the generated code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub action: Action,
    /// On what, in the order of the function's arguments.
    pub operands: Vec<Operand>,
    /// Whether only the gradients of the network's inputs need it.
    pub for_inputs: bool,
}

/// A sequence of steps with the storages they take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The storages.
    pub storages: Vec<Storage>,
    /// All steps: the forward ones, then the backward ones.
    pub steps: Vec<Step>,
    /// How many of the steps are forward.
    pub forward: usize,
    /// The storage of each input of the network.
    pub inputs: Vec<StorageId>,
    /// The storage of each output.
    pub outputs: Vec<StorageId>,
    /// For training: the storage of each input's gradient.
    pub input_gradients: Vec<StorageId>,
    /// For training: the storage of each output's gradient.
    pub output_gradients: Vec<StorageId>,
}

/// Storages as they are made.
#[derive(Debug, Default)]
pub(crate) struct Storages {
    list: Vec<Storage>,
    known: HashMap<What, StorageId>,
}

impl Storages {
    /// The storage of this, made when it is new.
    pub fn of(&mut self, what: What, extent: Extent) -> StorageId {
        *self.known.entry(what).or_insert_with(|| {
            self.list.push(Storage { what, extent });
            self.list.len() - 1
        })
    }

    /// All of them.
    pub fn into_list(self) -> Vec<Storage> {
        self.list
    }
}

/// Which value's memory each value lies in: layers that only rename have none of their own.
#[derive(Debug)]
pub(crate) struct Homes {
    nodes: Vec<ValueId>,
}

impl Homes {
    /// The homes of all values, in evaluation or in training. An output of the network always has a home of its own.
    pub fn new(shaped: &Shaped, training: bool) -> Self {
        let mut nodes: Vec<ValueId> = Vec::with_capacity(shaped.nodes.len());
        for (i, node) in shaped.nodes.iter().enumerate() {
            let value = ValueId::Node(i);
            let home = if node.op.is_alias(training) && !shaped.outputs.contains(&value) {
                match node.inputs[0] {
                    ValueId::Node(source) => nodes[source],
                    input => input,
                }
            } else {
                value
            };
            nodes.push(home);
        }
        Self { nodes }
    }

    /// The value in whose memory this one lies.
    pub fn of(&self, value: ValueId) -> ValueId {
        match value {
            ValueId::Node(node) => self.nodes[node],
            input => input,
        }
    }

    /// Whether a node's result lies in another's memory, so that nothing is to be run for it.
    pub fn is_elsewhere(&self, node: usize) -> bool {
        self.nodes[node] != ValueId::Node(node)
    }
}

/// The forward step of a node.
pub(crate) fn forward_step(
    shaped: &Shaped,
    homes: &Homes,
    storages: &mut Storages,
    node: usize,
    training: bool,
) -> Step {
    let it = &shaped.nodes[node];
    let mut operands = Vec::new();
    for (i, &value) in it.inputs.iter().enumerate() {
        let home = homes.of(value);
        let storage = storages.of(What::Value(home), Extent::per_sample(shaped.shape(home).len()));
        operands.push(Operand { part: Part::Input(i), storage, writes: false });
    }
    if let Some(source) = it.indices {
        let storage = storages.of(What::Saved(source), shaped.nodes[source].op.saved());
        operands.push(Operand { part: Part::Indices, storage, writes: false });
    }
    let output = storages.of(What::Value(ValueId::Node(node)), Extent::per_sample(it.output.len()));
    operands.push(Operand { part: Part::Output, storage: output, writes: true });
    let train = it.op.trains_differently() && (training || it.gives_indices) || it.op.evaluates_as_trained();
    if train && !it.op.saved().is_empty() {
        let storage = storages.of(What::Saved(node), it.op.saved());
        operands.push(Operand { part: Part::Saved, storage, writes: true });
    }
    Step { action: Action::Forward { node, train }, operands, for_inputs: false }
}

/// The program of evaluation mode: every layer in turn.
pub fn evaluation(shaped: &Shaped) -> Program {
    let homes = Homes::new(shaped, false);
    let mut storages = Storages::default();
    let value = |storages: &mut Storages, value: ValueId| {
        let home = homes.of(value);
        storages.of(What::Value(home), Extent::per_sample(shaped.shape(home).len()))
    };
    let inputs = (0..shaped.inputs.len()).map(|i| value(&mut storages, ValueId::Input(i))).collect();
    let nodes = (0..shaped.nodes.len()).filter(|&node| !homes.is_elsewhere(node));
    let steps: Vec<Step> = nodes.map(|node| forward_step(shaped, &homes, &mut storages, node, false)).collect();
    let outputs = shaped.outputs.iter().map(|&output| value(&mut storages, output)).collect();
    let forward = steps.len();
    let storages = storages.into_list();
    Program { storages, steps, forward, inputs, outputs, input_gradients: Vec::new(), output_gradients: Vec::new() }
}

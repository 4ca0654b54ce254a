//! The training program: every layer in turn, then the gradients in reverse (reverse-mode differentiation).
//!
//! A kernel writes its gradient. The first contribution to a value's gradient is written into it; every further one is written
//! beside it and added. What no parameter depends on is computed only where the caller asks for gradients of the inputs.

use crate::graph::ValueId;
use crate::layers::{Extent, Gradient};
use crate::program::{Action, Homes, Operand, Part, Program, Step, StorageId, Storages, What, forward_step};
use crate::shape::Shaped;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// The program of a training step.
pub fn training(shaped: &Shaped) -> Program {
    let homes = Homes::new(shaped, true);
    let mut storages = Storages::default();
    let mut steps = Vec::new();
    let own: Vec<usize> = (0..shaped.nodes.len()).filter(|&node| !homes.is_elsewhere(node)).collect();
    let inputs: Vec<StorageId> =
        (0..shaped.inputs.len()).map(|i| value_storage(shaped, &homes, &mut storages, ValueId::Input(i))).collect();
    for &node in &own {
        steps.push(forward_step(shaped, &homes, &mut storages, node, true));
    }
    let forward = steps.len();
    let outputs = shaped.outputs.iter().map(|&value| value_storage(shaped, &homes, &mut storages, value)).collect();
    let mut backward = Backward { shaped, homes: &homes, storages, steps, started: HashMap::new() };
    let output_gradients = shaped.outputs.iter().map(|&value| backward.start(value)).collect();
    let trained = trained(shaped, &homes);
    for &node in own.iter().rev() {
        backward.node(node, &trained);
    }
    let input_gradients = (0..shaped.inputs.len()).map(|i| backward.finished(ValueId::Input(i), true)).collect();
    let Backward { storages, steps, .. } = backward;
    Program { storages: storages.into_list(), steps, forward, inputs, outputs, input_gradients, output_gradients }
}

fn value_storage(shaped: &Shaped, homes: &Homes, storages: &mut Storages, value: ValueId) -> StorageId {
    let home = homes.of(value);
    storages.of(What::Value(home), Extent::per_sample(shaped.shape(home).len()))
}

/// The values that depend on a parameter: their gradients are needed in every step.
fn trained(shaped: &Shaped, homes: &Homes) -> HashSet<ValueId> {
    let mut trained = HashSet::new();
    for (i, node) in shaped.nodes.iter().enumerate() {
        let from_above = node.inputs.iter().any(|&value| trained.contains(&homes.of(value)));
        if from_above || !node.op.parameters().is_empty() {
            trained.insert(homes.of(ValueId::Node(i)));
        }
    }
    trained
}

struct Backward<'a> {
    shaped: &'a Shaped,
    homes: &'a Homes,
    storages: Storages,
    steps: Vec<Step>,
    /// How many contributions each gradient has had.
    started: HashMap<ValueId, usize>,
}

impl Backward<'_> {
    fn gradient_storage(&mut self, home: ValueId) -> StorageId {
        self.storages.of(What::Gradient(home), Extent::per_sample(self.shaped.shape(home).len()))
    }

    /// An output's gradient is there from the beginning: the upstream one.
    fn start(&mut self, value: ValueId) -> StorageId {
        let home = self.homes.of(value);
        self.started.insert(home, 1);
        self.gradient_storage(home)
    }

    /// A gradient to which nothing more will be added. One to which nothing contributed is zero.
    fn finished(&mut self, value: ValueId, for_inputs: bool) -> StorageId {
        let home = self.homes.of(value);
        let storage = self.gradient_storage(home);
        if let Entry::Vacant(entry) = self.started.entry(home) {
            entry.insert(1);
            let operands = vec![Operand { part: Part::GradInput, storage, writes: true }];
            self.steps.push(Step { action: Action::Zero, operands, for_inputs });
        }
        storage
    }

    fn node(&mut self, node: usize, trained: &HashSet<ValueId>) {
        let it = &self.shaped.nodes[node];
        let result = ValueId::Node(node);
        let grad_output = self.finished(result, !trained.contains(&result));
        if !it.op.parameters().is_empty() {
            let operands = self.operands(node, Gradient::Parameters, grad_output);
            let action = Action::Backward { node, gradient: Gradient::Parameters };
            self.steps.push(Step { action, operands, for_inputs: false });
        }
        for which in 0..it.inputs.len() {
            let home = self.homes.of(it.inputs[which]);
            let for_inputs = !trained.contains(&home);
            let gradient = Gradient::Input(which);
            let mut operands = self.operands(node, gradient, grad_output);
            let count = self.started.get(&home).copied().unwrap_or(0);
            self.started.insert(home, count + 1);
            let into = self.gradient_storage(home);
            let action = Action::Backward { node, gradient };
            if count == 0 {
                operands.push(Operand { part: Part::GradInput, storage: into, writes: true });
                self.steps.push(Step { action, operands, for_inputs });
                continue;
            }
            let extent = Extent::per_sample(self.shaped.shape(home).len());
            let beside = self.storages.of(What::Contribution(home, count), extent);
            operands.push(Operand { part: Part::GradInput, storage: beside, writes: true });
            self.steps.push(Step { action, operands, for_inputs });
            let from = Operand { part: Part::GradOutput, storage: beside, writes: false };
            let into = Operand { part: Part::GradInput, storage: into, writes: true };
            self.steps.push(Step { action: Action::Accumulate, operands: vec![from, into], for_inputs });
        }
    }

    /// What a gradient reads, in the order of the function's arguments.
    fn operands(&mut self, node: usize, gradient: Gradient, grad_output: StorageId) -> Vec<Operand> {
        let it = &self.shaped.nodes[node];
        let reads = it.op.reads(gradient);
        let mut operands = Vec::new();
        let mut read = |part, storage| operands.push(Operand { part, storage, writes: false });
        if reads.inputs {
            for (i, &value) in it.inputs.iter().enumerate() {
                read(Part::Input(i), value_storage(self.shaped, self.homes, &mut self.storages, value));
            }
        }
        if let Some(source) = it.indices {
            read(Part::Indices, self.storages.of(What::Saved(source), self.shaped.nodes[source].op.saved()));
        }
        if reads.output {
            let value = ValueId::Node(node);
            read(Part::Output, value_storage(self.shaped, self.homes, &mut self.storages, value));
        }
        if reads.saved {
            read(Part::Saved, self.storages.of(What::Saved(node), it.op.saved()));
        }
        read(Part::GradOutput, grad_output);
        operands
    }
}

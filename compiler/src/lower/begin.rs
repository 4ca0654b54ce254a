//! `Shaped` -> the first form of a program: one call for every layer, all values as PyTorch has them.

use super::operation::{Function, Operation};
use super::program::{Call, Content, Id, Kind, Layout, Operand, Part, Program, What, read, write};
use crate::graph::ValueId;
use crate::shape::Shaped;

/// Every layer in turn. For inference a layer is the operation that may run in its place, if there is one.
pub fn begin(shaped: &Shaped, kind: Kind) -> Program {
    let whole_batch = kind == Kind::Inference && shaped.nodes.iter().any(|node| node.op.evaluates_as_trained());
    let mut program = Program {
        kind,
        values: Vec::new(),
        calls: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        input_gradients: Vec::new(),
        output_gradients: Vec::new(),
        cut: 0,
        whole_batch,
    };
    let tensor = |value: ValueId| Content::Tensor(shaped.shape(value).clone());
    for i in 0..shaped.inputs.len() {
        let value = ValueId::Input(i);
        let id = program.add(What::Value(value), tensor(value), Layout::Plain);
        program.inputs.push(id);
    }
    // The values of layers' results, and of what layers save, by node.
    let mut results: Vec<Id> = Vec::with_capacity(shaped.nodes.len());
    let mut saved: Vec<Option<Id>> = Vec::with_capacity(shaped.nodes.len());
    for (node, it) in shaped.nodes.iter().enumerate() {
        let of = |value: &ValueId| match *value {
            ValueId::Input(i) => program.inputs[i],
            ValueId::Node(n) => results[n],
        };
        let mut operands: Vec<Operand> =
            it.inputs.iter().enumerate().map(|(i, value)| read(Part::Input(i), of(value))).collect();
        if let Some(indices) = it.indices.and_then(|source| saved[source]) {
            operands.push(read(Part::Indices, indices));
        }
        let result = program.add(What::Value(ValueId::Node(node)), tensor(ValueId::Node(node)), Layout::Plain);
        operands.push(write(Part::Output, result));
        let trains = it.op.trains_differently() && (kind == Kind::Training || it.gives_indices);
        let function = if trains || it.op.evaluates_as_trained() { Function::ForwardTrain } else { Function::Forward };
        let extent = it.op.saved();
        let kept = (function == Function::ForwardTrain && !extent.is_empty())
            .then(|| program.add(What::Saved(node), Content::Floats(extent), Layout::Plain));
        operands.extend(kept.map(|id| write(Part::Saved, id)));
        let typed = (kind == Kind::Inference && function == Function::Forward).then(|| it.op.operation(node)).flatten();
        program.calls.push(Call::new(typed.unwrap_or(Operation::Layer(function)), vec![node], operands));
        results.push(result);
        saved.push(kept);
    }
    program.cut = program.calls.len();
    program.outputs = shaped
        .outputs
        .iter()
        .map(|&value| match value {
            ValueId::Input(i) => program.inputs[i],
            ValueId::Node(n) => results[n],
        })
        .collect();
    program
}

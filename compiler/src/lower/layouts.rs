//! A layout for every value: maps lie blocked, 16 channels side by side; everything else, and maps of very few channels, lies as
//! PyTorch has it. Where the two meet, a conversion is put in. A call that has no kernel for how its values lie becomes the layers' own
//! functions on plain values, one by one.

use super::algorithm::{BlockedAlgorithm, PlanarAlgorithm};
use super::operation::{Convolution, ConvolutionKernel, Function, Operation};
use super::program::{Access, BLOCK, Call, Id, Layout, Part, Program, Value, What, read, write};
use crate::graph::ValueId;
use crate::shape::Shaped;
use std::collections::HashMap;

/// Chooses layouts, and puts conversions in.
pub fn layouts(_: &Shaped, mut program: Program) -> Program {
    let calls = std::mem::take(&mut program.calls);
    let lies = program.values.iter().map(|_| Lies::default()).collect();
    let result = |(id, value): (Id, &Value)| match value.what {
        What::Value(ValueId::Node(layer)) => Some((layer, id)),
        _ => None,
    };
    let results = program.values.iter().enumerate().filter_map(result).collect();
    let mut builder = Builder { program, lies, results };
    for input in builder.program.inputs.clone() {
        builder.lies[input].plain = Some(input);
    }
    for call in calls {
        builder.call(call);
    }
    let outputs = builder.program.outputs.clone();
    builder.program.outputs = outputs.into_iter().map(|value| builder.plain(value)).collect();
    builder.program.cut = builder.program.calls.len();
    builder.program
}

/// Where a value of the program before lies in this one.
#[derive(Debug, Default)]
struct Lies {
    plain: Option<Id>,
    blocked: Option<Id>,
}

struct Builder {
    /// As it comes about; its first values are those of the program before.
    program: Program,
    /// By the value of the program before.
    lies: Vec<Lies>,
    /// The value of each layer's result.
    results: HashMap<usize, Id>,
}

impl Builder {
    fn call(&mut self, call: Call) {
        let inputs: Vec<Id> = call.inputs().collect();
        let Some((&first, output)) = inputs.first().zip(call.part(Part::Output)) else { return };
        let maps = inputs.iter().chain([&output]).all(|&id| self.program.values[id].is_map());
        match &call.operation {
            Operation::Convolution(convolution) => self.convolution(&call, convolution.clone(), first, output),
            // Weights are packed for one row of each sample.
            Operation::Linear(it) if it.sizes.rows == 1 => self.place(call, Layout::Plain, Layout::Plain),
            Operation::Affine(_) if maps => self.place(call, Layout::BLOCKED, Layout::BLOCKED),
            Operation::Activation(_) if maps && self.is_blocked(first) => {
                self.place(call, Layout::BLOCKED, Layout::BLOCKED);
            }
            Operation::Combine(_) if maps && self.combines_blocked(&inputs) => {
                self.place(call, Layout::BLOCKED, Layout::BLOCKED);
            }
            Operation::Maps(_) if maps && !self.is_narrow(first) => {
                self.place(call, Layout::BLOCKED, Layout::BLOCKED);
            }
            Operation::Concat { channels: true } if maps && inputs.iter().any(|&id| self.is_blocked(id)) => {
                self.place(call, Layout::BLOCKED, Layout::BLOCKED);
            }
            Operation::Flatten if !self.program.outputs.contains(&output) => {
                // Another name of the same floats.
                let source = self.plain(first);
                self.program.values[output].home = self.program.values[source].home;
                self.lies[output].plain = Some(output);
            }
            _ => self.own_functions(&call),
        }
    }

    fn convolution(&mut self, call: &Call, mut convolution: Convolution, first: Id, output: Id) {
        let channels = |id: Id| self.program.values[id].sizes()[0];
        // Few channels would leave most of a block empty: such an input is read as it is.
        let few = self.is_narrow(first) && convolution.sizes.groups == 1 && call.part(Part::Residual).is_none();
        let to_few = channels(output) < BLOCK / 2 && convolution.sizes.stride[1] == 1;
        let (kernel, from, to) = match (few, to_few) {
            (true, true) => (ConvolutionKernel::Planar, Layout::Plain, Layout::Plain),
            (true, false) => (ConvolutionKernel::FromPlanar(PlanarAlgorithm::Direct), Layout::Plain, Layout::BLOCKED),
            (false, _) => (ConvolutionKernel::Blocked(BlockedAlgorithm::Direct), Layout::BLOCKED, Layout::BLOCKED),
        };
        convolution.kernel = kernel;
        self.place(Call { operation: Operation::Convolution(convolution), ..call.clone() }, from, to);
    }

    /// Adds a call whose inputs lie in one layout and whose result lies in one.
    fn place(&mut self, mut call: Call, from: Layout, to: Layout) {
        for operand in &mut call.operands {
            operand.value = match operand.access {
                Access::Write => self.made(operand.value, to),
                Access::Read | Access::Update if from.is_blocked() => self.blocked(operand.value),
                Access::Read | Access::Update => self.plain(operand.value),
            };
        }
        self.program.calls.push(call);
    }

    /// The layers of a call by their own functions on plain values. An activation that was folded in takes the result of the layer before.
    fn own_functions(&mut self, call: &Call) {
        let function = match call.operation {
            Operation::Layer(function) => function,
            _ => Function::Forward,
        };
        let Some((&first, folded)) = call.layers.split_first() else { return };
        let operands = call.operands.iter().map(|&operand| match operand.part {
            Part::Output => write(Part::Output, self.results[&first]),
            _ => operand,
        });
        let single = Call::new(Operation::Layer(function), vec![first], operands.collect());
        self.place(single, Layout::Plain, Layout::Plain);
        let mut before = self.results[&first];
        for &layer in folded {
            let result = self.results[&layer];
            let operands = vec![read(Part::Input(0), before), write(Part::Output, result)];
            let single = Call::new(Operation::Layer(Function::Forward), vec![layer], operands);
            self.place(single, Layout::Plain, Layout::Plain);
            before = result;
        }
    }

    /// A value that a call makes, in a layout.
    fn made(&mut self, id: Id, layout: Layout) -> Id {
        self.program.values[id].layout = layout;
        let Lies { plain, blocked } = &mut self.lies[id];
        *if layout.is_blocked() { blocked } else { plain } = Some(id);
        id
    }

    /// The value as PyTorch has it.
    fn plain(&mut self, id: Id) -> Id {
        match self.lies[id] {
            Lies { plain: Some(id), .. } => id,
            Lies { blocked: Some(from), .. } => self.convert(id, from, Layout::Plain),
            Lies { .. } => id,
        }
    }

    /// The value blocked.
    fn blocked(&mut self, id: Id) -> Id {
        match self.lies[id] {
            Lies { blocked: Some(id), .. } => id,
            Lies { plain: Some(from), .. } => self.convert(id, from, Layout::BLOCKED),
            Lies { .. } => id,
        }
    }

    fn convert(&mut self, id: Id, from: Id, layout: Layout) -> Id {
        let value = &self.program.values[id];
        let (what, content) = (value.what, value.content.clone());
        let to = self.program.add(what, content, layout);
        let (operation, slot) = match layout {
            Layout::Plain => (Operation::ToPlain, &mut self.lies[id].plain),
            Layout::Blocked { .. } => (Operation::ToBlocked, &mut self.lies[id].blocked),
        };
        *slot = Some(to);
        let operands = vec![read(Part::Input(0), from), write(Part::Output, to)];
        self.program.calls.push(Call::new(operation, Vec::new(), operands));
        to
    }

    fn is_blocked(&self, id: Id) -> bool {
        self.lies[id].blocked.is_some()
    }

    /// Whether a value is plain and has so few channels that blocks of 16 would be mostly empty.
    fn is_narrow(&self, id: Id) -> bool {
        !self.is_blocked(id) && self.program.values[id].sizes()[0] < BLOCK / 2
    }

    /// Whether a sum or product is taken between blocked values: one of them is, and all have the same channels.
    fn combines_blocked(&self, inputs: &[Id]) -> bool {
        let channels = |id: Id| self.program.values[id].sizes()[0];
        inputs.iter().any(|&id| self.is_blocked(id)) && inputs.iter().all(|&id| channels(id) == channels(inputs[0]))
    }
}

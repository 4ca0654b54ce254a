//! The gradients of every layer, the last one first (reverse-mode differentiation).
//!
//! A kernel writes its gradient. The first contribution to a value's gradient is written into it; every further one is written
//! beside it and added. What no parameter depends on is computed only where the caller asks for gradients of the inputs.

use super::operation::{Function, Gradient, Operation};
use super::program::{Access, Call, Id, Kind, Layout, Operand, Part, Program, What, read, write};
use crate::shape::Shaped;

/// Appends the backward pass to the forward one.
pub fn gradient(shaped: &Shaped, mut program: Program) -> Program {
    debug_assert_eq!(program.kind, Kind::Training);
    let forward = program.calls.len();
    program.cut = forward;
    let trained = trained(shaped, &program);
    let gradients = vec![Begun::default(); program.values.len()];
    let mut backward = Backward { shaped, program, trained, gradients };
    let outputs = backward.program.outputs.clone();
    backward.program.output_gradients = outputs.into_iter().map(|value| backward.given(value)).collect();
    for at in (0..forward).rev() {
        backward.call(at);
    }
    let inputs = backward.program.inputs.clone();
    backward.program.input_gradients = inputs.into_iter().map(|value| backward.finished(value, true)).collect();
    backward.program
}

/// Which values depend on a parameter: their gradients are needed in every step.
fn trained(shaped: &Shaped, program: &Program) -> Vec<bool> {
    let mut trained = vec![false; program.values.len()];
    for call in &program.calls {
        let own = call.layers.iter().any(|&layer| !shaped.nodes[layer].op.parameters().is_empty());
        if own || call.inputs().any(|id| trained[id]) {
            call.writes().for_each(|id| trained[id] = true);
        }
    }
    trained
}

/// The gradient of a value as it comes about.
#[derive(Debug, Clone, Copy, Default)]
struct Begun {
    /// Where it is.
    value: Option<Id>,
    /// How many contributions it has had.
    contributions: usize,
}

struct Backward<'a> {
    shaped: &'a Shaped,
    program: Program,
    trained: Vec<bool>,
    /// By the value whose gradient it is.
    gradients: Vec<Begun>,
}

impl Backward<'_> {
    /// The gradient of a value, which has its shape.
    fn gradient(&mut self, value: Id) -> Id {
        if let Some(id) = self.gradients[value].value {
            return id;
        }
        let id = self.beside(value, What::gradient);
        self.gradients[value].value = Some(id);
        id
    }

    /// A new value with the shape of another.
    fn beside(&mut self, value: Id, what: impl Fn(What) -> What) -> Id {
        let of = &self.program.values[value];
        let (what, content) = (what(of.what), of.content.clone());
        self.program.add(what, content, Layout::Plain)
    }

    /// An output's gradient is there from the beginning: the upstream one.
    fn given(&mut self, value: Id) -> Id {
        self.gradients[value].contributions = 1;
        self.gradient(value)
    }

    /// A gradient to which nothing more will be added. One to which nothing contributed is zero.
    fn finished(&mut self, value: Id, for_inputs: bool) -> Id {
        let id = self.gradient(value);
        if self.gradients[value].contributions == 0 {
            self.gradients[value].contributions = 1;
            self.push(Operation::Zero, Vec::new(), vec![write(Part::GradInput, id)], for_inputs);
        }
        id
    }

    fn push(&mut self, operation: Operation, layers: Vec<usize>, operands: Vec<Operand>, for_inputs: bool) {
        self.program.calls.push(Call { operation, layers, operands, for_inputs });
    }

    /// The gradients of a call of the forward pass.
    fn call(&mut self, at: usize) {
        let call = self.program.calls[at].clone();
        let (Some(layer), Some(output)) = (call.layer(), call.part(Part::Output)) else { return };
        let op = &self.shaped.nodes[layer].op;
        let grad_output = self.finished(output, !self.trained[output]);
        if !op.parameters().is_empty() {
            let operands = self.operands(&call, layer, Gradient::Parameters, grad_output);
            let operation = Operation::Layer(Function::Gradient(Gradient::Parameters));
            self.push(operation, vec![layer], operands, false);
        }
        for (which, input) in call.inputs().enumerate() {
            let for_inputs = !self.trained[input];
            let gradient = Gradient::Input(which);
            let mut operands = self.operands(&call, layer, gradient, grad_output);
            let operation = Operation::Layer(Function::Gradient(gradient));
            let into = self.gradient(input);
            let count = self.gradients[input].contributions;
            self.gradients[input].contributions += 1;
            if count == 0 {
                operands.push(write(Part::GradInput, into));
                self.push(operation, vec![layer], operands, for_inputs);
                continue;
            }
            let beside = self.beside(input, |what| what.contribution(count));
            operands.push(write(Part::GradInput, beside));
            self.push(operation, vec![layer], operands, for_inputs);
            let into = Operand { part: Part::GradInput, value: into, access: Access::Update };
            self.push(Operation::Accumulate, Vec::new(), vec![read(Part::GradOutput, beside), into], for_inputs);
        }
    }

    /// What a gradient reads, in the order of the function's arguments.
    fn operands(&self, call: &Call, layer: usize, gradient: Gradient, grad_output: Id) -> Vec<Operand> {
        let reads = self.shaped.nodes[layer].op.reads(gradient);
        let wanted = |operand: &&Operand| match operand.part {
            Part::Input(_) => reads.inputs,
            Part::Output => reads.output,
            Part::Saved => reads.saved,
            Part::Indices => true,
            Part::Residual | Part::GradOutput | Part::GradInput => false,
        };
        let kept = call.operands.iter().filter(wanted).map(|operand| read(operand.part, operand.value));
        kept.chain([read(Part::GradOutput, grad_output)]).collect()
    }
}

//! Layers that only rename (`flatten`, `identity`, in evaluation `dropout`): their result lies where their input lies, and nothing is
//! called. An output of the network is always a value of its own.

use super::operation::{Function, Operation};
use super::program::{Kind, Part, Program};
use crate::shape::Shaped;

/// Leaves out the calls of layers that only rename.
pub fn rename(shaped: &Shaped, mut program: Program) -> Program {
    let training = program.kind == Kind::Training;
    let mut calls = Vec::with_capacity(program.calls.len());
    for call in std::mem::take(&mut program.calls) {
        let renames = matches!(call.operation, Operation::Layer(Function::Forward | Function::ForwardTrain))
            && call.layer().is_some_and(|layer| shaped.nodes[layer].op.is_alias(training));
        match (call.part(Part::Input(0)), call.part(Part::Output)) {
            (Some(input), Some(output)) if renames && !program.outputs.contains(&output) => {
                program.values[output].home = program.values[input].home;
            }
            _ => calls.push(call),
        }
    }
    // What a renamed value is read for is read where it lies.
    for call in &mut calls {
        for operand in &mut call.operands {
            operand.value = program.values[operand.value].home;
        }
    }
    program.cut = calls.len();
    program.calls = calls;
    program
}

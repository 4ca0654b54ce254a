//! A program as text that a person can read: one line for each call, what it makes on the left.

use super::operation::{Convolution, ConvolutionKernel, Function, Gradient, Operation};
use super::program::{Call, Content, Id, Kind, Layout, Operand, Part, Program, What};
use crate::graph::ValueId;
use crate::shape::Shaped;
use std::fmt::Write;

/// The calls of a program, with its two passes apart.
pub fn text(shaped: &Shaped, program: &Program) -> String {
    let mut text = String::new();
    for (at, call) in program.calls.iter().enumerate() {
        if at == program.cut && program.kind != Kind::Evaluation {
            let what = if program.kind == Kind::Training { "backward" } else { "a batch together" };
            let _ = writeln!(text, "-- {what}");
        }
        let _ = writeln!(text, "{}", line(shaped, program, call));
    }
    let outputs: Vec<String> = program.outputs.iter().map(|&id| name(shaped, program, id)).collect();
    let _ = writeln!(text, "return {}", outputs.join(", "));
    text
}

/// `relu1 [16, 8, 8] blocked = convolution(conv1 + relu1; input)`.
fn line(shaped: &Shaped, program: &Program, call: &Call) -> String {
    let made: Vec<String> = call.writes().map(|id| described(shaped, program, id)).collect();
    let taken = call.operands.iter().filter(|operand| call.writes().all(|id| id != operand.value));
    let taken: Vec<String> = taken.map(|operand| argument(shaped, program, operand)).collect();
    let layers: Vec<&str> = call.layers.iter().map(|&layer| shaped.nodes[layer].site.name.as_str()).collect();
    // A layer that makes the value of its own name need not be named twice.
    let own = call.part(Part::Output).map(|id| program.values[id].what)
        == call.layer().map(|it| What::Value(ValueId::Node(it)));
    let layers = if layers.is_empty() || own { String::new() } else { format!("{}: ", layers.join(" + ")) };
    let made = if made.is_empty() { String::new() } else { format!("{} = ", made.join(", ")) };
    let inputs = if call.for_inputs { "    # only for gradients of inputs" } else { "" };
    format!("{made}{layers}{}({}){inputs}", operation(&call.operation), taken.join(", "))
}

fn argument(shaped: &Shaped, program: &Program, operand: &Operand) -> String {
    let name = name(shaped, program, operand.value);
    match operand.part {
        Part::Residual => format!("plus {name}"),
        _ => name,
    }
}

/// `conv1`, `conv1.saved`, `conv1.grad`, `conv1.grad2`, and behind a value that is not as PyTorch has it `/blocked`.
fn name(shaped: &Shaped, program: &Program, id: Id) -> String {
    let value = &program.values[id];
    let mut name = match value.what {
        What::Value(of) => shaped.name(of).to_string(),
        What::Saved(layer) => format!("{}.saved", shaped.nodes[layer].site.name),
        What::Gradient(of) => format!("{}.grad", shaped.name(of)),
        What::Contribution(of, count) => format!("{}.grad{}", shaped.name(of), count + 1),
    };
    if value.layout.is_blocked() {
        name.push_str("/blocked");
    }
    name
}

fn described(shaped: &Shaped, program: &Program, id: Id) -> String {
    let value = &program.values[id];
    let mut text = match &value.content {
        Content::Tensor(shape) => format!("{} {shape}", name(shaped, program, id)),
        Content::Floats(_) => name(shaped, program, id),
    };
    if let Layout::Blocked { halo } = value.layout
        && halo != [0; 4]
    {
        let _ = write!(text, " halo {halo:?}");
    }
    if value.home != id {
        let _ = write!(text, " in {}", name(shaped, program, value.home));
        if value.layout.is_blocked() {
            let _ = write!(text, " from block {}", value.first_block);
        }
    }
    text
}

fn operation(operation: &Operation) -> String {
    let folded = |norm: bool, activation: &Option<_>| {
        let norm = if norm { " + norm" } else { "" };
        let activation: Option<String> = activation.as_ref().map(|it| format!(" + {it:?}"));
        format!("{norm}{}", activation.unwrap_or_default())
    };
    match operation {
        Operation::Layer(Function::Forward) => "forward".into(),
        Operation::Layer(Function::ForwardTrain) => "forward_train".into(),
        Operation::Layer(Function::Gradient(Gradient::Parameters)) => "backward_parameters".into(),
        Operation::Layer(Function::Gradient(Gradient::Input(which))) => format!("backward_input_{which}"),
        Operation::Accumulate => "accumulate".into(),
        Operation::Zero => "zero".into(),
        Operation::Nothing => "nothing".into(),
        Operation::Flatten => "flatten".into(),
        Operation::Convolution(it) => {
            let pool = it.pool.map(|pool| format!(" + {pool:?} pool")).unwrap_or_default();
            format!("{}{}{pool}", convolution(it), folded(it.norm.is_some(), &it.activation))
        }
        Operation::Linear(it) => {
            let map = it.map.map(|map| format!(" on blocked {map:?}")).unwrap_or_default();
            format!("linear{map}{}", folded(it.norm.is_some(), &it.activation))
        }
        Operation::Affine(it) => format!("affine{}", folded(false, &it.activation)),
        Operation::Activation(activation) => format!("{activation:?}"),
        Operation::Combine(it) => {
            format!("{}{}", if it.product { "product" } else { "sum" }, folded(false, &it.activation))
        }
        Operation::Maps(it) => it.module.into(),
        Operation::Concat { .. } => "concat".into(),
        Operation::ToBlocked => "to_blocked".into(),
        Operation::ToPlain => "to_plain".into(),
    }
}

/// `direct 3x3/2 convolution`.
fn convolution(it: &Convolution) -> String {
    let [kh, kw] = it.sizes.kernel;
    let stride = match it.sizes.stride {
        [1, 1] => String::new(),
        [down, across] if down == across => format!("/{down}"),
        [down, across] => format!("/{down}x{across}"),
    };
    let algorithm = match it.kernel {
        ConvolutionKernel::Blocked(algorithm) => algorithm.to_string(),
        ConvolutionKernel::FromPlanar(algorithm) => format!("{algorithm} planar to blocked"),
        ConvolutionKernel::Planar => "direct planar".into(),
    };
    format!("{algorithm} {kh}x{kw}{stride} convolution")
}

//! Layers of several inputs: `add`.

use super::{Call, Gradient, Layer, LayerType, Op, Reads};
use crate::shape::{Checked, Infer, Operand, Shape, describe};
use crate::tokens::{int, ints};
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const ADD: LayerType = LayerType::many("add", |_| Some(Box::new(Add)));

#[derive(Debug, Clone)]
struct Add;

impl Layer for Add {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let output = broadcast(cx)?;
        let inputs = cx.inputs.iter().map(|operand| operand.shape.clone()).collect();
        Checked::new(output.clone(), AddOp(Broadcast { output, inputs }))
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

/// The shape to which all inputs broadcast: equal sizes, or 1.
pub(super) fn broadcast(cx: &mut Infer<'_>) -> Option<Shape> {
    let first = cx.inputs[0].clone();
    let mut output = first.shape.0.clone();
    for operand in cx.inputs.clone().iter().skip(1) {
        if operand.shape.rank() != output.len() {
            refuse(cx, &first, operand, "they have different numbers of axes");
            return None;
        }
        for (axis, &size) in operand.shape.0.iter().enumerate() {
            match (output[axis], size) {
                (a, b) if a == b || b == 1 => {}
                (1, b) => output[axis] = b,
                (a, b) => {
                    let culprit = cx.inputs.iter().find(|other| other.shape.0[axis] == a).unwrap_or(&first).clone();
                    refuse(cx, &culprit, operand, &format!("axis {} is {a} in one and {b} in the other", axis + 1));
                    return None;
                }
            }
        }
    }
    Some(Shape(output))
}

fn refuse(cx: &mut Infer<'_>, a: &Operand, b: &Operand, why: &str) {
    let site = cx.site;
    let title = format!("{} cannot combine {} and {}", site.title(), a.shape, b.shape);
    let label = format!("the inputs are {} and {}", describe(a), describe(b));
    let diagnostic = site.error(title, site.span.clone(), label).note(why);
    cx.push(diagnostic.help("shapes must be equal, or 1 on an axis that broadcasts"));
}

/// The runtime's `Broadcast`.
#[derive(Debug)]
pub(super) struct Broadcast {
    output: Shape,
    inputs: Vec<Shape>,
}

/// Three axes with ones in front, as the runtime counts them.
fn padded(shape: &Shape) -> TokenStream {
    let sizes: Vec<usize> = std::iter::repeat_n(1, 3 - shape.rank()).chain(shape.0.iter().copied()).collect();
    ints(&sizes)
}

impl Broadcast {
    fn descriptor(&self) -> (TokenStream, TokenStream) {
        let output = padded(&self.output);
        let inputs = self.inputs.iter().map(padded);
        (quote!(castnet::Broadcast), quote!(castnet::Broadcast { output: #output, inputs: &[#(#inputs),*] }))
    }
}

#[derive(Debug)]
struct AddOp(Broadcast);

impl Op for AddOp {
    fn reads(&self, _: Gradient) -> Reads {
        Reads::default()
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        Some(self.0.descriptor())
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let (op, inputs) = (&call.op, &call.inputs);
        quote!(castnet::elementwise::add(context, &#op, &[#(#inputs),*], output);)
    }

    fn backward_input(&self, call: &Call, which: usize) -> TokenStream {
        let (op, which) = (&call.op, int(which));
        quote!(castnet::elementwise::add_backward(context, &#op, #which, grad_output, grad_input);)
    }
}

//! Layers that combine several inputs element by element: `add` and `mul`.

use super::contract::{Layer, LayerType};
use super::op::{Call, Gradient, Op, Reads};
use crate::descriptor;
use crate::layers::infer::{Checked, Infer};
use crate::lower::operation::{self, Operation};
use crate::shape::sizes::Shape;
use crate::tokens::int;
use castnet_descriptors::Broadcast;
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const ADD: LayerType =
    LayerType::many("add", "the sum; axes of length 1 are repeated", &[], |_| Some(Box::new(Combine::Sum)));
pub(super) const MUL: LayerType =
    LayerType::many("mul", "the product; axes of length 1 are repeated", &[], |_| Some(Box::new(Combine::Product)));

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Combine {
    Sum,
    Product,
}

impl Layer for Combine {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let output = broadcast(cx)?;
        let inputs = cx.inputs.iter().map(|operand| padded(&operand.shape)).collect();
        Checked::new(output.clone(), CombineOp { combine: *self, output: padded(&output), inputs })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(*self)
    }
}

/// The shape to which all inputs broadcast: equal sizes, or 1.
fn broadcast(cx: &mut Infer<'_>) -> Option<Shape> {
    let mut output = cx.inputs[0].shape.clone();
    for which in 1..cx.inputs.len() {
        let shape = cx.inputs[which].shape.clone();
        if shape.rank() != output.rank() {
            refuse(cx, 0, which, "they have different numbers of axes".into());
            return None;
        }
        for (axis, &size) in shape.0.iter().enumerate() {
            match (output.0[axis], size) {
                (a, b) if a == b || b == 1 => {}
                (1, b) => output.0[axis] = b,
                (a, b) => {
                    let other = cx.inputs.iter().position(|other| other.shape.0[axis] == a).unwrap_or(0);
                    refuse(cx, other, which, format!("axis {} is {a} in one and {b} in the other", axis + 1));
                    return None;
                }
            }
        }
    }
    Some(output)
}

fn refuse(cx: &mut Infer<'_>, a: usize, b: usize, why: String) {
    let title = format!("{} cannot combine {} and {}", cx.site.title(), cx.inputs[a].shape, cx.inputs[b].shape);
    cx.refuse_pair(a, b, title, |diagnostic| {
        diagnostic.note(why).help("shapes must be equal, or 1 on an axis that broadcasts")
    });
}

#[derive(Debug)]
struct CombineOp {
    combine: Combine,
    output: [usize; 3],
    inputs: Vec<[usize; 3]>,
}

/// Three axes with ones in front, as [`Broadcast`] counts them.
fn padded(shape: &Shape) -> [usize; 3] {
    let mut sizes = [1; 3];
    sizes[3 - shape.rank()..].copy_from_slice(&shape.0);
    sizes
}

impl Op for CombineOp {
    /// The gradient of a product holds the other factors.
    fn reads(&self, _: Gradient) -> Reads {
        Reads { inputs: self.combine == Combine::Product, ..Reads::default() }
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        Some(descriptor::item(&Broadcast { output: self.output, inputs: &self.inputs }))
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let (op, inputs) = (&call.op, &call.inputs);
        match self.combine {
            Combine::Sum => quote!(castnet::elementwise::add(context, &#op, &[#(#inputs),*], output);),
            Combine::Product => quote!(castnet::elementwise::mul(context, &#op, &[#(#inputs),*], output);),
        }
    }

    fn backward_input(&self, call: &Call, which: usize) -> TokenStream {
        let (op, inputs, which) = (&call.op, &call.inputs, int(which));
        match self.combine {
            Combine::Sum => quote!(castnet::elementwise::add_backward(context, &#op, #which, grad_output, grad_input);),
            Combine::Product => quote! {
                castnet::elementwise::mul_backward(context, &#op, &[#(#inputs),*], #which, grad_output, grad_input);
            },
        }
    }

    fn operation(&self, _: usize) -> Option<Operation> {
        let product = self.combine == Combine::Product;
        Some(Operation::Combine(operation::Combine { product, activation: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, refused_spec};

    fn spec(kind: &str, shapes: [&str; 3]) -> String {
        let [a, b, c] = shapes;
        let inputs = format!("[network]\ninputs = {{ a = {a}, b = {b}, c = {c} }}\n");
        format!("{inputs}[[layer]]\nname = 'all'\ntype = '{kind}'\ninputs = ['a', 'b', 'c']\n")
    }

    #[test]
    fn axes_of_length_1_broadcast_on_either_side() {
        for kind in ["add", "mul"] {
            let compiled = compiled(&spec(kind, ["[1, 3, 1]", "[2, 1, 1]", "[2, 3, 4]"])).unwrap();
            let node = &compiled.shaped.nodes[0];
            assert_eq!(node.output.0, [2, 3, 4]);
            let text = node.op.descriptor().unwrap().1.to_string();
            assert!(text.contains("inputs : & [[1 , 3 , 1] , [2 , 1 , 1] , [2 , 3 , 4]]"), "{text}");
        }
    }

    #[test]
    fn other_shapes_are_refused_with_both_places() {
        let text = spec("mul", ["[2, 3, 1]", "[2, 1, 4]", "[2, 5, 4]"]);
        refused_spec(&text, &["cannot combine [2, 3, 1] and [2, 5, 4]", "axis 2 is 3 in one and 5 in the other"]);
        refused_spec(&spec("add", ["[2, 3, 1]", "[3, 1]", "[2, 3, 1]"]), &["different numbers of axes"]);
    }
}

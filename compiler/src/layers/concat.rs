//! `concat`: inputs one behind the other along an axis.

use super::contract::{Layer, LayerType};
use super::flatten::axis;
use super::op::{Call, Gradient, Op, Reads};
use crate::descriptor;
use crate::layers::infer::{Checked, Infer};
use crate::lower::operation::Operation;
use crate::spec::args::{Arg, Args};
use crate::spec::argument::{Argument, Fallback, Kind};
use crate::tokens::int;
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const CONCAT: LayerType = LayerType::many("concat", "one behind the other", &[DIM], Concat::parse);

const DIM: Argument =
    Argument::new("dim", Kind::Integer, Fallback::Whole(1), "the axis along which; the batch is axis 0");

#[derive(Debug, Clone)]
struct Concat {
    dim: Arg<i64>,
}

impl Concat {
    fn parse(args: &mut Args<'_>) -> Option<Box<dyn Layer>> {
        Some(Box::new(Self { dim: args.integer("dim")? }))
    }
}

impl Layer for Concat {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let first = cx.inputs[0].clone();
        let axis = axis(cx, "dim", &self.dim, &first.shape)?;
        let mut along = 0usize;
        for (which, operand) in cx.inputs.clone().iter().enumerate() {
            if operand.shape.rank() != first.shape.rank() {
                refuse(cx, which, "they have different numbers of axes".into(), "all inputs need as many axes".into());
                return None;
            }
            let differs = |&i: &usize| i != axis && operand.shape.0[i] != first.shape.0[i];
            if let Some(other) = (0..first.shape.rank()).find(differs) {
                let (a, b) = (first.shape.0[other], operand.shape.0[other]);
                let why = format!("axis {} is {a} in one and {b} in the other", other + 1);
                refuse(cx, which, why, format!("all axes but dim = {} must be equal", self.dim.value));
                return None;
            }
            along = along.saturating_add(operand.shape.0[axis]);
        }
        let mut output = first.shape.clone();
        output.0[axis] = along;
        let inner: usize = first.shape.0[axis + 1..].iter().product();
        let lengths = cx.inputs.iter().map(|operand| operand.shape.0[axis] * inner).collect();
        let outer = first.shape.0[..axis].iter().product();
        let parts: Vec<String> = cx.inputs.iter().take(4).map(|operand| operand.shape.to_string()).collect();
        let more = if cx.inputs.len() > parts.len() { ", …" } else { "" };
        let story = Some(format!("{}{more} joined to {output}", parts.join(", ")));
        Some(Checked { output, story, op: Box::new(ConcatOp { outer, lengths, channels: axis == 0 }) })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

fn refuse(cx: &mut Infer<'_>, which: usize, why: String, help: String) {
    let (a, b) = (&cx.inputs[0].shape, &cx.inputs[which].shape);
    let title = format!("{} cannot put {a} and {b} one behind the other", cx.site.title());
    cx.refuse_pair(0, which, title, |diagnostic| diagnostic.note(why).help(help));
}

#[derive(Debug)]
struct ConcatOp {
    /// Product of the axes of a sample before `dim`.
    outer: usize,
    /// For each input its length along `dim`, times the product of the axes after it.
    lengths: Vec<usize>,
    /// Whether it runs along the first axis of a sample.
    channels: bool,
}

impl Op for ConcatOp {
    fn reads(&self, _: Gradient) -> Reads {
        Reads::default()
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        let sizes = castnet_descriptors::Concat { outer: self.outer, lengths: &self.lengths };
        Some(descriptor::item(&sizes))
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let (op, inputs) = (&call.op, &call.inputs);
        quote!(castnet::concat::forward(context, &#op, &[#(#inputs),*], output);)
    }

    fn backward_input(&self, call: &Call, which: usize) -> TokenStream {
        let (op, which) = (&call.op, int(which));
        quote!(castnet::concat::backward(context, &#op, #which, grad_output, grad_input);)
    }

    fn operation(&self, _: usize) -> Option<Operation> {
        Some(Operation::Concat { channels: self.channels })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, refused_spec};

    fn spec(a: &str, b: &str, dim: &str) -> String {
        let inputs = format!("[network]\ninputs = {{ a = {a}, b = {b} }}\n");
        format!("{inputs}[[layer]]\nname = 'both'\ntype = 'concat'\ninputs = ['a', 'b', 'a']\n{dim}\n")
    }

    #[test]
    fn joins_along_an_axis() {
        for (a, b, dim, shape, descriptor) in [
            ("[2, 3, 4]", "[5, 3, 4]", "", vec![9, 3, 4], "outer : 1 , lengths : & [24 , 60 , 24]"),
            ("[2, 3, 4]", "[2, 3, 1]", "dim = -1", vec![2, 3, 9], "outer : 6 , lengths : & [4 , 1 , 4]"),
            ("[2, 3, 4]", "[2, 5, 4]", "dim = 2", vec![2, 11, 4], "outer : 2 , lengths : & [12 , 20 , 12]"),
            ("[7]", "[1]", "", vec![15], "outer : 1 , lengths : & [7 , 1 , 7]"),
        ] {
            let compiled = compiled(&spec(a, b, dim)).unwrap();
            let node = &compiled.shaped.nodes[0];
            assert_eq!(node.output.0, shape);
            let text = node.op.descriptor().unwrap().1.to_string();
            assert!(text.contains(descriptor), "{text}");
        }
    }

    #[test]
    fn other_axes_must_be_equal() {
        let sizes = spec("[2, 3, 4]", "[2, 5, 4]", "");
        refused_spec(&sizes, &["[2, 3, 4] and [2, 5, 4]", "axis 2 is 3 in one and 5 in the other", "dim = 1"]);
        refused_spec(&spec("[2, 3, 4]", "[2, 3]", ""), &["different numbers of axes"]);
        refused_spec(&spec("[2, 3, 4]", "[2, 3, 4]", "dim = 0"), &["dim = 0, which is the batch"]);
        refused_spec(&spec("[2, 3, 4]", "[2, 3, 4]", "dim = 4"), &["dim = 4, but its input has no such axis"]);
        refused_spec(&spec("[2, 3, 4]", "[2, 3, 4]", "dim = -4"), &["dim = -4, which is the batch"]);
    }
}

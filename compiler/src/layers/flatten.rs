//! Layers that only rename: `flatten` and `identity`.

use super::contract::{Layer, LayerType};
use super::op::{Call, Gradient, Op, Reads};
use crate::layers::infer::{Checked, Infer};
use crate::lower::operation::Operation;
use crate::shape::sizes::Shape;
use crate::spec::args::{Arg, Args};
use crate::spec::argument::{Argument, Fallback, Kind};
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const FLATTEN: LayerType =
    LayerType::one("flatten", "several axes as one", &[START_DIM, END_DIM], Flatten::parse);
pub(super) const IDENTITY: LayerType = LayerType::one("identity", "what flows in", &[], |_| Some(Box::new(Identity)));

const START_DIM: Argument =
    Argument::new("start_dim", Kind::Integer, Fallback::Whole(1), "the first of the axes; 0, the batch, is an error");
const END_DIM: Argument = Argument::new("end_dim", Kind::Integer, Fallback::Whole(-1), "the last of the axes");

#[derive(Debug, Clone)]
struct Flatten {
    start_dim: Arg<i64>,
    end_dim: Arg<i64>,
}

impl Flatten {
    fn parse(args: &mut Args<'_>) -> Option<Box<dyn Layer>> {
        let (start_dim, end_dim) = (args.integer("start_dim"), args.integer("end_dim"));
        Some(Box::new(Self { start_dim: start_dim?, end_dim: end_dim? }))
    }
}

impl Layer for Flatten {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let shape = cx.input().shape.clone();
        let start = axis(cx, "start_dim", &self.start_dim, &shape)?;
        let end = axis(cx, "end_dim", &self.end_dim, &shape)?;
        if start > end {
            let title = format!(
                "{} says start_dim = {} and end_dim = {}, but the first must not come after the second",
                cx.site.title(),
                self.start_dim.value,
                self.end_dim.value
            );
            cx.refuse(&self.start_dim, title, format!("axis {} comes after axis {}", start + 1, end + 1));
            return None;
        }
        let mut sizes = shape.0[..start].to_vec();
        sizes.push(shape.0[start..=end].iter().product());
        sizes.extend(&shape.0[end + 1..]);
        let output = Shape(sizes);
        let story = match output.rank() {
            1 if shape.rank() > 1 => Some(format!("{shape} flattened to {}", output.0[0])),
            _ => None,
        };
        Some(Checked { output, story, op: Box::new(Alias { renames: true }) })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

/// The axis of the sample (the batch not counted) that `dim` names; axis 0, the batch, is refused.
pub(super) fn axis(cx: &mut Infer<'_>, key: &str, dim: &Arg<i64>, shape: &Shape) -> Option<usize> {
    let rank = shape.rank() as i64 + 1;
    let axis = if dim.value < 0 { dim.value.checked_add(rank).unwrap_or(-1) } else { dim.value };
    if axis == 0 {
        let title = format!("{} says {key} = {}, which is the batch", cx.site.title(), dim.value);
        cx.refuse_with(dim, title, "axis 0 is the batch, which no layer may change or merge", |diagnostic| {
            diagnostic.help(format!("the sample's own axes are 1 to {}", rank - 1))
        });
        return None;
    }
    if axis < 0 || axis >= rank {
        let title = format!("{} says {key} = {}, but its input has no such axis", cx.site.title(), dim.value);
        let label = format!("the input is [batch, {}]", shape.to_string().trim_matches(['[', ']']));
        cx.refuse_with(dim, title, label, |diagnostic| {
            diagnostic.help(format!(
                "with the batch as axis 0, the axes are 1 to {} (or -{} to -1)",
                rank - 1,
                rank - 1
            ))
        });
        return None;
    }
    Some(axis as usize - 1)
}

#[derive(Debug, Clone)]
struct Identity;

impl Layer for Identity {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        Checked::new(cx.input().shape.clone(), Alias { renames: false })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(Identity)
    }
}

/// The result is the input under another shape. Where it must be a value of its own (an output of the network), it is copied.
#[derive(Debug)]
pub(super) struct Alias {
    /// Whether the shape is another.
    renames: bool,
}

impl Op for Alias {
    fn is_alias(&self, _training: bool) -> bool {
        true
    }

    fn reads(&self, _: Gradient) -> Reads {
        Reads::default()
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        None
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let input = call.input();
        quote!(castnet::elementwise::copy(context, #input, output);)
    }

    fn backward_input(&self, _: &Call, _: usize) -> TokenStream {
        quote!(castnet::elementwise::copy(context, grad_output, grad_input);)
    }

    fn operation(&self, _: usize) -> Option<Operation> {
        Some(if self.renames { Operation::Flatten } else { Operation::Nothing })
    }
}
